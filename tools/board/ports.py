"""Serial ports: which boards are plugged in, and whether the port asked for can be used."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools import wire
from tools.errors import ToolError

WAIT_S = 600.0
_RIGHTS_S = 3.0  # a port that has just come gets its rights a moment later
_LOOK_S = 0.2
_ESPRESSIF = 0x303A  # USB vendor id: the chip itself is on the USB cable, no adapter between


class NoPort(ToolError):
    """There is no port now; a board that sleeps may have none, and has one when it is awake."""


@dataclass(frozen=True)
class Port:
    """A USB serial port, and what its adapter calls itself."""

    device: str
    name: str

    def __str__(self) -> str:
        return wire.text(f"{self.device}  {self.name}")


def found() -> list[Port]:
    """Every USB serial port of this machine, by device name."""
    from serial.tools import list_ports

    ports = [p for p in list_ports.comports() if p.vid is not None]
    made = (Port(p.device, p.product or p.description or "") for p in ports)
    return sorted(made, key=lambda port: port.device)


def choose(given: str) -> str:
    """Return the port to use: ``given``, or the only one that is plugged in.

    ``given`` may be anything pyserial opens (a device, `rfc2217://host:port`, `socket://…`).
    ToolError when there is none, more than one, or no right to open it.
    """
    if given:
        return given if "://" in given else _usable(given)
    ports = found()
    if len(ports) == 1:
        return _usable(ports[0].device)
    if not ports:
        raise NoPort(
            "no board found: no USB serial port is plugged in",
            "another cable (many only charge), the driver of the USB chip (docs/boards.md), "
            "or PORT=rfc2217://host:port",
        )
    listed = "\n  ".join(["several boards are plugged in:", *map(str, ports)])
    raise ToolError(listed, f"PORT={ports[0].device}")


def wait(given: str, note: Callable[[str], None], limit_s: float = WAIT_S) -> str:
    """`choose`, but a port that is not there is waited for; ``note`` gets a line about that.

    With a limit of 0 it is `choose`.
    """
    end, told, came = time.monotonic() + limit_s, False, 0.0
    while True:
        try:
            return choose(given)
        except NoPort as e:
            if time.monotonic() >= end:
                raise
            if not told:
                note(
                    f"{e.message}; a board that sleeps has none: press its reset (RST, EN), or "
                    f"plug it in; waiting {limit_s / 60:g} min, Ctrl-C ends"
                )
            told = True
        except ToolError:
            came = came or time.monotonic()
            if not told or time.monotonic() >= came + _RIGHTS_S:
                raise
        time.sleep(_LOOK_S)


def is_native(device: str) -> bool:
    """True if the port is the chip's own USB: it goes away at every reset and comes back."""
    from serial.tools import list_ports

    return any(p.device == device and p.vid == _ESPRESSIF for p in list_ports.comports())


def _usable(device: str) -> str:
    if os.name == "nt":  # COM ports are no files
        return device
    if not Path(device).exists():
        listed = ", ".join(p.device for p in found()) or "none"
        raise NoPort(f"there is no port {device}", f"plugged in: {listed}")
    if not os.access(device, os.R_OK | os.W_OK):
        raise ToolError(
            f"no right to use {device}", "sudo usermod -aG dialout $USER, log in again"
        )
    return device
