"""What a trial came to, and whether the readings that arrived are as they must be."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

COLDEST = -35  # at power-on; from there on in the range of a BME280
RISE = 20  # seconds of uptime for a degree
_TIME_S = 2.0  # whole seconds in the message, hundredths of a degree, and the measuring itself


@dataclass
class Verdict:
    """What a trial came to; ``problems`` is empty when it went well. Seconds are the board's."""

    name: str
    faults: int
    readings: int = 0
    lost: int = 0
    duplicates: int = 0
    boots: int = 0
    drops: int = 0  # sessions lost, connects that failed
    recovery_s: float = 0.0
    bound_s: float = 0.0
    gap_s: float = 0.0  # longest time between two readings
    repeated: bool = False  # the command had to be
    problems: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


def judge(arrived: Sequence[dict[str, Any]], verdict: Verdict, lives: int) -> None:
    """Judge the readings, in order of arrival, of a board that was switched on ``lives`` times."""
    seqs = [reading["seq"] for reading in arrived]
    once = list(dict.fromkeys(seqs))
    missing = sorted(set(range(1, max(once, default=0) + 1)) - set(once))
    verdict.readings = len(once)
    verdict.lost = len(missing)
    verdict.duplicates = len(seqs) - len(once)
    if missing:
        verdict.problems.append(f"lost: {missing[:10]}")
    if once != sorted(once):
        wrong = [b for a, b in itertools.pairwise(once) if b < a]
        verdict.problems.append(f"out of order: {wrong[:10]}")
    if verdict.boots != lives:
        verdict.problems.append(f"{verdict.boots} boots")
    _judge_times(arrived, verdict, lives)


def _judge_times(arrived: Sequence[dict[str, Any]], verdict: Verdict, lives: int) -> None:
    by_seq = {reading["seq"]: reading for reading in arrived}
    times = [by_seq[seq]["timestamp"] for seq in sorted(by_seq)]
    verdict.gap_s = max((b - a for a, b in itertools.pairwise(times)), default=0)
    if times != sorted(times):
        verdict.problems.append("timestamps run backwards")
    # When the board was switched on, as each reading tells: few moments, or a time is wrong.
    on = sorted(r["timestamp"] - (r["temperature"] - COLDEST) * RISE for r in by_seq.values())
    if sum(b - a > _TIME_S for a, b in itertools.pairwise(on)) >= lives:
        verdict.problems.append(f"timestamps off by up to {on[-1] - on[0]:.1f} s")
    for reading in arrived:
        if reading != by_seq[reading["seq"]]:
            verdict.problems.append(f"seq {reading['seq']} came with two contents")
