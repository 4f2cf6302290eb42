"""What happens to the simulated chips, and when: the language of `scene` and ``SCENE=``.

    unplug@30,plug@60,crc@40..50:0x44,sda@70..72

A scene is a list of events, joined by commas: ``KIND@START[..END][:ADDRESS]``, in seconds since
power-on (`t`). Without an address it is for every chip.

    unplug  the chip is gone, from START until it is plugged in again, or until END
    plug    it is back, with the registers of a chip that has just got its power
    crc     START to END: what it says is damaged on the wire
    nack    START to END: it acknowledges nothing, but keeps its registers
    stuck   START to END: it acknowledges, but a measurement never ends
    freeze  START to END: it measures what it has measured last, again and again
    sda     START to END: SDA is held low, and no clock frees it; of the bus, so without an address
"""

from __future__ import annotations

import re
from typing import Any

from tools.errors import ToolError

# kind, from and until in milliseconds since power-on, address or None: as shims/_scene.py takes it
Event = tuple[str, int, int, int | None]

_WINDOWS = ("crc", "nack", "stuck", "freeze", "sda")
KINDS = ("unplug", "plug", *_WINDOWS)
_OF_THE_AIR = ("temperature", "humidity", "pressure", "co2")
_MOST_S = 1_000_000
_FOREVER_MS = _MOST_S * 1000
_EVENT = re.compile(r"([a-z]+)@([^:]*)(?::(.*))?")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{1,2}")
_HINT = "unplug@30,plug@60,crc@40..50:0x44 (seconds since power-on, address of one chip)"


def parse(value: Any, where: str = "scene") -> list[Event]:
    """The events of a text, or of a list of texts, in order; ToolError names the wrong part."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ToolError(f"{where}: is neither text nor a list of texts", _HINT)
    events: list[Event] = []
    for text in texts:
        for part in text.split(","):
            events += _events(part.strip(), where)
    events.sort(key=lambda event: event[1])
    _check_plugs(events, where)
    return events


def check(value: Any, where: str) -> Any:
    """``value`` as it is, if it is a scene."""
    parse(value, where)
    return value


def fit(value: Any, chips: list[int]) -> None:
    """ToolError for an event that is about an address at which none of the ``chips`` is."""
    for kind, at, _, address in parse(value):
        if address not in (None, *chips):
            found = ", ".join(f"0x{chip:02x}" for chip in chips) or "none"
            said = f"scene: {kind}@{at / 1000:g}:0x{address:02x}: no chip there; chips: {found}"
            raise ToolError(said, "the address of a chip, or none for all")


def _events(part: str, where: str) -> list[Event]:
    found = _EVENT.fullmatch(part)
    if part.startswith(_OF_THE_AIR):
        name = re.match(r"[a-z0-9]+", part)
        key = name[0] if name else part
        hint = f'"{key}": "ramp(20, 30, 60, 120)" in the world, --temperature on a command line'
        raise ToolError(f"{where}: {part!r}: {key} is a key of its own", hint)
    if not found:
        raise ToolError(f"{where}: cannot read {part!r}", _HINT)
    kind, times, place = found.groups()
    if kind not in KINDS:
        raise ToolError(f"{where}: {part!r}: {kind} is none of {', '.join(KINDS)}", _HINT)
    address = None if place is None else _address(place, part, kind, where)
    start, dots, end = times.partition("..")
    at = _ms(start, part, where)
    if not dots and kind in _WINDOWS:
        raise ToolError(f"{where}: {part!r} does not say until when", f"{kind}@{start}..60")
    if dots and kind == "plug":
        raise ToolError(f"{where}: {part!r}: it stays plugged in", f"plug@{start}")
    until = _ms(end, part, where) if dots else _FOREVER_MS
    if until <= at:
        raise ToolError(f"{where}: {part!r} ends before it begins", f"{kind}@30..60")
    if kind == "unplug" and dots:
        return [(kind, at, _FOREVER_MS, address), ("plug", until, _FOREVER_MS, address)]
    return [(kind, at, until, address)]


def _ms(text: str, part: str, where: str) -> int:
    seconds = float(text) if re.fullmatch(r"\d{1,7}(\.\d{1,3})?", text) else -1.0
    if not 0 <= seconds <= _MOST_S:
        raise ToolError(f"{where}: {part!r}: {text!r} is no time, 0 to {_MOST_S:,} seconds", _HINT)
    return round(seconds * 1000)


def _address(text: str, part: str, kind: str, where: str) -> int:
    if kind == "sda":
        raise ToolError(f"{where}: {part!r}: sda is of the whole bus", "sda@10..20")
    address = int(text, 16) if _ADDRESS.fullmatch(text) else 0
    if not 0x08 <= address <= 0x77:
        raise ToolError(f"{where}: {part!r}: {text!r} is no address, 0x08 to 0x77", _HINT)
    return address


def _check_plugs(events: list[Event], where: str) -> None:
    """ToolError for a chip that is plugged in where none was unplugged before."""
    gone: set[int | None] = set()  # None: all, but those that are back
    back: set[int] = set()
    for kind, at, _, address in events:
        if kind == "unplug":
            gone.add(address)
            back = set() if address is None else back - {address}
        elif kind == "plug":
            out = address in gone or (None in gone and address not in back)
            if not (out or (gone and address is None)):
                place = "" if address is None else f":0x{address:02x}"
                text = f"plug@{at / 1000:g}{place}"
                hint = f"unplug@0{place},{text} for a chip that is not there from the start"
                raise ToolError(f"{where}: {text!r}: nothing was unplugged before it", hint)
            if address is None:
                gone, back = set(), set()
            else:
                gone.discard(address)
                back.add(address)
