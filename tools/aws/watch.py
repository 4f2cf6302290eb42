"""What `watch` and `sim` know of things by the messages they hear, as these arrive."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware.core.quantities import rows
from tools import wire
from tools.aws.facts import AHEAD_S, FACTS, QUANTITY_NAMES, Evidence, part, reading_of
from tools.aws.health import Health, assess
from tools.aws.health_table import clock_text, sleep_text, spark, table
from tools.aws.tally import Tally
from tools.errors import ToolError
from tools.things.values import thing_name

if TYPE_CHECKING:
    from rich.table import Table

DATA, _SHADOWS = "devices/+/data", "$aws/things/+/shadow/update/documents"
OTHERS = (*["devices/+/status", "devices/+/alarms", "devices/+/commands/result"], _SHADOWS)
COLUMNS = ("received", "thing", "timestamp", *QUANTITY_NAMES, "seq", "time")
_KEPT = 100_000  # readings a thing, for the plot: two months at one a minute
_MOST_THINGS = 10_000  # rows; names are free where the topic does not say who sent it
_MOST_BYTES = 64 * 1024  # of a message that is kept; a shadow has 8 KB, twice, with metadata
_HEADER_BYTES = 4096


@dataclass(frozen=True)
class Event:
    """A message that counts. ``text`` is a line for people, "" where it is not worth one."""

    kind: str  # "reading", "status", "command", "shadow"
    thing: str
    text: str
    fields: dict[str, Any]  # what `--json` shows of it


@dataclass
class Watched:
    """One thing. ``series`` holds (Unix seconds, degrees C), oldest first."""

    evidence: Evidence
    count: int = 0  # readings, those that came twice too
    first_at: float | None = None  # when the first arrived
    change: str = ""  # the last of its shadow
    told: str = ""  # the last of its status
    asked: dict[str, float] = field(default_factory=dict)  # settings desired, and since when
    tally: Tally = field(default_factory=Tally)
    series: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_KEPT))


class Watch:
    """Takes messages, keeps what the table, the CSV and the plot show."""

    def __init__(
        self,
        wanted: Sequence[str] = (),
        file: Path | None = None,
        now: Callable[[], float] = time.time,
        data: str = DATA,
        accept: Callable[[Health], bool] = lambda h: True,
    ) -> None:
        """``data``: the topic filter of the readings; its only + is the place of the thing.

        Where it has none or several, who sent a reading is what the reading says: shown with a ?.
        ``accept`` decides what `health` and the table show.
        """
        self._wanted = frozenset(wanted)
        self._now, self._accept = now, accept
        self._began: float | None = now()  # to listen; None: the connection is away
        pattern = re.escape(data).replace(r"\+", "[^/]+").replace(r"\#", ".*")
        self._data, levels = re.compile(pattern), data.split("/")
        self._place = levels.index("+") if levels.count("+") == 1 else None
        self.things = {name: Watched(Evidence(name)) for name in wanted}
        self.told, self.kept = dict[str, str](), "thing"  # for table(): first in the last column
        self.odd = 0  # messages that are no readings, or another's than they say
        self.odd_last = ""  # what was odd about the last of them
        self._file = _open(file) if file else None

    def close(self) -> None:
        if self._file:
            self._file.close()

    def take(self, topic: str, payload: bytes) -> Event | None:
        """One message; None when it is of no use: odd, or of a thing that is not wanted."""
        document = wire.document(payload) if len(payload) <= _MOST_BYTES else None
        if document is None:
            self._count(topic, "is no JSON object")
            return None
        levels = topic.split("/")
        if topic.startswith("$aws/things/"):
            return self._of(levels[2], document, self._change)
        if levels[0] == "devices" and levels[2:] == ["status"]:
            return self._of(levels[1], document, self._status)
        kinds = {"alarms": _alarm, "commands/result": _result}
        if levels[0] == "devices" and (made := kinds.get("/".join(levels[2:]))):
            return self._of(levels[1], document, made)
        return self._reading(topic, document)

    def learn(self, e: Evidence) -> None:
        """What AWS was asked for; what was heard meanwhile is newer."""
        thing = self._thing(e.thing)
        if thing is None:
            return
        known = thing.evidence
        if known.status_at is None:
            known.status, known.status_at, known.connection = e.status, e.status_at, e.connection
        known.shadow = known.shadow or e.shadow
        known.certificates, known.certified_at = e.certificates, e.certified_at
        known.unknown, known.topic = e.unknown, e.topic

    def link(self, text: str) -> None:
        """The connection has gone, or is there again; ``text`` is `mqtt.Connection`'s."""
        self._began = self._now() if text.startswith("connected") else None
        for thing in self.things.values():  # what came meanwhile was not heard, which is no loss
            thing.tally.interrupted()

    def health(self, name: str) -> Health | None:
        """The health of a thing, None when it is not to be shown."""
        evidence, now = self.things[name].evidence, self._now()
        began, topic = self._began, evidence.topic or f"devices/{name}/data"
        # None comes under its name from elsewhere, nor where no topic says whose a reading is.
        if self._place is None or not self._data.fullmatch(topic):
            began = None if evidence.heard_at is None else began
        evidence.listened_s = 0 if began is None else now - began
        found = assess(evidence, now)
        return found if self._accept(found) else None

    def table(self, width: int = 200, rows: int | None = None, title: str = "") -> Table:
        """The live table, worst first; ~ marks a time that is an estimate."""
        from rich.text import Text

        found = [h for name in self.things if (h := self.health(name))]
        notes = {
            n: f"{self.told.get(n, '')}  {spark([v for _, v in t.series])}  {t.change}".strip()
            for n, t in self.things.items()
        }
        if self._began is None:
            title = f"connection lost, trying again; {title}"
        made = table(found, width, rows, notes, title, self.kept)
        if self.odd:
            made.caption = Text(f"{self.odd} odd messages; {self.odd_last}")
        return made

    def _count(self, topic: str, why: str) -> None:
        self.odd += 1
        self.odd_last = wire.short(f"{topic}: {why}")

    def _thing(self, name: str) -> Watched | None:
        if self._wanted and name.removesuffix("?") not in self._wanted:
            return None
        if name not in self.things and len(self.things) >= _MOST_THINGS:
            return None
        return self.things.setdefault(name, Watched(Evidence(name)))

    def _of(
        self,
        name: str,
        document: dict[str, Any],
        take: Callable[[Watched, dict[str, Any]], Event | None],
    ) -> Event | None:
        thing = None if thing_name(name) else self._thing(name)
        return take(thing, document) if thing else None

    def _reading(self, topic: str, document: dict[str, Any]) -> Event | None:
        claimed, reading, place = document.get("device_id"), reading_of(document), self._place
        name = str(claimed) if place is None else "".join(topic.split("/")[place : place + 1])
        if reading is None or thing_name(name):
            self._count(topic, "is no reading")
            return None
        if name != claimed:
            self._count(topic, f"says that it is of {claimed}")
            return None
        thing = self._thing(f"{name}?" if place is None else name)
        if thing is None:
            return None
        e, now = thing.evidence, self._now()
        # The newest by its own time: what was stored comes later than it was measured.
        before = (e.reading or {}).get("timestamp", 0)
        if reading["timestamp"] >= before or before > now + AHEAD_S:
            e.reading = reading
        e.heard_at = now
        thing.first_at = thing.first_at or now
        thing.count += 1
        thing.series.append((float(reading["timestamp"]), float(reading["temperature"])))
        if "seq" in reading:
            thing.tally.take(reading["seq"], reading["timestamp"])
            e.lost = thing.tally.missing(0, (thing.tally.top or 0) + 1)
        if self._file and self.health(e.thing):
            _add(self._file, _iso(now), e.thing, *(reading.get(key, "") for key in COLUMNS[2:]))
        return Event("reading", e.thing, _line(e.thing, reading), reading)

    def _status(self, thing: Watched, document: dict[str, Any]) -> Event:
        e = thing.evidence
        e.status, e.status_at, e.connection = document, self._now(), None
        told = "online" if document.get("online") is True else "offline"
        told = sleep_text(assess(e, self._now())) or told
        again, thing.told = told == thing.told, told  # the birth message comes every hour
        return Event("status", e.thing, "" if again else f"{e.thing}: {told}", document)

    def _change(self, thing: Watched, document: dict[str, Any]) -> Event:
        e = thing.evidence
        if part(document, "current"):
            e.shadow = part(document, "current")
        before, after = (_sections(document.get(key)) for key in ("previous", "current"))
        changed = {
            section: {
                key: after[section].get(key)
                for key in sorted({*before[section], *after[section]})
                if before[section].get(key) != after[section].get(key)
            }
            for section in ("desired", "reported")
        }
        told = list(self._told(thing, changed, before, after))
        if told:
            thing.change = wire.short(f"{clock_text(self._now())} {', '.join(told)}")
        text = wire.text(f"{e.thing}: shadow: {', '.join(told)}") if told else ""
        return Event("shadow", e.thing, text, changed)

    def _told(self, thing: Watched, changed: Any, before: Any, after: Any) -> Iterable[str]:
        """What a person wants to know of a change: not what the board reports every hour."""
        for key, value in changed["desired"].items():
            if value is not None and value != after["reported"].get(key):
                thing.asked[key] = self._now()
                yield f"{key} = {wire.short(wire.shown(value))} desired"
        for key, value in changed["reported"].items():
            since = thing.asked.pop(key, None)
            # The first report of a thing, its birth, is no change: unless it was desired.
            known = key in before["reported"] or since is not None or key == "rejected"
            if known and key not in FACTS:
                took = "" if since is None else f" after {self._now() - since:.2f} s"
                yield f"{key} = {wire.short(wire.shown(value))}{took}"


def _result(thing: Watched, document: dict[str, Any]) -> Event:
    name, action, reason = thing.evidence.thing, document.get("action"), document.get("reason")
    ending = "done" if document.get("ok") is True else f"not done: {reason}"
    return Event("command", name, wire.short(f"{name}: command {action} {ending}"), document)


def _alarm(thing: Watched, document: dict[str, Any]) -> Event:
    name, states = thing.evidence.thing, document.get("alarms")
    pairs = dict(states if isinstance(states, dict) else {}).items()
    shown = ", ".join(f"{key} {state} ({document.get(key)})" for key, state in pairs)
    return Event("alarm", name, wire.short(f"{name}: alarm: {shown}"), document)


def json_line(event: Event, at: float) -> str:
    """An event as a JSON object on one line; docs/aws.md lists the keys."""
    own = {"event": event.kind, "thing": event.thing, "received": _iso(at)}
    return wire.shown({**own, **event.fields, **own})


def _iso(unix_s: float) -> str:
    return dt.datetime.fromtimestamp(unix_s, dt.timezone.utc).isoformat(timespec="milliseconds")


def _line(name: str, reading: dict[str, Any]) -> str:
    mark = "~" if "time" in reading else ""
    cells = [f"{mark}{clock_text(reading['timestamp'])}", name]
    for (_, unit, *_), key in zip(rows(), QUANTITY_NAMES, strict=True):
        if key in reading:
            cells.append(f"{reading[key]:.{2 if key == 'temperature' else 1}f} {unit}")
    cells += [f"seq {reading['seq']}"] if "seq" in reading else []
    return wire.text("  ".join(cells))


def _open(file: Path) -> Any:
    header = ",".join(COLUMNS)
    try:
        new = not file.exists() or file.stat().st_size == 0
        with contextlib.nullcontext() if new else file.open("rb") as old:
            before = old.readline(_HEADER_BYTES).strip() if old else b""
        if not new and before != header.encode():
            raise ToolError(f"{file} has other columns than {header}", "--csv with another file")
        handle = file.open("a", encoding="utf-8", newline="")
    except OSError as e:
        raise ToolError(f"cannot write {file}: {e.strerror}") from e
    if new:
        _add(handle, *COLUMNS)
    return handle


def _add(file: Any, *row: Any) -> None:
    csv.writer(file, lineterminator="\n").writerow([wire.cell(cell) for cell in row])
    file.flush()


def _sections(document: Any) -> dict[str, dict[str, Any]]:
    state = part(document, "state")
    return {key: dict(part(state, key)) for key in ("desired", "reported")}
