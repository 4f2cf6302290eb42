"""The table of sensors, sensors.json: what docs/sensors.md shows and `battery` reckons with.

Each figure is the datasheet's typical one at 3.3 V and 25 °C (``sheet``: document and section).
``phases``: the times and currents of one reading as our driver asks for it; ``max_ms``: how long
it may take; ``idle_ua``: between readings, in the state in which our driver leaves the chip.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tools.errors import ToolError

TABLE = Path(__file__).with_name("sensors.json")


@dataclass(frozen=True)
class Sensor:
    """One row of the table; ``pin`` says what sets the address."""

    name: str
    title: str
    measures: str
    range: str
    accuracy: str
    resolution: str
    addresses: tuple[str, ...]
    pin: str
    supply: str
    phases: tuple[tuple[float, float], ...]
    max_ms: float
    idle_ua: float
    warm: str
    sheet: str

    @property
    def ms(self) -> float:
        """How long one reading takes."""
        return sum(ms for ms, _ in self.phases)

    @property
    def charge_uc(self) -> float:
        """What one reading takes out of the battery, in µC (µA times seconds)."""
        return sum(ms * ua for ms, ua in self.phases) / 1000

    @property
    def average_ua(self) -> float:
        """The mean current while it measures."""
        return self.charge_uc * 1000 / self.ms


@cache
def table() -> dict[str, Sensor]:
    """Every sensor we know the figures of, in the order of the file."""
    rows = json.loads(TABLE.read_text("utf-8"))
    made = {}
    for name, row in rows.items():
        phases = tuple((phase["ms"], phase["ua"]) for phase in row.pop("phases"))
        addresses = tuple(row.pop("addresses"))
        made[name] = Sensor(name=name, phases=phases, addresses=addresses, **row)
    return made


def get(name: str) -> Sensor:
    """Return the row of ``name``; ToolError with all there are, and the nearest, if none is."""
    rows = table()
    if name not in rows:
        near = difflib.get_close_matches(name.lower(), rows, 1)
        hint = f"--sensor {near[0]}" if near else ""
        raise ToolError(f"no such sensor: {name}; there are {', '.join(rows)}", hint)
    return rows[name]
