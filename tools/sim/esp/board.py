"""The virtual board: reset and boot pins, power, the loader, and MicroPython run from the flash.

DTR and RTS drive EN and IO0 through the two transistors of every devkit: EN is low while RTS is
asserted and DTR is not, IO0 is low while DTR is asserted and RTS is not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import time
import tty
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools import toolchain
from tools.board import partitions
from tools.errors import ToolError
from tools.sim import launch
from tools.sim.control import RTC_BYTES
from tools.sim.esp import chips
from tools.sim.esp.loader import FlashArray, Loader
from tools.things import boards

START = Path(__file__).with_name("device") / "start.py"
APP_BAUD = 115200
_TABLE = partitions.TABLE_OFFSET
_EXITS = {71: "reset", 72: "friendly", 172: "raw", 73: "sleep"}  # of start.py and the shims
_STRAP_S = 0.02  # how long after EN the boot pin is read
_BOTH_S = 0.2  # the capacitor on EN, stretched: over RFC 2217 each line takes 50 ms
# what ended the last run -> the reset cause, as tools/sim/shims/machine.py knows it
_CAUSE = dict(power="power_on", reset="hard", soft="soft", wdt="watchdog", sleep="deepsleep")
_BANNER = b"ets Jul 29 2019 12:21:46\r\n\r\n"
_DOWNLOAD = _BANNER + b"rst:0x1 (POWERON_RESET),boot:0x3 (DOWNLOAD_BOOT)\r\nwaiting\r\n"
_RUN = _BANNER + b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"


@dataclass
class Faults:
    """What goes wrong; each can be set while the board runs."""

    silent: bool = False  # never answers
    max_baud: int = 10_000_000  # above it the line carries noise
    vanish_after: int | None = None  # bytes from the host until the port is pulled out
    power_cut_after: int | None = None  # bytes programmed until the power goes


@dataclass
class Board:
    """One board, its flash a file in ``folder``; ``settings`` are those of tools/sim/world.py."""

    folder: Path
    chip_name: str = "esp32"
    mac: bytes = bytes.fromhex("24:6f:28:aa:bb:cc".replace(":", ""))
    flash_bytes: int = 4 << 20
    settings: dict[str, Any] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.flash = FlashArray(self.folder / "flash.bin", self.flash_bytes)
        self.chip = chips.MAKERS[self.chip_name](self.mac)
        self.loader: Loader | None = None
        self.boots = 0
        self._app: subprocess.Popen[bytes] | None = None
        self._master = self._slave = -1
        self._out = bytearray()
        self._dtr = self._rts = False
        self._strap_at: float | None = None
        self._both_until = 0.0
        self._wake_at = math.inf  # when a deep sleep ends
        self._micropython = toolchain.micropython(64)
        # What it has built in: the simulated hardware, and umqtt (start.py).
        self._host = self.folder / "host"
        for path, name in (
            (launch.SHIMS, "sim/shims"),
            (launch.CHIPS, "sim/chips"),
            (toolchain.umqtt_dir(), "lib"),
        ):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, self._host / name, ignore=ignore, dirs_exist_ok=True)

    # -- pins

    def lines(self, dtr: bool, rts: bool) -> None:
        was_low = self._rts and not self._dtr
        self._dtr, self._rts = dtr, rts
        now = time.monotonic()
        if rts and not dtr:
            self.stop()
            self._strap_at = None
        elif was_low:
            self._strap_at = now + _STRAP_S
            self._both_until = now + _BOTH_S
        elif self._strap_at is not None:
            self._strap_at = now + _STRAP_S

    def power_on(self) -> None:
        self.stop()
        self._strap_at = time.monotonic() + _STRAP_S

    def power_off(self) -> None:
        self.stop()
        self._strap_at = None

    def tick(self) -> None:
        """Let time pass: called often by the server."""
        now = time.monotonic()
        cut = self.faults.power_cut_after
        if cut is not None and self.flash.programmed >= cut:
            self.faults.power_cut_after = None
            self.faults.silent = True
            self.stop()
        if self._strap_at is not None and now >= self._strap_at:
            if self._dtr and self._rts and now < self._both_until:
                return
            self._strap_at = None
            self._boot(download=self._dtr and not self._rts)
        if now >= self._wake_at:
            self._restart("sleep")
        if self._app is not None and self._app.poll() is not None:
            self._ended(self._app.returncode)

    # -- the wire

    @property
    def baud(self) -> int | None:
        """What the chip's UART is set to; None: it takes any rate."""
        return self.loader.baud if self.loader else APP_BAUD

    def receive(self, data: bytes, baud: int) -> None:
        if self.faults.silent:
            return
        if (self.baud is not None and baud != self.baud) or baud > self.faults.max_baud:
            self._out += b"\x80\xfe"[: len(data)]  # framing errors
        elif self.loader:
            self.loader.baud = baud
            self._out += self.loader.feed(data)
            if self.loader.next_baud:
                self.loader.baud, self.loader.next_baud = self.loader.next_baud, None
            if self.loader.run:
                self.power_on()
        elif self._app is not None:
            self._type(data)

    def take(self) -> bytes:
        self._collect()
        sent, self._out = bytes(self._out), bytearray()
        return b"" if self.faults.silent else sent

    def fileno(self) -> int:
        """To select() on, or -1."""
        return self._master

    # -- what runs

    def stop(self) -> None:
        """EN low or power off: whatever runs ends, nothing is flushed."""
        self.loader = None
        self._wake_at = math.inf
        if self._app is not None:
            self._app.kill()
            self._app.wait()
            self._app = None
        for fd in (self._master, self._slave):
            if fd >= 0:
                os.close(fd)
        self._master = self._slave = -1

    def _boot(self, download: bool) -> None:
        if download:
            self.loader = Loader(self.chip, self.flash)
            self._out += _DOWNLOAD
            return
        self.boots += 1
        self._out += _RUN
        if problem := self._bad_firmware():
            self._out += problem.encode() + b"\r\n"
        else:
            self._start("friendly", "power")

    def _bad_firmware(self) -> str:
        """What the boot loader would complain about, or ""."""
        row = boards.get(self.chip_name)
        if not self.filesystem()[1] or self.flash.read(row.flash_offset, 1) != b"\xe9":
            return "invalid header: 0xffffffff"
        if row.chip == "esp8266":
            return ""
        try:
            rows = partitions.parse(self.flash.read(_TABLE, partitions.TABLE_BYTES))
        except ToolError as e:
            return f"E (60) flash_parts: {e}"
        data = next(self.flash.read(row.offset, row.size) for row in rows if row.type == 0)
        # A header of 24 bytes with the number of segments, each with its length; then SHA-256.
        end = 24
        for _ in range(data[1]):
            end += 8 + int.from_bytes(data[end + 4 : end + 8], "little")
        end = (end | 15) + 1
        if data[end : end + 32] != hashlib.sha256(data[:end]).digest():
            return "E (85) esp_image: image hash failed - image is corrupt"
        return ""

    def filesystem(self) -> tuple[int, int]:
        """Start and size of the file system according to the flash itself; size 0: none."""
        if self.chip_name == "esp8266":
            return 0x100000, self.flash_bytes - 0x105000
        for at in range(_TABLE, _TABLE + partitions.TABLE_BYTES, 32):
            row = self.flash.read(at, 32)
            if row[:2] == b"\xaa\x50" and row[12:28].rstrip(b"\0") == b"vfs":
                start, size = struct.unpack_from("<II", row, 4)
                return start, size
        return 0, 0

    def _start(self, mode: str, cause: str) -> None:
        self.stop()
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        sim = self._host / "sim.json"
        settings = {"unique_id": self.mac.hex(), "reset_cause": _CAUSE.get(cause, "hard")}
        sim.write_text(json.dumps(settings | self.settings))
        if cause == "power":
            Path(f"{sim}.state").unlink(missing_ok=True)
            Path(f"{sim}.rtc").write_bytes(bytes(RTC_BYTES))
        place = map(str, (self.flash.path, *self.filesystem()))
        self._app = subprocess.Popen(
            [*self._micropython, str(START), *place, str(self._host), mode],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={"FIELDMOUSE_SIM": "/frozen/sim.json"},
            start_new_session=True,
        )

    def _type(self, data: bytes) -> None:
        """Keys to MicroPython: Ctrl-C is a signal while a program runs (see repl.py)."""
        assert self._app is not None
        for part in re.split(b"(\x03)", data):
            if part and not (part == b"\x03" and self._interrupted(self._app)):
                self._push(part)

    def _interrupted(self, app: subprocess.Popen[bytes]) -> bool:
        # The unix port raises wherever the signal finds it. In the collector that leaves the heap
        # locked for good, which no board does: so while it waits for something, if it soon does.
        end = time.monotonic() + 1
        stat = Path(f"/proc/{app.pid}/stat")
        while termios.tcgetattr(self._slave)[3] & termios.ISIG:
            state = "S"
            with contextlib.suppress(OSError):  # no /proc, or no process
                state = stat.read_text().rpartition(")")[2].split()[0]
            if state != "R" or time.monotonic() > end:
                with contextlib.suppress(ProcessLookupError):
                    app.send_signal(signal.SIGINT)
                return True
            time.sleep(0.001)
        return False

    def _collect(self) -> None:
        if self._master >= 0:
            with contextlib.suppress(OSError):
                while chunk := os.read(self._master, 65536):
                    self._out += chunk

    def _push(self, part: bytes) -> None:
        # A terminal takes 4 KB; the rest has to wait until MicroPython has read it.
        end = time.monotonic() + 5
        while part and time.monotonic() < end:
            try:
                part = part[os.write(self._master, part) :]
            except BlockingIOError:
                self._collect()
                time.sleep(0.001)

    def _ended(self, code: int) -> None:
        self._collect()
        self._app = None
        what = _EXITS.get(code, "wdt" if code == -signal.SIGALRM else "crash")
        if what in ("friendly", "raw"):
            self._start(what, "soft")
        elif what == "sleep":
            state = json.loads((self._host / "sim.json.state").read_text())
            self._wake_at = time.monotonic() + (state["sleep_us"] / 1e6 or math.inf)
        else:
            self._restart(what)

    def _restart(self, cause: str) -> None:
        self._out += _RUN
        self.boots += 1
        self._start("friendly", cause)
