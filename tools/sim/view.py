"""What `make sim` knows about its things, and how it looks in a terminal."""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from firmware.core.telemetry import crc16
from tools.aws.watch import Watch, Watched

_LOG_LINES = 8
_LOG_OF = 4  # with more things than that, the log only says what went wrong
_FRAME = 2  # lines of a frame around the log
_NOTABLE = ("board:", "Traceback", "Error", "crash", "safe mode")
_LOOKS = 5  # what is acknowledged and has not come at so many in a row is lost
_LOOK_S = 0.5  # how often the boards' flash is looked at


@dataclass
class _Board:
    """``folder``: its file system; ``low``: the lowest seq not acknowledged, at the last looks."""

    folder: Path
    booted: float
    low: deque[int]


class View:
    """All things. `message` and `log` may be called from any thread."""

    def __init__(self, names: list[str], now: Callable[[], float] = time.time) -> None:
        self.watch = Watch(names, now=now)
        self.lines: deque[tuple[str, str]] = deque(maxlen=_LOG_LINES)
        self.updates: Callable[[str, Path], str] | None = None  # (thing, its folder) -> how far
        self._boards: dict[str, _Board] = {}
        self._now = now
        self._looked = 0.0
        self._lock = threading.Lock()

    @property
    def things(self) -> dict[str, Watched]:
        return self.watch.things

    @property
    def readings(self) -> int:
        """Readings delivered so far, of all things."""
        return sum(thing.count for thing in self.things.values())

    @property
    def lost(self) -> int:
        """Readings that a board has taken and that neither came nor wait on it."""
        return sum(thing.evidence.lost or 0 for thing in self.things.values())

    def booted(self, name: str, folder: Path) -> None:
        """The board of ``name``, whose file system is ``folder``, gets its power now."""
        _, low = stored(folder) or (1, 1)
        self._boards[name] = _Board(folder, self._now(), deque([low], _LOOKS))
        self.things[name].tally.top = low - 1

    def slowest_first_s(self) -> float | None:
        """The longest that a thing took from its power-on to its first reading delivered here."""
        firsts = ((self.things[name].first_at, b.booted) for name, b in self._boards.items())
        return max((at - booted for at, booted in firsts if at is not None), default=None)

    def message(self, topic: str, payload: bytes) -> str:
        """Take a delivered message; a line about it for those who want plain text, or none: ""."""
        with self._lock:
            event = self.watch.take(topic, payload)
        return event.text if event else ""

    def link(self, text: str) -> None:
        with self._lock:
            self.watch.link(text)

    def log(self, name: str, line: str) -> None:
        if len(self.things) <= _LOG_OF or any(word in line for word in _NOTABLE):
            with self._lock:
                self.lines.append((name, line))

    def render(self, width: int, height: int) -> Group:
        """The live picture: a table, and the boards' own log in the lines that are left."""
        with self._lock:
            self.look()
            title = f"{self.readings} readings by MQTT over mutual TLS, {self.lost} lost"
            if self.updates is not None:
                self.watch.told, self.watch.kept = self._told(self.updates), "firmware"
            parts: list[RenderableType] = [self.watch.table(width, height - 2, title)]
            log = [f"{n}  {x}" if len(self.things) > 1 else x for n, x in self.lines]
        room = height - 3 - len(self.things)
        if room > _FRAME and log:
            name = "the boards' own log" if len(self.things) > 1 else "the board's own log"
            body = Text("\n".join(log[_FRAME - room :]), no_wrap=True, overflow="ellipsis")
            body.stylize("dim")
            parts.append(Panel(body, title=name, title_align="left", border_style="dim"))
        return Group(*parts)

    def _told(self, tell: Callable[[str, Path], str]) -> dict[str, str]:
        return {name: tell(name, board.folder) for name, board in self._boards.items()}

    def look(self) -> None:
        """See on the boards' flash what waits there: the birth message says it once an hour."""
        if self._now() - self._looked < _LOOK_S:
            return
        self._looked = self._now()
        for name, board in self._boards.items():
            found = stored(board.folder)
            if found:
                following, low = found
                board.low.append(low)
                thing = self.things[name]
                thing.evidence.waiting = thing.tally.missing(low, following)
                # The board may learn of the delivery before we get it.
                thing.evidence.lost = thing.tally.missing(0, min(board.low))


def stored(folder: Path) -> tuple[int, int] | None:
    """(next seq, lowest seq not acknowledged) of a board's outbox; docs/outbox.md, On flash."""
    heads = []
    for name in ("a", "b"):
        try:
            head = (folder / "data" / "outbox" / name).read_bytes()[:14]
        except OSError:
            continue
        if (
            len(head) == 14
            and head[0] == 0xF5
            and struct.unpack("<H", head[12:])[0] == crc16(head, 0, 12)
        ):
            heads.append(struct.unpack("<II", head[1:9]))
    return max(heads, default=None)
