"""The tables of docs/sensors.md, from the table of sensors; the rest of the page is by hand."""

from __future__ import annotations

from collections.abc import Sequence

from tools.errors import ToolError
from tools.things import sensors
from tools.toolchain import ROOT

PAGE = ROOT / "docs" / "sensors.md"
BEGIN = "<!-- Made by `python -m tools reference` from tools/things/sensors.json. -->"
END = "<!-- To here. -->"


def page(text: str) -> str:
    """``text``, the page, with the tables as they are to be."""
    if BEGIN not in text or END not in text.split(BEGIN, 1)[1]:
        raise ToolError(f"docs/sensors.md has lost its marks {BEGIN} and {END}")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables()}{END}{rest.partition(END)[2]}"


def tables() -> str:
    """What each sensor measures and how well, and what that takes."""
    rows = sensors.table().values()
    what = [(f"`{s.name}`", s.title, s.measures, s.range, s.accuracy, s.resolution) for s in rows]
    wires = [(f"`{s.name}`", _at(s.addresses), s.pin, s.supply) for s in rows]
    charge = [
        (
            f"`{s.name}`",
            f"{s.ms:g} ms" + (f", at most {s.max_ms:g}" if s.max_ms > s.ms else ""),
            _current(s.average_ua),
            _charge(s.charge_uc),
            _current(s.idle_ua),
            s.warm,
            s.sheet,
        )
        for s in rows
    ]
    head = "takes", "while measuring", "charge a reading", "between readings", "warms itself"
    return "\n".join(
        (
            _table(("`sensor`", "chip", "measures", "range", "accuracy", "resolution"), what),
            _table(("`sensor`", "address", "set by", "supply"), wires),
            _table(("`sensor`", *head, "datasheet"), charge),
        )
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _at(addresses: tuple[str, ...]) -> str:
    if len(addresses) > 2:
        return f"{addresses[0]} to {addresses[-1]}"
    return " or ".join(addresses)


def _current(ua: float) -> str:
    return f"{ua / 1000:.3g} mA" if ua >= 1000 else f"{ua:.3g} µA"


def _charge(uc: float) -> str:
    return f"{uc / 1000:.3g} mC" if uc >= 1000 else f"{uc:.3g} µC"
