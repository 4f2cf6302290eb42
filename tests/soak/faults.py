"""The faults that are tried: each alone, and mixes of them drawn by seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.soak.trial import Bench, Verdict
from tools.sim import chaos
from tools.sim.chaos import Plan

SINGLES = (
    "latency=400ms/20s",
    "jitter=400ms/20s",
    "bandwidth=1KB/20s",
    "stall=37B@3s/4s",
    "stall=up:37B@3s/40s",
    "halfopen=up@3s/5s",
    "halfopen=down@3s/5s",
    "halfopen=both@3s/5s",
    "reset@3s",
    "reset@3s/10s",
    "refuse@3s/15s",
    "silent@3s/5s",
    "move@3s/10s",
    "nodns@3s/15s",
)
# In `make soak` only: these outlast all that the firmware waits for, or come again and again.
LONG_SINGLES = (
    "latency=2s,reset@10s",
    "jitter=3s,reset@10s",
    "bandwidth=400B,reset@10s",
    "stall=0B@3s/1m",
    "stall=37B@3s/1m",
    "halfopen=up@3s/1m",
    "halfopen=down@3s/1m",
    "halfopen=both@3s/1m",
    "reset@3s/2m",
    "refuse@3s/3m",
    "silent@3s/2m",
    "move@3s/1m",
    "nodns@3s/2m",
    "reset@3s*8s",
    "stall=up:20B@5s/4s*9s",
    "halfopen=down@5s/1s*30s",
    "silent@3s/2s*14s",
    "move@5s/3s*25s",
)
_ENDLESS_S = 120.0  # a plan without an end is over after this
MIXES = 30
WORKERS = 4  # trials at a time; they mostly wait


@dataclass(frozen=True)
class Case:
    """A trial to be: ``power_s`` is when the power is cut."""

    name: str
    plan: Plan
    power_s: tuple[float, ...] = ()
    bits: int = 64


def mixes(count: int, first: int = 1) -> list[Case]:
    """``count`` mixes, their seeds from ``first`` on; every third with power cuts."""
    made = []
    for seed in range(first, first + count):
        plan, draw = chaos.mix(seed), random.Random(-seed)
        cuts = draw.randint(1, 2) if seed % 3 == 0 else 0
        power_s = tuple(sorted(round(draw.uniform(2, plan.end_s), 1) for _ in range(cuts)))
        made.append(Case(f"mix {seed}", plan, power_s, 64 if seed % 2 else 32))
    return made


def singles(long: bool = False) -> list[Case]:
    """Each fault alone; every other board is a 32-bit one."""
    return [
        Case(text, chaos.parse(text).until(_ENDLESS_S), bits=64 - number % 2 * 32)
        for number, text in enumerate([*SINGLES, *(LONG_SINGLES if long else ())])
    ]


def run(cases: Sequence[Case], umqtt: Path | None = None) -> Iterator[Verdict]:
    """The verdicts as they come."""
    with Bench(umqtt) as bench, ThreadPoolExecutor(WORKERS) as pool:
        waiting = [
            pool.submit(bench.run, case.plan, case.name, case.power_s, bits=case.bits)
            for case in cases
        ]
        for done in as_completed(waiting):
            yield done.result()


def figures(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """What is to be told of them all."""
    longest = max(verdicts, key=lambda v: v.recovery_s)
    return {
        "faults tried": f"{sum(v.faults for v in verdicts)} in {len(verdicts)} trials",
        "readings sent": f"{sum(v.readings for v in verdicts):,}",
        "lost": str(sum(v.lost for v in verdicts)),
        "duplicates": str(sum(v.duplicates for v in verdicts)),
        "sessions dropped": str(sum(v.drops for v in verdicts)),
        "longest recovery": f"{longest.recovery_s:.1f} s ({longest.name})",
        "longest gap between readings": f"{max(v.gap_s for v in verdicts):.0f} s",
        "commands that had to be repeated": str(sum(v.repeated for v in verdicts)),
        "failed": str(sum(bool(v.problems) for v in verdicts)),
    }
