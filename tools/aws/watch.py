"""What `watch` knows: the readings and shadow changes of things, as they arrive."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware.core.telemetry import QUANTITIES
from tools import wire
from tools.errors import ToolError
from tools.things.values import thing_name

if TYPE_CHECKING:
    from rich.table import Table

DATA = "devices/+/data"
SHADOWS = "$aws/things/+/shadow/update/documents"
_MEASURED = tuple(row[0].decode() for row in QUANTITIES)
_UNITS = tuple(row[1] for row in QUANTITIES)
COLUMNS = ("received", "thing", "timestamp", *_MEASURED, "seq", "time")
ESTIMATED = "estimated"  # what `time` says of a reading whose date the board had to work out
_BARS = "▁▂▃▄▅▆▇█"
_SPARK = 40
_KEPT = 100_000  # readings a thing, for the plot: two months at one a minute
_MOST_THINGS = 10_000  # rows; names are free where the topic does not say who sent it
_HEADER_BYTES = 4096


@dataclass
class Watched:
    """One thing. ``series`` holds (Unix seconds, degrees C), oldest first."""

    name: str
    last: dict[str, Any] = field(default_factory=dict)
    count: int = 0
    change: str = ""
    series: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_KEPT))


class Watch:
    """Takes messages, keeps what the table, the CSV and the plot show."""

    def __init__(
        self,
        wanted: Sequence[str] = (),
        file: Path | None = None,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.timezone.utc),
        data: str = DATA,
    ) -> None:
        """``data``: the topic filter of the readings; its only + is the place of the thing.

        Where it has none or several, who sent a reading is what the reading says: shown with a ?.
        """
        self._wanted = frozenset(wanted)
        self._now = now
        levels = data.split("/")
        self._place = levels.index("+") if levels.count("+") == 1 else None
        self.things: dict[str, Watched] = {name: Watched(name) for name in sorted(wanted)}
        self.odd = 0  # messages that are no readings, or another's than they say
        self.odd_last = ""  # what was odd about the last of them
        self._file = _open(file) if file else None
        self._csv = csv.writer(self._file, lineterminator="\n") if self._file else None

    def close(self) -> None:
        """End the CSV file."""
        if self._file:
            self._file.close()

    def take(self, topic: str, payload: bytes) -> None:
        """One message: a reading, or a change of a shadow."""
        document = wire.document(payload)
        if document is None:
            self._count(topic, "is no JSON object")
        elif topic.startswith("$aws/things/"):
            self._change(topic.split("/")[2], document)
        else:
            self._reading(topic, document)

    def _count(self, topic: str, why: str) -> None:
        self.odd += 1
        self.odd_last = wire.short(f"{topic}: {why}")

    def _thing(self, name: str) -> Watched | None:
        if self._wanted and name.removesuffix("?") not in self._wanted:
            return None
        if name not in self.things and len(self.things) >= _MOST_THINGS:
            return None
        return self.things.setdefault(name, Watched(name))

    def _reading(self, topic: str, document: dict[str, Any]) -> None:
        claimed, reading = document.get("device_id"), _reading_of(document)
        place = self._place
        name = str(claimed) if place is None else "".join(topic.split("/")[place : place + 1])
        if reading is None or thing_name(name):
            self._count(topic, "is no reading")
            return
        if name != claimed:
            self._count(topic, f"says that it is of {claimed}")
            return
        thing = self._thing(f"{name}?" if place is None else name)
        if thing is None:
            return
        thing.last = reading
        thing.count += 1
        thing.series.append((float(reading["timestamp"]), float(reading["temperature"])))
        if self._csv and self._file:
            received = self._now().isoformat(timespec="milliseconds")
            cells = [received, thing.name, *(reading.get(key, "") for key in COLUMNS[2:])]
            self._csv.writerow([wire.cell(cell) for cell in cells])
            self._file.flush()

    def _change(self, name: str, document: dict[str, Any]) -> None:
        thing = None if thing_name(name) else self._thing(name)
        if thing is None:
            return
        before, after = (_state(document.get(part)) for part in ("previous", "current"))
        told = [
            f"{section}.{key}={wire.shown(after[section].get(key))}"
            for section in ("desired", "reported")
            for key in sorted({*before[section], *after[section]})
            if before[section].get(key) != after[section].get(key)
        ]
        if told:
            thing.change = wire.short(f"{self._now():%H:%M:%S} {', '.join(told)}")

    def table(self) -> Table:
        """The live table; ~ marks a time that is an estimate."""
        from rich.table import Table
        from rich.text import Text

        odd = Text(f"{self.odd} odd messages; {self.odd_last}") if self.odd else None
        made = Table("thing", *_UNITS, "seq", "at", "", "shadow", expand=True, caption=odd)
        for thing in self.things.values():
            last = thing.last
            cells = [_cell(last.get(key)) for key in (*_MEASURED, "seq")]
            at = f"{dt.datetime.fromtimestamp(last['timestamp']):%H:%M:%S}" if last else "-"
            mark = "~" if last.get("time") == ESTIMATED else ""
            line = spark([value for _, value in thing.series])
            # Text: what is a style in square brackets to rich stays what it is.
            made.add_row(Text(thing.name), *cells, mark + at, line, Text(thing.change))
        return made


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
        csv.writer(handle, lineterminator="\n").writerow(COLUMNS)
    return handle


def _state(document: Any) -> dict[str, dict[str, Any]]:
    state = document.get("state") if isinstance(document, dict) else None
    found = state if isinstance(state, dict) else {}
    return {
        part: found[part] if isinstance(found.get(part), dict) else {}
        for part in ("desired", "reported")
    }


def _reading_of(document: dict[str, Any]) -> dict[str, Any] | None:
    """What a reading says, every number in its range; None when it is none."""
    limits: dict[str, tuple[float, float]] = {
        "timestamp": (0, wire.LAST_TIME),
        "seq": (0, wire.LAST_SEQ),
    }
    limits |= {key: (-wire.WIDEST, wire.WIDEST) for key in _MEASURED}
    found = {key: document[key] for key in limits if key in document}
    if not all(wire.number(value, *limits[key]) for key, value in found.items()):
        return None
    if not {"timestamp", "temperature"} <= found.keys():
        return None
    if document.get("time") == ESTIMATED:
        found["time"] = ESTIMATED
    return found


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return str(value) if isinstance(value, int) else "-"


def spark(values: Sequence[float]) -> str:
    """The last values as a line of bars, from their lowest to their highest."""
    shown = list(values)[-_SPARK:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    step = (high - low) / (len(_BARS) - 1)
    return "".join(_BARS[round((value - low) / step) if step else 0] for value in shown)


def plotter() -> Callable[[Watch, Path], None]:
    """A function that draws the temperatures into a file; ToolError without matplotlib."""
    try:
        from matplotlib import dates
        from matplotlib.figure import Figure
    except ImportError as e:
        raise ToolError("--plot needs matplotlib, which is not installed", "make setup") from e

    def draw(watch: Watch, file: Path) -> None:
        figure = Figure(figsize=(10, 5), layout="constrained")
        axes: Any = figure.subplots()
        for thing in watch.things.values():
            if thing.series:
                moments = [dt.datetime.fromtimestamp(at) for at, _ in thing.series]
                axes.plot(moments, [value for _, value in thing.series], label=thing.name)
        axes.xaxis.set_major_formatter(dates.AutoDateFormatter(axes.xaxis.get_major_locator()))
        axes.set_ylabel("°C")
        axes.grid(True)
        if axes.lines:
            axes.legend()
        try:
            figure.savefig(file)
        except (OSError, ValueError) as e:
            raise ToolError(f"cannot draw {file}: {e}") from e

    return draw
