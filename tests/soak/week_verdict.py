"""What a week of a board that sleeps must look like to the cloud.

The pressure tells when a reading was made, whatever its timestamp says: it rises with the time
since power-on. Every connect begins with a birth message, which has the time of it. Seconds are
those of the board's world.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

INTERVAL_S, BATCH = 600, 6
LOWEST_HPA, RISE_S = 310.0, 600.0  # at power-on; seconds for a hPa
WEEK_S = 7 * 86_400
RAW_S = 150.0  # a first hour by an oscillator that is 2 % fast
OWN_S = 45.0  # once that is known; a Pa is 6 s
_LEARNS_S = 2 * 3600
_SPACE_S = 30.0
_CONNECT_S = 60.0
_TRIES = 8  # of the growing pauses, in a day without a network


@dataclass
class Week:
    """What happened, and what came of it, in the order of arrival."""

    on_s: list[float] = field(default_factory=list)  # when it got its power
    end_s: float = 0.0
    dark_s: list[tuple[float, float]] = field(default_factory=list)  # outages
    readings: list[dict[str, Any]] = field(default_factory=list)
    births_s: list[float] = field(default_factory=list)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    asked_s: float = 0.0  # the command
    answered_s: float = 0.0  # the birth message before its result
    desired_s: float = 0.0
    applied_s: float = 0.0  # the birth message before it was reported
    awake_s: float = 0.0
    failed: int = 0  # connects
    vain: int = 0  # joins by what was known of the network, without success
    new: int = 0  # sessions that were not kept
    writes: int | None = None  # files written, renamed, removed


def judge(week: Week) -> list[str]:
    """What is wrong with it."""
    return [*_rows(week), *_times(week), *_connects(week), *_orders(week)]


def _rows(week: Week) -> list[str]:
    problems = []
    seqs = [reading["seq"] for reading in week.readings]
    once = list(dict.fromkeys(seqs))
    missing = sorted(set(range(1, max(once, default=0) + 1)) - set(once))
    if missing:
        problems.append(f"lost: {missing[:10]}")
    if once != sorted(once):
        problems.append(f"out of order: {[b for a, b in itertools.pairwise(once) if b < a][:10]}")
    by_seq = {reading["seq"]: reading for reading in week.readings}
    doubled = [r["seq"] for r in week.readings if r != by_seq[r["seq"]]]
    if doubled:
        problems.append(f"came with two contents: {doubled[:10]}")
    # A power cut begins a new row, at once: at most one more, and at most one was just due.
    wanted = (week.end_s - week.on_s[0]) / INTERVAL_S
    if abs(len(once) - wanted) > 1 + len(week.on_s):
        problems.append(f"{len(once)} readings, not {wanted:.0f}")
    return problems


def _times(week: Week) -> list[str]:
    problems = []
    times = times_of(week)
    if times != sorted(times):
        problems.append("timestamps run backwards")
    for reading in week.readings:
        most_s = RAW_S if _raw(week, reading["timestamp"]) else OWN_S
        if off_s(week, reading) > most_s:
            problems.append(f"seq {reading['seq']}: its time is {off_s(week, reading):.0f} s off")
    odd = [b - a for a, b in itertools.pairwise(times) if not _near(week, a, b)]
    if len(odd) > len(week.on_s) - 1:
        problems.append(f"not on the grid: {odd[:10]}")
    if gap_s(week) > 2 * INTERVAL_S:
        problems.append(f"no reading for {gap_s(week):.0f} s")
    return problems


def _near(week: Week, a: float, b: float) -> bool:
    return abs(b - a - INTERVAL_S) <= (RAW_S if _raw(week, b) else _SPACE_S)


def _raw(week: Week, s: float) -> bool:
    """Whether the board has not learnt yet how fast its oscillator is."""
    return any(on_s <= s <= on_s + _LEARNS_S for on_s in week.on_s)


def times_of(week: Week) -> list[float]:
    """The timestamps in the order of seq."""
    by_seq = {reading["seq"]: reading for reading in week.readings}
    return [by_seq[seq]["timestamp"] for seq in sorted(by_seq)]


def gap_s(week: Week) -> float:
    """The longest time between two readings."""
    return max((b - a for a, b in itertools.pairwise(times_of(week))), default=0)


def made_s(week: Week, reading: dict[str, Any]) -> float:
    """When it was made, by its pressure; of the power-ons the one that fits best."""
    since_s = (reading["pressure"] - LOWEST_HPA) * RISE_S
    return min((s + since_s for s in week.on_s), key=lambda s: abs(s - reading["timestamp"]))


def off_s(week: Week, reading: dict[str, Any]) -> float:
    """How far its timestamp is from when it was made."""
    return abs(float(reading["timestamp"]) - made_s(week, reading))


def _connects(week: Week) -> list[str]:
    problems = []
    births = week.births_s
    hours = (week.end_s - week.on_s[0]) / (BATCH * INTERVAL_S)
    most = hours + len(week.on_s) + len(week.alarms) + 1
    if len(births) > most:
        problems.append(f"{len(births)} connects, not {most:.0f} at most")
    if week.failed > _TRIES * len(week.dark_s) + len(week.on_s):
        problems.append(f"{week.failed} connects failed")
    # The access point is replaced; and in an outage it is tried once, and then forgotten.
    if not 1 <= week.vain <= 1 + len(week.dark_s):
        problems.append(f"{week.vain} times back to a network that was not there")
    for a, b in itertools.pairwise(births):
        # After an outage the next try may be so far away as the outage was long.
        dark = sum(2 * (end - begin) for begin, end in week.dark_s if begin < b and end > a)
        if b - a > dark + BATCH * INTERVAL_S + RAW_S:
            problems.append(f"no connect for {b - a:.0f} s")
    return problems


def _orders(week: Week) -> list[str]:
    problems = []
    soon_s = BATCH * INTERVAL_S + RAW_S
    if not 0 < week.answered_s - week.asked_s <= soon_s:
        problems.append("the command was not answered at the next connect")
    if not 0 < week.applied_s - week.desired_s <= soon_s:
        problems.append("the desired value was not applied at the next connect")
    if [alarm["alarms"] for alarm in week.alarms] != [
        {"temperature": "high"},
        {"temperature": "normal"},
    ]:
        problems.append(f"alarms: {[alarm['alarms'] for alarm in week.alarms]}")
    for alarm in week.alarms:
        if not any(0 <= s - alarm["timestamp"] <= _CONNECT_S for s in week.births_s):
            problems.append(f"the alarm of {alarm['timestamp']} did not connect at once")
    return problems


def figures(week: Week) -> dict[str, str]:
    """What is to be told of it."""
    once = {reading["seq"] for reading in week.readings}
    days = (week.end_s - week.on_s[0]) / 86_400
    apart_s = sorted(off_s(week, reading) for reading in week.readings)
    writes = "not counted" if week.writes is None else f"{week.writes / days:.0f} a day"
    return {
        "readings": f"{len(once):,} in {days:.2f} days",
        "lost": str(max(once, default=0) - len(once)),
        "duplicates": str(len(week.readings) - len(once)),
        "connects": f"{len(week.births_s)}, {week.new} of them with a new session; "
        f"{week.failed} failed",
        "longest gap between readings": f"{gap_s(week):.0f} s",
        "timestamp and true time apart": f"median {apart_s[len(apart_s) // 2]:.0f} s, "
        f"at most {apart_s[-1]:.0f} s",
        "awake": f"{week.awake_s / days:.0f} s a day",
        "files written, renamed or removed": writes,
    }
