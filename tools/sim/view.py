"""What `make sim` knows about its things, fed by messages, and how it looks in a terminal."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from firmware.core.schema import DEFAULTS

_LOG_LINES = 8
_LOG_OF = 4  # with more things than that, the log only says what went wrong
_LATE = 3  # a reading is late after so many intervals
_NOTABLE = ("board:", "Traceback", "Error", "crash", "safe mode")


@dataclass
class Thing:
    """The last news of one thing; times are of ``time.monotonic``."""

    name: str
    reading: Mapping[str, Any] = field(default_factory=dict)
    readings: int = 0
    booted: float | None = None
    first_s: float | None = None  # from the boot to the first reading delivered
    at: float | None = None
    interval_s: int | None = None  # between the last two readings, by their own time
    online: bool | None = None
    change: str = ""  # the last change of its shadow
    asked: dict[str, float] = field(default_factory=dict)  # settings asked for, and since when
    applied_s: float | None = None  # how long the last desired value took until it was reported


class Fleet:
    """All things. `message` and `log` may be called from any thread."""

    def __init__(self, names: list[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.things = {name: Thing(name) for name in names}
        self.lines: deque[tuple[str, str]] = deque(maxlen=_LOG_LINES)
        self.up = True  # the viewer's own connection
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def readings(self) -> int:
        """Readings delivered so far, of all things."""
        return sum(thing.readings for thing in self.things.values())

    def booted(self, name: str) -> None:
        """The board of ``name`` gets its power now."""
        self.things[name].booted = self._clock()

    def slowest_first_s(self) -> float | None:
        """The longest that a thing took from its power-on to its first reading delivered here."""
        return max(
            (t.first_s for t in self.things.values() if t.first_s is not None), default=None
        )

    def message(self, topic: str, document: dict[str, Any]) -> str | None:
        """Take a delivered message; returns a line about it for those who want plain text."""
        parts = topic.split("/")
        name = parts[2] if topic.startswith("$aws/things/") else parts[1] if len(parts) > 1 else ""
        thing = self.things.get(name)
        if thing is None:
            return None
        with self._lock:
            if parts[-1] == "data":
                return self._reading(thing, document)
            if parts[-1] == "status":
                thing.online = document.get("online") is True
                return f"{name}: {'online' if thing.online else 'offline'}"
            if parts[-1] == "documents":
                return self._shadow(thing, document)
            if parts[-1] == "result":
                ending = "" if document.get("ok") is True else f": {document.get('reason')}"
                done = "done" if document.get("ok") is True else "not done"
                return f"{name}: command {document.get('action')} {done}{ending}"
        return None

    def log(self, name: str, line: str) -> None:
        """Take a line of a board's log."""
        if len(self.things) <= _LOG_OF or any(word in line for word in _NOTABLE):
            with self._lock:
                self.lines.append((name, line))

    def _reading(self, thing: Thing, document: dict[str, Any]) -> str:
        now = self._clock()
        if thing.at is None and thing.booted is not None:
            thing.first_s = now - thing.booted
        apart_s = _stamp(document) - _stamp(thing.reading)
        if thing.at is not None and apart_s > 0:  # not when one is delivered twice
            thing.interval_s = apart_s
        thing.at = now
        thing.readings += 1
        thing.reading = document
        cells = (*_values(document), f"seq {document.get('seq')}")
        return f"{_clock_text(document)}  {thing.name}  " + "  ".join(c for c in cells if c)

    def _shadow(self, thing: Thing, document: dict[str, Any]) -> str | None:
        before = _state(document.get("previous"))
        after = _state(document.get("current"))
        said = []
        for key in (*DEFAULTS, "rejected"):
            desired, real = after["desired"].get(key), after["reported"].get(key)
            if desired != before["desired"].get(key) and desired is not None and desired != real:
                thing.asked[key] = self._clock()
                said.append(f"{key} = {desired} desired")
            # The first report of a thing, its birth, is no change: unless it was desired.
            known = key in before["reported"] or key in thing.asked or key == "rejected"
            if known and real is not None and real != before["reported"].get(key):
                said.append(f"{key} = {real}{self._took(thing, key)}")
        if not said:
            return None
        thing.change = ", ".join(said)
        return f"{thing.name}: shadow: {thing.change}"

    def _took(self, thing: Thing, key: str) -> str:
        since = thing.asked.pop(key, None)
        if since is None:
            return ""
        thing.applied_s = self._clock() - since
        return f" after {thing.applied_s:.2f} s"

    def render(self, title: str) -> Group:
        """The live picture: a table, and the boards' own log."""
        table = Table(title=title, title_justify="left", title_style="bold", expand=True)
        for heading in ("thing", "read at (UTC)", "°C", "%RH", "hPa", "seq", "every"):
            left = heading in ("thing", "read at (UTC)")
            table.add_column(heading, justify="left" if left else "right", no_wrap=True)
        table.add_column("last change of the shadow", ratio=1, overflow="fold")
        with self._lock:
            for thing in self.things.values():
                table.add_row(*self._cells(thing))
            log = [f"{n}  {x}" if len(self.things) > 1 else x for n, x in self.lines]
        parts: list[Any] = [table]
        if log:
            name = "the boards' own log" if len(self.things) > 1 else "the board's own log"
            body = Text("\n".join(log), style="dim", no_wrap=True, overflow="ellipsis")
            parts.append(Panel(body, title=name, title_align="left", border_style="dim"))
        if not self.up:
            parts.append(Text("the local AWS does not answer", style="bold red"))
        return Group(*parts)

    def _cells(self, thing: Thing) -> tuple[str | Text, ...]:
        if thing.at is None:
            waiting = "offline" if thing.online is False else "waiting"
            return (thing.name, Text(waiting, style="dim"), "", "", "", "", "", Text(thing.change))
        age = self._clock() - thing.at
        late = thing.interval_s is not None and age > _LATE * thing.interval_s
        name = Text(thing.name, style="green" if thing.online is not False else "red")
        temperature, humidity, pressure = _values(thing.reading)
        every = "" if thing.interval_s is None else f"{thing.interval_s} s"
        return (
            name,
            Text(_clock_text(thing.reading), style="red" if late else ""),
            temperature.removesuffix(" °C"),
            humidity.removesuffix(" %RH"),
            pressure.removesuffix(" hPa"),
            str(thing.reading.get("seq", "")),
            every,
            Text(thing.change),
        )


def _values(reading: Mapping[str, Any]) -> tuple[str, str, str]:
    units = (("temperature", " °C", 2), ("humidity", " %RH", 1), ("pressure", " hPa", 1))
    texts = []
    for key, unit, digits in units:
        value = reading.get(key)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        texts.append(f"{value:.{digits}f}{unit}" if number else "")
    return texts[0], texts[1], texts[2]


def _stamp(reading: Mapping[str, Any]) -> int:
    """Unix seconds of a reading; 0 when what it says is none."""
    stamp = reading.get("timestamp")
    return stamp if isinstance(stamp, int) and 0 <= stamp < 2**33 else 0


def _clock_text(reading: Mapping[str, Any]) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(_stamp(reading)))


def _state(version: Any) -> dict[str, dict[str, Any]]:
    """The sections of a shadow document, empty where there are none."""
    state = version.get("state") if isinstance(version, dict) else None
    sections = state if isinstance(state, dict) else {}
    found = {key: sections.get(key) for key in ("desired", "reported")}
    return {key: value if isinstance(value, dict) else {} for key, value in found.items()}
