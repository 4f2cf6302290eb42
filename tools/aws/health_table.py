"""The table of things, the same for `things`, `watch` and `sim`; and one thing as JSON."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from firmware.core.quantities import rows
from tools import wire
from tools.aws.facts import QUANTITY_NAMES
from tools.aws.health import STATES, Health, span, worst_first

_GAP = 2
_LEAST_LAST, _MOST_LAST = 18, 32  # what is kept free for problems and changes
_BARS = "▁▂▃▄▅▆▇█"
_SPARK = 16
_STYLES = {"offline": "red", "late": "red", "online": "green", "asleep": "blue"}
Cell = Callable[[Health], Any]


def clock_text(unix_s: float, now: float | None = None) -> str:
    """A moment as people here say it: the time, and the date instead where it is another day's."""
    then = dt.datetime.fromtimestamp(unix_s)
    today = dt.datetime.fromtimestamp(now) if now is not None else then
    return f"{then:%H:%M:%S}" if then.date() == today.date() else f"{then:%Y-%m-%d}"


def sleep_text(h: Health) -> str:
    """What there is to say of the sleep of a thing: "asleep until 13:05", "overdue for 5 min"."""
    overdue = [problem.text for problem in h.problems if problem.key == "overdue"]
    if overdue or h.state != "asleep" or h.asleep_until is None:
        return "".join(overdue)
    # The date where the time of day is not enough.
    long = h.asleep_until - (h.since or h.asleep_until) >= 86_400
    until = dt.datetime.fromtimestamp(h.asleep_until)
    return f"asleep until {until:%Y-%m-%d}" if long else f"asleep until {until:%H:%M}"


def _read_at(h: Health) -> str:
    if h.last_reading_at is None:
        return ""
    mark = "~" if h.reading.get("time") == "estimated" else ""
    return mark + clock_text(h.last_reading_at, h.last_reading_at + (h.last_reading_age_s or 0))


def _age(h: Health) -> str:
    if h.last_reading_age_s is None:
        return ""
    return f"{'' if h.age_known else '<'}{span(h.last_reading_age_s)}"


def _certificate(h: Health) -> str:
    off = [status for _, status in h.certificates or () if status != "ACTIVE"]
    age = span(h.certificate_age_s) if h.certificate_age_s is not None else ""
    if h.certificates is not None and not h.certificates:
        return "none"
    return " ".join([age, *(wire.text(status).lower() for status in off[:1])])


def _quantity(name: str) -> Cell:
    digits = 2 if name == "temperature" else 1
    return lambda h: f"{h.reading[name]:.{digits}f}" if name in h.reading else None


_COLUMNS: dict[str, Cell] = {
    "thing": lambda h: h.thing,
    "state": lambda h: h.state,
    **{row[1]: _quantity(row[0]) for row in rows()},
    "read at": _read_at,
    "age": _age,
    "every": lambda h: None if h.interval_s is None else span(h.interval_s),
    "seq": lambda h: h.reading.get("seq"),
    "waiting": lambda h: h.waiting,
    "lost": lambda h: h.lost,
    "dropped": lambda h: h.dropped,
    "dBm": lambda h: h.rssi_dbm,
    "heap KB": lambda h: None if h.free_heap_bytes is None else f"{h.free_heap_bytes / 1024:.1f}",
    "sensor": lambda h: h.sensor,
    "boots": lambda h: h.boots,
    "reset": lambda h: h.reset_cause,
    "firmware": lambda h: h.version,
    "clock": lambda h: h.clock,
    "certificate": _certificate,
}
# Where not all have room, the first of these stay.
_FIRST = (
    *("thing", "state", "°C", "waiting", "lost", "dBm", "age", "every", "read at", "%RH"),
    *("hPa", "ppm", "V", "firmware", "certificate", "sensor", "dropped", "heap KB", "boots"),
    *("reset", "clock", "seq"),
)
_LEFT = ("thing", "state", "sensor", "reset", "firmware", "clock", "certificate")


def table(
    found: Sequence[Health],
    width: int,
    rows: int | None = None,
    notes: Mapping[str, str] | None = None,
    title: str = "",
    kept: str = "thing",
) -> Table:
    """The things, worst first; as many columns as ``width`` has room for, at most ``rows`` things.

    A column that nobody has anything for is left out. ``notes``: thing -> what the last column
    says of one without a problem. ``kept``: a column that comes before the others where there is
    little room.
    """
    ordered = sorted(found, key=worst_first)
    shown = ordered if rows is None or len(ordered) <= rows else ordered[: max(0, rows - 1)]
    cells = {name: [_text(of(h)) for h in shown] for name, of in _COLUMNS.items()}
    last = [_last(h, (notes or {}).get(h.thing, "")) for h in shown]
    longest = max((len(text.plain) for text in last), default=0)
    wide = _fitting(cells, width - min(max(_LEAST_LAST, longest), _MOST_LAST), kept)
    made = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, title_justify="left")
    if title:
        heading = f"{title}; {summary(found)}"
        made.title = Text(heading, style="bold not italic", overflow="ellipsis", no_wrap=True)
    for name, columns in wide.items():
        side: JustifyMethod = "left" if name in _LEFT else "right"
        made.add_column(name, no_wrap=True, justify=side, width=columns)
    left = max(1, width - sum(wide.values()) - _GAP * len(wide))
    left = left if title else min(left, max(1, longest))  # a title takes the whole width
    made.add_column("", no_wrap=True, overflow="ellipsis", width=left)
    for row, h in enumerate(shown):
        # Text: what is a style in square brackets to rich stays what it is.
        styled = [Text(cells[name][row], style=_style(name, h)) for name in wide]
        made.add_row(*styled, last[row])
    if len(shown) < len(ordered):
        made.add_row(f"… {len(ordered) - len(shown)} more")
    return made


def _fitting(cells: Mapping[str, Sequence[str]], room: int, first: str) -> dict[str, int]:
    """Column -> width, of those that say something and fit, the most important first."""
    kept = {}
    for name in dict.fromkeys(("thing", first, *_FIRST)):
        columns = max(map(cell_len, (name, *cells[name])))
        if any(cells[name]) and columns + _GAP <= room:
            kept[name] = columns
            room -= columns + _GAP
    return {name: kept[name] for name in _COLUMNS if name in kept}


def _text(value: Any) -> str:
    return "" if value is None else wire.short(value)


def _style(column: str, h: Health) -> str:
    if column in ("thing", "state"):
        # Online, but not as it should be.
        return "yellow" if h.state == "online" and h.problems else _STYLES.get(h.state, "dim")
    if column in ("age", "read at"):
        return "red" if h.state == "late" else ""
    return "bold red" if column in ("lost", "dropped") and getattr(h, column) else ""


def _last(h: Health, note: str) -> Text:
    problems = "; ".join(p.text for p in h.problems)
    unknown = ", ".join(f"{key} not known" for key in h.unknown)
    style = "red" if h.state in ("offline", "late") else "yellow"
    if problems:
        return Text(problems, style=style)
    asleep = sleep_text(h).removeprefix("asleep ")  # the state says that
    said = "; ".join(filter(None, (asleep, note)))
    return Text(said or wire.short(unknown), style="" if said else "dim")


def spark(values: Sequence[float]) -> str:
    """The last values as a line of bars, from their lowest to their highest."""
    shown = list(values)[-_SPARK:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    step = (high - low) / (len(_BARS) - 1)
    return "".join(_BARS[round((value - low) / step) if step else 0] for value in shown)


def summary(found: Sequence[Health]) -> str:
    """As "20 things: 1 offline, 19 online, 2 of them with a problem"."""
    counts = Counter(h.state for h in found)
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    troubled = sum(h.state == "online" and bool(h.problems) for h in found)
    more = f", {troubled} of them with a problem" if troubled else ""
    count = f"{len(found)} thing{'' if len(found) == 1 else 's'}"
    return f"{count}: {states}{more}" if found else "no things"


def line(h: Health) -> str:
    """One thing as a JSON object; docs/aws.md lists the keys."""
    document = {key: value for key, value in vars(h).items() if key != "reading"}
    document["healthy"] = h.healthy
    document["problems"] = [problem._asdict() for problem in h.problems]
    if h.certificates is not None:
        document["certificates"] = [{"id": i, "status": s} for i, s in h.certificates]
    document |= {key: h.reading.get(key) for key in (*QUANTITY_NAMES, "seq")}
    return wire.shown(document)
