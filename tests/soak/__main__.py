"""`make soak`: the long tests of the link, with what they came to.

    python -m tests.soak [PART ...] [--seed N] [--short]

Exit code 1 when anything failed. Every seed is printed: the same one repeats the same run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.soak import (
    cuts,
    faults,
    fleet,
    fuzz,
    publishes,
    reconnects,
    scenarios,
    week,
    week_verdict,
)
from tools import toolchain

_SEED = 20261121


@dataclass
class Part:
    """What one part came to: figures by name, and what failed."""

    name: str
    figures: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def check(self, good: bool, what: str) -> None:
        """Note ``what`` as failed unless ``good``."""
        if not good:
            self.failed.append(what)


@dataclass
class Run:
    """What to do, and who hears of it: ``step(done, total)``."""

    umqtt: Path
    seed: int
    short: bool
    step: Callable[[int, int], None] = lambda done, total: None


def soak_faults(run: Run, part: Part) -> None:
    """Every fault alone and the mixes, against MiniStack."""
    first = run.seed % 1_000_000
    plans = [
        *faults.singles(not run.short),
        *faults.mixes(4 if run.short else faults.MIXES, first),
    ]
    verdicts = []
    for verdict in faults.run(plans, run.umqtt):
        verdicts.append(verdict)
        run.step(len(verdicts), len(plans))
        if verdict.problems:
            part.failed.append(f"{verdict.name}: {', '.join(verdict.problems)}")
            part.failed += verdict.log[-30:]
    part.figures = {"seeds of the mixes": f"from {first} on", **faults.figures(verdicts)}


def soak_scenarios(run: Run, part: Part) -> None:
    """What an adversary tried: clocks, clones, retained commands, settings on trial."""
    total = len(scenarios.SCENARIOS) - run.short
    for number, play in enumerate(scenarios.run(run.seed, run.umqtt, run.short)):
        verdict = play.verdict
        run.step(number + 1, total)
        part.figures[verdict.name] = (
            f"{verdict.readings:,} readings, {verdict.lost} lost, {verdict.boots} boots, "
            f"{play.estimated} dates estimated, {play.misdated} wrong"
        )
        if verdict.problems:
            part.failed.append(f"{verdict.name}: {', '.join(verdict.problems)}")
            part.failed += verdict.log[-30:]
    for name, tried, good in scenarios.cuts(run.umqtt):
        part.figures[name] = tried
        part.check(good, f"{name}: failed")


def soak_reconnects(run: Run, part: Part) -> None:
    """Sessions without end, on both word sizes."""
    count = 60 if run.short else 1_000
    for bits in (64, 32):
        done = reconnects.run(count, run.umqtt, bits, lambda n: run.step(n, count))
        drift, warm = done.drift_bytes, reconnects.WARM
        part.figures |= {
            f"{bits} bits: sessions": f"{count:,} in {done.seconds:.0f} s",
            f"{bits} bits: why they ended": str(done.end["reasons"]),
            f"{bits} bits: free heap at {warm} and {count}": (
                f"{done.free_bytes[warm]:,} and {done.free_bytes[count]:,} B, {drift} B lost"
            ),
            f"{bits} bits: process": " and ".join(f"{n:,} KB" for n in done.resident_kb.values()),
            f"{bits} bits: sockets open": str(done.sockets),
            f"{bits} bits: publishes, acknowledged": f"{done.end['sent']}, {done.end['acked']}",
        }
        part.check(drift == 0, f"{bits} bits: {drift} bytes of heap lost")
        part.check(done.sockets == 1, f"{bits} bits: {done.sockets} sockets")
        part.check(done.end["sent"] == done.end["acked"], f"{bits} bits: publishes lost")


def soak_cuts(run: Run, part: Part) -> None:
    """A session cut, or damaged, at byte after byte."""
    chosen = cuts.plan(601 if run.short else 13)
    done = cuts.run(chosen, run.umqtt, progress=lambda n: run.step(n, len(chosen) + cuts.WARM + 2))
    part.figures = {
        "cuts and turned bits": f"{done.cuts:,} in {done.seconds:.0f} s",
        "what the firmware said": str(done.end["reasons"]),
        "publishes, acknowledged": f"{done.end['sent']:,}, {done.end['acked']:,}",
        "heap lost": f"{done.drift_bytes} B",
        "sockets open": str(done.sockets),
    }
    part.check(done.drift_bytes == 0, f"{done.drift_bytes} bytes of heap lost")
    part.check(done.sockets == 1, f"{done.sockets} sockets")
    part.check(done.end["sent"] == done.end["acked"], "publishes lost")


def soak_publishes(run: Run, part: Part) -> None:
    """One session, more publishes than there are packet ids."""
    count = 5_000 if run.short else 200_000
    first = 65_000 if run.short else 0
    done = publishes.run(count, run.umqtt, first_pid=first, progress=lambda n: run.step(n, count))
    part.figures = {
        "publishes, acknowledged": f"{done.end['sent']:,}, {done.end['acked']:,}",
        "lost": str(done.lost),
        "doubled": str(done.doubled),
        "packet id began anew": f"{done.first_ids} times",
        "sessions": str(done.end["sessions"]),
        "speed": f"{count / done.seconds:,.0f} a second",
    }
    part.check(done.lost == 0, f"{done.lost} lost")
    part.check(done.out_of_order == 0, f"{done.out_of_order} out of order")
    part.check(done.end["sessions"] == 1, f"{done.end['sessions']} sessions")
    part.check(done.first_ids == (1 if run.short else 3), f"ids wrapped {done.first_ids} times")


def soak_week(run: Run, part: Part) -> None:
    """A board that sleeps, for a week; in short a day of it is in tests/e2e/test_battery.py."""
    if run.short:
        return
    hours = week_verdict.WEEK_S // week.HOUR_S
    done = week.run(run.umqtt, run.seed, lambda hour: run.step(min(int(hour), hours), hours))
    part.figures = week_verdict.figures(done.week)
    part.failed = done.problems + (done.log[-30:] if done.problems else [])


def soak_fleet(run: Run, part: Part) -> None:
    """Twenty boards, updated while the network is bad; two of them cannot take it."""
    count, scale = (
        (fleet.SHORT, fleet.SHORT_SCALE) if run.short else (fleet.LONG, fleet.LONG_SCALE)
    )
    done = fleet.run(count, scale, run.umqtt, lambda updated: run.step(updated, count))
    part.figures = fleet.figures(done)
    part.failed = done.problems + done.log


def soak_fuzz(run: Run, part: Part) -> None:
    """Mutated packets and documents."""
    mutations = 2_000 if run.short else 50_000
    total = len(fuzz.KINDS) * 2
    for number, (name, bits) in enumerate((n, b) for n in fuzz.KINDS for b in (64, 32)):
        done = fuzz.run(name, mutations, run.umqtt, bits, run.seed)
        part.figures[f"{name}, {bits} bits"] = (
            f"{done.inputs:,} inputs in {done.seconds:.0f} s, {'ok' if done.ok else 'FAILED'}"
        )
        if not done.ok:
            part.failed += [f"{name}, {bits} bits", *done.said.splitlines()[-20:]]
        run.step(number + 1, total)


PARTS = {
    "publishes": soak_publishes,
    "reconnects": soak_reconnects,
    "cuts": soak_cuts,
    "faults": soak_faults,
    "scenarios": soak_scenarios,
    "week": soak_week,
    "fleet": soak_fleet,
    "fuzz": soak_fuzz,
}


def parts(run: Run, chosen: list[str], console: Console) -> Iterator[Part]:
    """Run the chosen parts, each with a bar of progress, and give what they came to."""
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        for name in chosen:
            task = progress.add_task(name, total=None)
            run.step = lambda done, total, task=task: progress.update(
                task, completed=done, total=total
            )
            part = Part(name)
            try:
                PARTS[name](run, part)
            except AssertionError as e:
                part.failed.append(str(e))
            yield part


def main(argv: list[str] | None = None) -> int:
    """Run, print the table, and say by the exit code whether all went well."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seed", type=int, default=_SEED)
    parser.add_argument("--short", action="store_true", help="as much as `make test` runs of it")
    given = parser.parse_args(argv)
    unknown = [name for name in given.parts if name not in PARTS]
    if unknown:
        parser.error(f"{unknown[0]} is none of {', '.join(PARTS)}")
    console = Console(highlight=False)
    console.print(f"seed {given.seed}")
    began = time.monotonic()
    run = Run(toolchain.umqtt_dir(), given.seed, given.short)
    table = Table("part", "figure", "value")
    failed = []
    for part in parts(run, given.parts or list(PARTS), console):
        for figure, value in part.figures.items():
            table.add_row(part.name, figure, value)
        failed += [f"{part.name}: {text}" for text in part.failed]
    console.print(table)
    for text in failed:
        console.print(text, markup=False, soft_wrap=True)
    minutes, seconds = divmod(time.monotonic() - began, 60)
    console.print(f"{'FAILED' if failed else 'all well'} after {minutes:.0f} min {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
