"""The MicroPython build for a board: a local file, the cache, or the official site; checked.

A checksum is pinned in boards.json where we have had the file in hands; else the one of the first
download is recorded beside the cache and every later file must have the same. What a checksum
cannot tell (a local file), the image itself does, before a board is erased.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.board import partitions, program
from tools.errors import ToolError
from tools.things import boards
from tools.things.boards import Board

CACHE = Path(__file__).resolve().parents[2] / ".tools" / "firmware"
_SEEN = "sha256.json"  # file name -> checksum at first use
_MAX_BYTES = 16 * 1024 * 1024
_CHUNK = 64 * 1024
_TIMEOUT_S = 30
_VERSION = re.compile(rb"MicroPython (v\d+\.\d+[\w.-]*) on \d{4}-\d\d-\d\d")
_BUILD = re.compile(rb"(ESP[\w]*_GENERIC[\w-]*)\x00")
_MAGIC = 0xE9
_ASK_S = 30
_TYPE = re.compile(r"^Detected image type: (\S+)", re.M)
_INVALID = re.compile(r"^(?:Checksum|Validation hash): .*\(invalid", re.M)
_HINT = "FIRMWARE= wants a MicroPython .bin file for this board, as downloaded"

Progress = Callable[[int, int], None]  # bytes so far, bytes in all (0: not known)


@dataclass(frozen=True)
class Firmware:
    """A checked image. ``version`` and ``build`` are read out of it; "" where it does not say."""

    path: Path
    data: bytes
    sha256: str
    version: str
    build: str

    def has_romfs(self, board: Board) -> bool:
        """True if this build runs code in place from a ROMFS partition."""
        return board.romfs is not None and board.romfs.build in self.build


def obtain(
    board: Board,
    version: str = "",
    local: Path | None = None,
    cache: Path = CACHE,
    progress: Progress = lambda done, total: None,
) -> Firmware:
    """Return the build for ``board``, downloaded only when it is neither given nor cached.

    Raises ToolError when the file is damaged, made for another chip, or cannot be had; a bad
    download never stays in the cache.
    """
    if local is not None:
        return _load(local, board, "")
    wanted = version or boards.version()
    name = boards.file_name(board, wanted)
    path = cache / name
    pinned = board.sha256.get(wanted) or _seen(cache).get(name, "")
    if not path.is_file():
        _download(boards.url(name), path, pinned, progress)
    try:
        firmware = _load(path, board, pinned)
    except ToolError as e:
        path.unlink(missing_ok=True)
        raise ToolError(e.message, f"run it again: the bad file was removed from {cache}") from e
    _remember(cache, name, firmware.sha256)
    return firmware


def _load(path: Path, board: Board, pinned: str) -> Firmware:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ToolError(f"{path} is larger than any flash chip", "give a firmware .bin file")
        data = path.read_bytes()
    except OSError as e:
        raise ToolError(f"{path}: {e.strerror}", "FIRMWARE= names the .bin file to install") from e
    digest = hashlib.sha256(data).hexdigest()
    if pinned and digest != pinned:
        hint = "get the file again; if it was meant to change, delete it from the cache"
        raise ToolError(f"{path.name} is not the file we know: SHA-256 differs", hint)
    _check(data, board, path.name)
    found = [pattern.search(data) for pattern in (_VERSION, _BUILD)]
    version, build = (m.group(1).decode() if m else "" for m in found)
    return Firmware(path, data, digest, version.lstrip("v"), build)


def _download(url: str, path: Path, pinned: str, progress: Progress) -> None:
    """Fetch to a file beside ``path`` and move it there only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            digest = _fetch(url, out.write, progress)
        if pinned and digest != pinned:
            raise ToolError(
                f"the download of {path.name} is damaged: SHA-256 differs", "try again"
            )
        os.replace(scratch, path)
    except (OSError, urllib.error.URLError) as e:
        reason = getattr(e, "reason", None) or e
        hint = f"on a machine with a network get {url} and put it into {path.parent}/"
        raise ToolError(f"cannot download {path.name}: {reason}", hint) from e
    finally:
        Path(scratch).unlink(missing_ok=True)


def _fetch(url: str, write: Callable[[bytes], int], progress: Progress) -> str:
    digest = hashlib.sha256()
    done = 0
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
        total = int(answer.headers.get("Content-Length") or 0)
        while chunk := answer.read(_CHUNK):
            write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if done > _MAX_BYTES:
                raise OSError("the answer is larger than any firmware")
            progress(done, total)
    if total and done != total:
        raise OSError(f"the connection ended after {done:,} of {total:,} bytes")
    return digest.hexdigest()


def _seen(cache: Path) -> dict[str, str]:
    try:
        listed: dict[str, str] = json.loads((cache / _SEEN).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return listed


def _remember(cache: Path, name: str, digest: str) -> None:
    listed = _seen(cache)
    if listed.get(name) != digest:
        scratch = cache / (_SEEN + ".new")
        scratch.write_text(json.dumps(listed | {name: digest}, indent=2) + "\n", "utf-8")
        os.replace(scratch, cache / _SEEN)


def _check(data: bytes, board: Board, name: str) -> None:
    """Return quietly if ``data`` can be written to ``board``; else ToolError saying what it is.

    `esptool image-info` reads chip, checksum and hash of one image. What it does not see: a file
    for the ESP32 family holds two, boot loader and application, with the partition table between
    them; one for the ESP8266 has its length at 0x8ffc and an MD5 at its end (MicroPython's
    makeimg.py).
    """
    if len(data) < 0x9000:
        raise ToolError(f"{name}: {len(data):,} bytes are not a firmware", _HINT)
    if data[0] != _MAGIC:
        raise ToolError(f"{name}: not an Espressif firmware (first byte {data[0]:02x})", _HINT)
    if board.chip == "esp8266":
        _check_image(data, board, name)
        _check_md5(data, name)
        return
    _check_image(data[: partitions.TABLE_OFFSET - board.flash_offset], board, name)
    apps = [row for row in partitions.of_image(data, board) if row.type == 0]
    if not apps:
        raise ToolError(f"{name}: the partition table has no application", _HINT)
    start = apps[0].offset - board.flash_offset
    if data[start : start + 1] != bytes([_MAGIC]):
        raise ToolError(f"{name}: no application where the partition table says", _HINT)
    _check_image(data[start:], board, f"{name}: application")


def _check_image(data: bytes, board: Board, name: str) -> None:
    """Chip, checksum and, where there is one, SHA-256 of the one image ``data`` begins with."""
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        file = Path(scratch, "image.bin")
        file.write_bytes(data)
        ran = program.run("esptool", ["image-info", str(file)], _ASK_S)
    found = _TYPE.search(ran.text)
    if found and (made := boards.of_chip(found[1]) or found[1]) != board.name:
        raise ToolError(f"{name}: made for {made}, not for {board.name}", _HINT)
    if not ran.ok or _INVALID.search(ran.text):
        last = next(iter(re.findall(r"fatal error occurred: (.+)", ran.text)), "checksum")
        raise ToolError(f"{name} is damaged or cut off: {last}", "get the file again")


def _check_md5(data: bytes, name: str) -> None:
    size = struct.unpack_from("<I", data, 0x8FFC)[0]
    # The first four bytes hold flash size and mode, which esptool may change.
    if data[size : size + 16] != hashlib.md5(data[4:size]).digest():
        raise ToolError(f"{name} is damaged or cut off: MD5", "get the file again")
