"""What `watch` knows: the readings and shadow changes of things, as they arrive."""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware.core.telemetry import QUANTITIES
from tools.errors import ToolError

if TYPE_CHECKING:
    from rich.table import Table

DATA = "devices/+/data"
SHADOWS = "$aws/things/+/shadow/update/documents"
_MEASURED = tuple(row[0].decode() for row in QUANTITIES)
_UNITS = tuple(row[1] for row in QUANTITIES)
COLUMNS = ("received", "thing", "timestamp", *_MEASURED, "seq")
_BARS = "▁▂▃▄▅▆▇█"
_SPARK = 40
_KEPT = 100_000  # readings a thing, for the plot: two months at one a minute


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
    ) -> None:
        self._wanted = frozenset(wanted)
        self._now = now
        self.things: dict[str, Watched] = {name: Watched(name) for name in sorted(wanted)}
        self.odd = 0  # messages that are no readings
        self._file = _open(file) if file else None
        self._csv = csv.writer(self._file, lineterminator="\n") if self._file else None

    def close(self) -> None:
        """End the CSV file."""
        if self._file:
            self._file.close()

    def take(self, topic: str, payload: bytes) -> None:
        """One message: a reading, or a change of a shadow."""
        try:
            document = json.loads(payload)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            self.odd += 1
        elif topic.startswith("$aws/things/"):
            self._change(topic.split("/")[2], document)
        else:
            self._reading(topic, document)

    def _thing(self, name: str) -> Watched | None:
        if self._wanted and name not in self._wanted:
            return None
        return self.things.setdefault(name, Watched(name))

    def _reading(self, topic: str, document: dict[str, Any]) -> None:
        name = document.get("device_id")
        if not isinstance(name, str) or not all(
            _is_number(document.get(key)) for key in ("timestamp", "temperature")
        ):
            self.odd += 1
            return
        thing = self._thing(name)
        if thing is None:
            return
        thing.last = document
        thing.count += 1
        thing.series.append((float(document["timestamp"]), float(document["temperature"])))
        if self._csv and self._file:
            received = self._now().isoformat(timespec="milliseconds")
            rest = (document.get(key, "") for key in COLUMNS[3:])
            self._csv.writerow([received, name, document["timestamp"], *rest])
            self._file.flush()

    def _change(self, name: str, document: dict[str, Any]) -> None:
        thing = self._thing(name)
        if thing is None:
            return
        before, after = (_state(document.get(part)) for part in ("previous", "current"))
        told = [
            f"{section}.{key}={json.dumps(after[section].get(key), ensure_ascii=False)}"
            for section in ("desired", "reported")
            for key in sorted({*before[section], *after[section]})
            if before[section].get(key) != after[section].get(key)
        ]
        if told:
            thing.change = f"{self._now():%H:%M:%S} {', '.join(told)}"

    def table(self) -> Table:
        """The live table."""
        from rich.markup import escape
        from rich.table import Table

        made = Table("thing", *_UNITS, "seq", "at", "", "shadow", expand=True)
        for thing in self.things.values():
            last = thing.last
            cells = [_cell(last.get(key)) for key in (*_MEASURED, "seq")]
            at = f"{dt.datetime.fromtimestamp(last['timestamp']):%H:%M:%S}" if last else "-"
            line = spark([value for _, value in thing.series])
            made.add_row(escape(thing.name), *cells, at, line, escape(thing.change))
        return made


def _open(file: Path) -> Any:
    try:
        new = not file.exists() or file.stat().st_size == 0
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


def _is_number(value: Any) -> bool:
    # The largest time the calendar has; JSON has no limit of its own.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**37


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
