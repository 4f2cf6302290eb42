"""How long a battery lasts: what a wake, a connect and a day of sleep take out of it.

Every figure is in energy.json, with where it comes from: currents of chips, boards and cells,
times of MicroPython, and under ``measured`` what only our own code decides (``make bench-awake``).
A day is made of parts; each is so many milliseconds at so many milliamperes, so many times. What
is not in it: retries in a bad network, updates, cold (a Li-ion cell has a fifth less at 0 °C).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tools.errors import ToolError
from tools.things import boards, sensors

TABLE = Path(__file__).with_name("energy.json")
DAY_MS = 86_400_000
_MONTH_DAYS = 365.25 / 12
_C_PER_MAH = 3.6
_SHEET = "its datasheet: docs/sensors.md"
BATCHES = (1, 2, 3, 6, 12, 24, 48, 144)


@dataclass(frozen=True)
class Plan:
    """What is asked; ``kit`` "" is the first of the board's. ``batch``: readings a connect."""

    mah: float = 2600
    interval_s: int = 600
    batch: int = 6
    board: str = "esp32"
    kit: str = ""
    sensor: str = "bme280"
    rtt_ms: int = 100
    cell: str = "li-ion"
    sleep_ua: float | None = None  # measured by the user, instead of the kit's


@dataclass(frozen=True)
class Part:
    """``ms`` at ``ma``, ``times`` a day; ``beside`` another part, while the board waits."""

    what: str
    ms: float
    ma: float
    times: float
    source: str
    beside: bool = False

    @property
    def c_a_day(self) -> float:
        """Coulombs a day (mA times ms is µC)."""
        return self.ms * self.ma * self.times / 1e6


@dataclass(frozen=True)
class Estimate:
    """``wake`` and ``connect`` happen while it is awake, ``rest`` all day, with ``loss``: what
    the battery loses by itself."""

    plan: Plan
    wake: tuple[Part, ...]
    connect: tuple[Part, ...]
    rest: tuple[Part, ...]
    loss: Part

    @property
    def parts(self) -> tuple[Part, ...]:
        return (*self.wake, *self.connect, *self.rest, self.loss)

    @property
    def c_a_day(self) -> float:
        """What leaves the battery in a day."""
        return sum(part.c_a_day for part in self.parts)

    @property
    def board_c_a_day(self) -> float:
        """The same without ``loss``: what the board, the sensor and the divider take."""
        return sum(part.c_a_day for part in self.parts[:-1])

    @property
    def usable_c(self) -> float:
        cell = table()["cells"][self.plan.cell]
        return float(self.plan.mah * _C_PER_MAH * cell["usable"] / 100)

    @property
    def days(self) -> float:
        """How long the battery lasts."""
        return self.usable_c / self.c_a_day

    @property
    def awake_s_a_day(self) -> float:
        return _awake_ms(self.wake + self.connect) / 1000


@cache
def table() -> dict[str, Any]:
    """The file as it is."""
    loaded: dict[str, Any] = json.loads(TABLE.read_text("utf-8"))
    return loaded


def kits(board: str) -> dict[str, dict[str, Any]]:
    """The boards one can buy with that chip, the best for a battery first."""
    found: dict[str, dict[str, Any]] = table()["boards"][board]["kits"]
    return found


def estimate(plan: Plan) -> Estimate:
    """Reckon a day; ToolError for a name that is not in the tables, or without time to sleep."""
    plan = replace(plan, kit=plan.kit or next(iter(kits(boards.get(plan.board).name))))
    kit = _row("kit", plan.kit, kits(plan.board))
    cell = _row("cell", plan.cell, table()["cells"])
    readings = DAY_MS / 1000 / plan.interval_s
    wake = tuple(_wake(plan, readings))
    connect = tuple(_connect(plan, readings / plan.batch))
    awake = _awake_ms(wake + connect)
    # Between two readings there may be a connect as well.
    longest = _awake_ms(wake) / readings + _awake_ms(connect) * plan.batch / readings
    if longest >= plan.interval_s * 1000:
        raise ToolError(
            f"a reading every {plan.interval_s} s leaves no time to sleep: with a connect the "
            f"board is awake for {longest / 1000:.1f} s",
            f"--interval {int(longest / 1000) + 1} or more; or power it from the mains",
        )
    idle, divider = sensors.get(plan.sensor).idle_ua, table()["divider"]
    sleep = kit["ua"] if plan.sleep_ua is None else plan.sleep_ua
    own = "given by --sleep-ua" if plan.sleep_ua is not None else kit["source"]
    rest = (
        Part("asleep", DAY_MS - awake, sleep / 1000, 1, own),
        Part(f"{plan.sensor}, idle", DAY_MS, idle / 1000, 1, _SHEET),
        Part("battery divider", DAY_MS, divider["ua"] / 1000, 1, divider["source"]),
    )
    # It loses a part of what is in it: from full to what cannot be used.
    mean = plan.mah * (1 - cell["usable"] / 200)
    ma = mean * cell["percent_a_month"] / 100 / _MONTH_DAYS / 24
    loss = Part("the battery's own loss", DAY_MS, ma, 1, cell["source"])
    return Estimate(plan, wake, connect, rest, loss)


def _wake(plan: Plan, times: float) -> Iterable[Part]:
    ma, own = table()["boards"][plan.board]["cpu_ma"], table()["measured"]["without_radio"]
    sensor = sensors.get(plan.sensor)
    yield Part("MicroPython starts", _time("wake_ms"), ma, times, _of("wake_ms"))
    yield from _load(plan, own["bytes_loaded"], ma, times, "KB of code")
    yield Part(f"waits for the {plan.sensor}", sensor.max_ms, ma, times, _SHEET)
    # What it takes while it does not measure is reckoned for the whole day.
    extra = max(0.0, sensor.average_ua - sensor.idle_ua) / 1000
    yield Part(f"the {plan.sensor} itself", sensor.ms, extra, times, _SHEET, beside=True)
    yield _write(own["flash_writes"], ma, times, "x to flash")


def _connect(plan: Plan, times: float) -> Iterable[Part]:
    chip, own = table()["boards"][plan.board], table()["measured"]["with_radio"]
    radio = chip["radio_ma"]
    tls = "tls_ms_esp8266" if plan.board == "esp8266" else "tls_ms"
    # As many readings as the largest window takes go with the rest.
    window = boards.get(plan.board).defaults["window_max"]
    trips = own["round_trips"] + (plan.batch - 1) / window
    yield from _load(plan, own["bytes_loaded"], chip["cpu_ma"], times, "KB of code more")
    yield from _load(plan, own["bytes_on"], radio, times, "KB beside the radio")
    joining = radio * _time("join_factor")
    yield Part("joins the Wi-Fi", _time("join_ms"), joining, times, _of("join_ms"))
    yield Part("TLS handshake", _time(tls), radio, times, _of(tls))
    what, by = f"{trips:.1f} trips of {plan.rtt_ms} ms", str(table()["measured"]["by"])
    yield Part(what, trips * plan.rtt_ms, radio, times, by)
    yield _write(own["flash_writes"], radio, times, "x more")


def _load(plan: Plan, size: int, ma: float, times: float, what: str) -> Iterable[Part]:
    if boards.get(plan.board).romfs is None:  # else it runs in place
        ms = size / 1000 * _time("load_ms_per_kb")
        yield Part(f"{size / 1000:g} {what}", ms, ma, times, _of("load_ms_per_kb"))


def _write(count: float, ma: float, times: float, what: str) -> Part:
    ms = count * _time("flash_write_ms")
    return Part(f"writes {count:g} {what}", ms, ma, times, _of("flash_write_ms"))


def _awake_ms(parts: Iterable[Part]) -> float:
    """How long they take in a day."""
    return sum(part.ms * part.times for part in parts if not part.beside)


def _time(name: str) -> float:
    return float(table()["times"][name]["value"])


def _of(name: str) -> str:
    return str(table()["times"][name]["source"])


def _row(kind: str, name: str, rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if name not in rows:
        near = difflib.get_close_matches(name.lower(), rows, 1)
        hint = f"--{kind} {near[0]}" if near else ""
        raise ToolError(f"no such {kind}: {name}; there are:\n{listed(rows)}", hint)
    return rows[name]


def listed(rows: dict[str, dict[str, Any]]) -> str:
    """The names of a table and what they stand for."""
    return "\n".join(f"  {key:<16}{row['title']}" for key, row in rows.items())
