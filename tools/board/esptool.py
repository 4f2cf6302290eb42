"""esptool, run as a program: who is there, read, erase, write and verify.

Its messages are turned into errors that say what to do; a link that fails at the fast rate is
tried again at the one every adapter and cable can do.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.board import ports, program
from tools.board.partitions import TABLE_BYTES, TABLE_OFFSET
from tools.errors import ToolError

FAST_BAUD = 921600
SAFE_BAUD = 115200
_CONNECT_S = 60
_BYTES_PER_S = 4000  # far slower than 115200 baud: only to end what will never end
_ERASE_S = 180

_CHIP = re.compile(r"(?:Connected to|Detecting chip type\.\.\.) (ESP[\w-]+)")
_MAC = re.compile(r"^MAC:\s+([0-9a-f:]{17})", re.M | re.I)
_SIZE = re.compile(r"(?:Auto-d|D)etected flash size: (\d+)(KB|MB)")
_PERCENT = re.compile(r"(\d+\.\d)%")
_WRITING = re.compile(r"^Writing '", re.M)
_FATAL = re.compile(r"(?:A fatal error occurred|A serial exception error occurred): (.+?)$", re.M)

Progress = Callable[[float], None]  # the part that is done, 0 to 1
Note = Callable[[str], None]


class LinkFailed(ToolError):
    """The connection to the chip failed; a slower one may work."""


@dataclass(frozen=True)
class Chip:
    """What esptool found. ``table`` is what the flash holds at 0x8000 now (b"": not read)."""

    name: str
    mac: str
    flash_bytes: int
    table: bytes


def identify(port: str) -> Chip:
    """Ask the chip behind ``port`` who it is, and read its partition table with the same call."""
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        file = Path(scratch, "table")
        where = [f"{TABLE_OFFSET:#x}", f"{TABLE_BYTES:#x}", str(file)]
        args = ["read-flash", "--no-progress", "--flash-size", "detect", *where]
        text = _run(port, args, _CONNECT_S)
        table = file.read_bytes()
    name, mac, size = _CHIP.findall(text), _MAC.search(text), _SIZE.search(text)
    if not name or mac is None or size is None:
        raise ToolError("esptool's answer was not understood", "python -m esptool flash-id")
    unit = 1024 if size[2] == "KB" else 1024 * 1024
    return Chip(name[-1], mac[1].lower(), int(size[1]) * unit, table)


def read(port: str, offset: int, size: int, baud: int, progress: Progress) -> bytes:
    """Return ``size`` bytes of flash; esptool checks them against the chip's own MD5."""
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        file = Path(scratch, "flash")
        args = ["read-flash", f"{offset:#x}", f"{size:#x}", str(file)]
        _run(port, args, _CONNECT_S + size / _BYTES_PER_S, baud, _follow([size], progress))
        return file.read_bytes()


def write(
    port: str, chip: str, segments: list[tuple[int, bytes]], baud: int, progress: Progress
) -> None:
    """Erase the chip, write every (offset, bytes), verify each by hash: one esptool call.

    The chip stays in its loader, so that whoever opens the port next sees the boot from its start;
    one on USB by itself is started, as only esptool knows how.
    """
    after = "hard-reset" if ports.is_native(port) else "no-reset"
    sizes = [len(data) for _, data in segments]
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        args = ["--after", after, "write-flash", "--erase-all"]
        if chip == "esp8266":  # MicroPython finds its file system by the size in the header
            args += ["--flash-size", "detect"]
        for offset, data in segments:
            file = Path(scratch, f"{offset:08x}.bin")
            file.write_bytes(data)
            args += [f"{offset:#x}", str(file)]
        limit = _CONNECT_S + _ERASE_S + sum(sizes) / _BYTES_PER_S
        text = _run(port, ["--chip", chip, *args], limit, baud, _follow(sizes, progress))
    verified = text.count("Hash of data verified")
    if verified != len(segments):
        raise LinkFailed(f"only {verified} of {len(segments)} parts were verified", "flash again")


def erase(port: str) -> None:
    """Erase the whole flash."""
    _run(port, ["erase-flash"], _CONNECT_S + _ERASE_S)


def with_fallback(baud: int, note: Note, work: Callable[[int], None]) -> int:
    """Do ``work`` at ``baud``, at 115200 if the link fails; returns the rate that worked."""
    try:
        work(baud)
    except LinkFailed as e:
        if baud <= SAFE_BAUD:
            raise
        note(f"{e.message}; once more at {SAFE_BAUD} baud")
        work(SAFE_BAUD)
        return SAFE_BAUD
    return baud


def _run(
    port: str, args: list[str], limit_s: float, baud: int = 0, follow: Note = lambda text: None
) -> str:
    speed = ["--baud", str(baud)] if baud else []
    ran = program.run("esptool", ["--port", port, *speed, *args], limit_s, follow)
    if not ran.ok:
        raise _error(ran, port)
    return ran.text


def _follow(sizes: list[int], progress: Progress) -> Note:
    """Turn esptool's percentages, one file after the other, into a part of the whole."""
    done, total = -1 if len(sizes) > 1 else 0, sum(sizes) or 1
    rest = ""

    def text(piece: str) -> None:
        nonlocal done, rest
        *lines, rest = (rest + piece).replace("\r", "\n").split("\n")
        for line in lines:
            if _WRITING.match(line):
                done = min(done + 1, len(sizes) - 1)
            if found := _PERCENT.search(line):
                at = max(done, 0)
                progress((sum(sizes[:at]) + sizes[at] * float(found[1]) / 100) / total)

    return text


def _error(ran: program.Ran, port: str) -> ToolError:
    """The first of the known reasons, in the words of someone who holds the board."""
    fatal = _FATAL.findall(ran.text)
    said = fatal[-1].strip() if fatal else (ran.text.strip().splitlines() or ["nothing"])[-1]
    wrong = re.search(r"This chip is (ESP[\w-]+), not (ESP[\w-]+)", ran.text)
    if wrong:
        return ToolError(
            f"the board has an {wrong[1]}, not an {wrong[2]}", "give the right BOARD="
        )
    if "does not seem to support RFC2217" in ran.text:
        hint = (
            "a terminal server that asks for a password cannot be used; start it in RFC 2217 mode"
        )
        return ToolError(f"{port} does not speak RFC 2217", hint)
    if "Permission denied" in ran.text:
        hint = "sudo usermod -aG dialout $USER, log in again"
        return ToolError(f"no right to use {port}", hint)
    if "the port is busy or doesn't exist" in ran.text or "Could not open port" in ran.text:
        hint = (
            "close other programs on it (make logs, an IDE), and look with: python -m tools ports"
        )
        return ToolError(f"{port} cannot be opened", hint)
    if "Changed." in ran.text:  # the new rate was agreed on, and then it went wrong
        return _link_failed(ran, said)
    if "No serial data received" in ran.text or "Failed to connect" in ran.text:
        hint = "hold BOOT, press EN/RESET, let BOOT go, and run it again (docs/boards.md)"
        return ToolError(f"the board on {port} does not answer", hint)
    if "will not fit in" in ran.text:
        return ToolError(f"too large for this chip: {said}", "a board with more flash")
    return _link_failed(ran, said)


def _link_failed(ran: program.Ran, said: str) -> LinkFailed:
    why = "it took too long" if ran.code is None else said
    return LinkFailed(f"the connection failed: {why}", "another cable or USB port; BAUD=115200")
