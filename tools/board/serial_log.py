"""The board's log over the serial port: line by line, through resets and pulled plugs."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from typing import Any

import serial

from tools import wire
from tools.errors import ToolError

BAUD = 115200  # MicroPython's REPL
_POLL_S = 0.05
_RESET_S = 0.1  # how long EN is held low
_REOPEN_S = 0.5
_MAX_LINE = 4096
_QUIET_S = 5.0  # until a silent board is worth a line
_STOPS, _STOPS_S = 4, 3.0  # a firmware within which Ctrl-C ends, also from a handshake
_BOOTS_S = 1.0
_SILENT = "-- nothing yet; a board on a battery is silent while it sleeps: press its reset --"
_TO_PROMPT = b"\r\x03\x03\x02"  # Ctrl-C twice ends a program, Ctrl-B leaves the raw REPL
_SOFT_RESET = b"\x04"
_PROMPT = b">>> "
_UPTIME = re.compile(r"^\[ *(\d+\.\d{3})\] (\w+): (.*)$")
_COLOURS = {
    "config": "cyan",
    "sensor": "green",
    "wifi": "blue",
    "clock": "magenta",
    "link": "yellow",
}
_BAD = ("Traceback", "corrupt", "invalid header", "esp_image:", "Brownout", "Guru Meditation")


def parse(line: str) -> tuple[float, str, str] | None:
    """Split `[uptime] module: text`; None for any other line."""
    found = _UPTIME.match(line)
    return (float(found[1]), found[2], found[3]) if found else None


def style(line: str) -> str:
    """The rich style for a line of the log."""
    if any(word in line for word in _BAD) or line.endswith("Error"):
        return "bold red"
    said = parse(line)
    return _COLOURS.get(said[1], "") if said else "dim"


class SerialLog:
    """An open port. ``patience_s``: how long a port that went away is waited for (0: not at all).

    Raises ToolError when the port cannot be opened or does not come back.
    """

    def __init__(self, port: str, patience_s: float = 0.0) -> None:
        self.port = port
        self._patience_s = patience_s
        self._held = b""
        self._serial: Any = None
        self._open_within(patience_s)

    def __enter__(self) -> SerialLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the port; the board runs on."""
        if self._serial is not None:
            # In this order the auto-reset circuit sees neither reset nor boot pressed.
            with contextlib.suppress(serial.SerialException, OSError):
                self._serial.rts = False
                self._serial.dtr = False
            with contextlib.suppress(serial.SerialException, OSError):
                self._serial.close()
            self._serial = None

    def reset(self) -> None:
        """Press and let go the reset button, through RTS, with the boot pin high."""
        try:
            self._serial.dtr = False
            self._serial.rts = True
            time.sleep(_RESET_S)
            self._serial.rts = False
        except (serial.SerialException, OSError) as e:
            # A port without these lines (socket://): the user presses the button.
            raise ToolError(f"{self.port} cannot reset the board: {e}", "press EN/RESET") from e

    def prompt(self) -> None:
        """Stop the firmware, be a terminal for the board's REPL until Ctrl-], and restart it.

        Whatever ends this, the board is restarted.
        """
        try:
            self._terminal(self.stop())
        finally:
            self._restart()

    def _terminal(self, said: bytes) -> None:
        from serial.tools.miniterm import Miniterm

        terminal: Any = Miniterm(self._serial, eol="cr")
        terminal.raw = True
        terminal.set_tx_encoding("utf-8")
        terminal.console.write_bytes(said)
        terminal.start()
        try:
            terminal.join(transmit_only=True)
        finally:
            terminal.stop()
            terminal.console.cleanup()
            terminal.receiver_thread.join()

    def stop(self) -> bytes:
        """Stop the firmware; what the board says. One that is silent sleeps: a reset wakes it.

        One that boots does not hear what is typed, and is told again.
        """
        said = b""
        for _ in range(_STOPS):
            self._serial.write(_TO_PROMPT)
            heard, end = b"", time.monotonic() + _STOPS_S
            while _PROMPT not in heard and time.monotonic() < end:
                heard += self._serial.read(max(1, self._serial.in_waiting))
            said += heard
            if _PROMPT in heard:
                break
            if not heard:
                with contextlib.suppress(ToolError):
                    self.reset()
                    time.sleep(_BOOTS_S)
        return said

    def _restart(self) -> None:
        try:
            self.reset()
        except ToolError:  # a port without that line: a soft reset, from the prompt
            self._serial.write(_TO_PROMPT + _SOFT_RESET)
            self._serial.flush()

    def lines(self, until: float | None = None, hint: bool = False) -> Iterator[str]:
        """Yield whole lines until ``until`` (time.monotonic()), or for ever.

        ``hint``: and one about boards that sleep, when nothing comes at first.
        """
        quiet_at = time.monotonic() + _QUIET_S
        while until is None or time.monotonic() < until:
            if hint and time.monotonic() > quiet_at:
                hint = False
                yield _SILENT
            try:
                data = self._serial.read(max(1, self._serial.in_waiting))
            except (serial.SerialException, OSError) as e:
                yield from self._lost(e)
                continue
            hint = hint and not data
            *whole, self._held = (self._held + data).split(b"\n")
            if len(self._held) > _MAX_LINE:
                whole, self._held = [*whole, self._held], b""
            for line in whole:
                # Left out, not escaped: a boot ROM's own baud rate gives much of it. Tabs stay.
                yield wire.text(line.decode("utf-8", "replace"), lines=True, drop=True)

    def _lost(self, error: Exception) -> Iterator[str]:
        """The port went away: a native USB board does at every reset, a cable when pulled."""
        self.close()
        self._held = b""
        if not self._patience_s:
            raise ToolError(f"{self.port} went away: {error}", "check the cable")
        yield f"-- {self.port} is gone, waiting for it --"
        self._open_within(self._patience_s)

    def _open_within(self, patience_s: float) -> None:
        end = time.monotonic() + patience_s
        while True:
            try:
                return self._open()
            except ToolError:
                if time.monotonic() >= end:
                    raise
                time.sleep(_REOPEN_S)

    def _open(self) -> None:
        try:
            self._serial = serial.serial_for_url(self.port, BAUD, timeout=_POLL_S)
        except (serial.SerialException, OSError, ValueError) as e:
            hint = "close other programs on it, and look with: python -m tools ports"
            raise ToolError(f"{self.port} cannot be opened: {e}", hint) from e
