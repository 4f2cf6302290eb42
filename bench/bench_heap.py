"""The smallest heap on which the firmware runs a session, for an ESP32 and for an ESP8266.

What a session is stands in heap_session.py.

The 32-bit build is what counts: its objects have the size of those on the chips. The simulated
hardware and umqtt.simple (frozen into a board's firmware) do not (shims/_memory.py).

    make bench-heap                                          everything
    python -m bench.bench_heap --profile esp32 --quick       the smallest heap only, to a kilobyte
    python -m bench.bench_heap --profile esp8266 --at 35k    one session: does it run?
    … --at 35k --log                                         and the board's log

On an ESP8266 axTLS takes its memory out of the same heap, as on a chip: `--at` is all of it, and
what is found is less axTLS's peak.
Nothing here is asserted by time. tests/host/test_memory.py holds the limits.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.heap_session import READINGS, WAIT_S, Failed, Lab, failure, laboratory
from tools.sim import launch

KB = 1024
# profile -> (limit, aim) in bytes of heap, and of the largest piece once it runs (issue 8)
LIMITS = {"esp32": (50 * KB, 44 * KB), "esp8266": (18 * KB, 14 * KB)}
AXTLS = {"esp32": 0, "esp8266": 15_616}  # at the most, in the handshake; taken off what was found
PIECE = (4 * KB, 2 * KB)
_RANGE = {"esp32": (12 * KB, 128 * KB), "esp8266": (8 * KB, 80 * KB)}
_PIECES = (512, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
_FAST = 40  # time scale for readings alone: nothing that waits for a handshake
_RUNS = 5
_READINGS, _RECONNECTS = 10_000, 100  # for growth
_GROWTH_HEAP = launch.HEAPS | {"esp8266": 40 * KB}  # what grows shows with room to spare as well


def alone(profile: str) -> dict[str, Any]:
    """What the limits mean by the firmware's own: an ESP8266's TLS library comes on top."""
    return {"tls_outside": True} if profile == "esp8266" else {}


def smallest(good: Callable[[int], bool], low: int, high: int) -> int | None:
    """The least good number above ``low``, two trials at a time; None: not even ``high`` is."""
    if not good(high):
        return None
    with ThreadPoolExecutor(2) as pool:
        while high - low > 1:
            third = max(1, (high - low) // 3)
            tried = sorted({low + third, max(low + third, high - third)} - {high})
            results = list(zip(tried, pool.map(good, tried), strict=True))
            high = min([n for n, ok in results if ok] + [high])
            low = max([n for n, ok in results if not ok and n < high] + [low])
    return high


def smallest_heap(
    lab: Lab, profile: str, step: int, say: Callable[[str], object] = lambda text: None
) -> int | None:
    """In bytes, to ``step``, without what axTLS takes; ``say`` is given each outcome."""

    def good(count: int) -> bool:
        why = failure(lab, profile, count * step + AXTLS[profile])
        say(f"{profile}, {count * step:,} bytes: {why or 'a whole session'}")
        return not why

    low, high = (end // step for end in _RANGE[profile])
    found = smallest(good, low, high)
    return found and found * step


def largest_piece(lab: Lab, profile: str, heap: int) -> int | None:
    """The smallest of _PIECES with which a session runs; ``heap`` leaves room for the cuts."""

    def good(index: int) -> bool:
        return not failure(lab, profile, heap, _PIECES[index], **alone(profile))

    found = smallest(good, -1, len(_PIECES) - 1)
    return None if found is None else _PIECES[found]


def growth(lab: Lab, profile: str, readings: int, reconnects: int) -> tuple[int, int]:
    """Bytes by which the heap in use grew over so many readings, and over so many reconnects."""
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(_growth_by_readings, lab, profile, readings)
        second = pool.submit(_growth_by_reconnects, lab, profile, reconnects)
        return first.result(), second.result()


def _growth_by_readings(lab: Lab, profile: str, count: int) -> int:
    with lab.trial(profile, _GROWTH_HEAP[profile], _FAST) as trial:
        trial.board.start()
        trial.wait("connect", lambda: "interval_s" in trial.reported)
        trial.desire(interval_s=1)
        trial.wait("warm", lambda: len(trial.readings) >= READINGS)
        before = trial.in_use()
        limit_s = WAIT_S + 2 * count / _FAST
        trial.wait("readings", lambda: len(trial.readings) >= READINGS + count, limit_s)
        return trial.in_use() - before


def _growth_by_reconnects(lab: Lab, profile: str, count: int) -> int:
    before = 0
    with lab.trial(profile, _GROWTH_HEAP[profile]) as trial:
        trial.board.start()
        trial.wait("connect", lambda: "interval_s" in trial.reported)
        for number in range(count + 3):
            if number == 3:  # by then every buffer has its size
                before = trial.in_use()
            last = max(trial.readings, default=0)
            trial.outage(0.5)
            trial.wait(f"reconnect {number}", lambda last=last: trial.complete(last + 2))
        return trial.in_use() - before


def latencies(lab: Lab) -> Iterator[tuple[float, float]]:
    """(boot to first reading delivered, boto3 returned to reported), in seconds, _RUNS times."""
    for _ in range(_RUNS):
        with lab.trial("esp32", launch.HEAPS["esp32"], scale=1) as trial:
            begin = time.monotonic()
            trial.board.start()
            trial.wait("first reading", lambda trial=trial: trial.readings)
            first_s = min(trial.readings.values()) - begin
            trial.wait("connect", lambda trial=trial: "interval_s" in trial.reported)
            trial.desire(interval_s=3)
            begin = time.monotonic()
            trial.wait("delta", lambda trial=trial: trial.reported.get("interval_s") == 3)
            yield first_s, time.monotonic() - begin


def measure(lab: Lab, profile: str, options: argparse.Namespace, console: Console) -> Table:
    """All figures of a profile, as a table: found, limit, aim."""
    table = Table("what", "found", "limit", "aim", title=f"{profile}, 32 bit")

    def row(what: str, found: Any, limit: Any = "", aim: Any = "") -> None:
        shown = [f"{n:,}" if isinstance(n, int) else str(n) for n in (found, limit, aim)]
        table.add_row(what, *shown)

    limit, aim = LIMITS[profile]
    with console.status(f"{profile}: searching the smallest heap"):
        say = console.print if options.log else lambda text: None
        found = smallest_heap(lab, profile, KB if options.quick else 256, say)
    row("smallest heap for a session, bytes", found or f"over {_RANGE[profile][1]:,}", limit, aim)
    if options.quick or not found:
        return table
    with console.status(f"{profile}: searching the largest piece"):
        piece = largest_piece(lab, profile, max(2 * found, launch.HEAPS[profile]))
    row("largest single piece once it runs, at most", piece or f"over {_PIECES[-1]:,}", *PIECE)
    if AXTLS[profile]:
        fits = found + AXTLS[profile] <= launch.HEAPS[profile]
        row("a session in 38 KB, with what axTLS takes", "yes" if fits else "no", "yes")
    with console.status(f"{profile}: {_READINGS:,} readings, {_RECONNECTS} reconnects"):
        grown = tried(lambda: growth(lab, profile, _READINGS, _RECONNECTS))
    by_readings, by_reconnects = (grown, grown) if isinstance(grown, str) else grown
    row(f"growth over {_READINGS:,} readings, bytes", by_readings, 0, 0)
    row(f"growth over {_RECONNECTS} reconnects, bytes", by_reconnects, 0, 0)
    return table


def tried(what: Callable[[], Any]) -> Any:
    """What it gives, or in words why it failed."""
    try:
        return what()
    except Failed as e:
        return str(e)


def one(lab: Lab, options: argparse.Namespace, console: Console) -> int:
    """One session on a heap that was asked for."""
    heap = launch.heap_of(options.at, 32)[1]
    for profile in options.profile:
        begin = time.monotonic()
        with lab.trial(profile, heap) as trial:
            why = tried(trial.session)
            if options.log:
                console.print(*trial.board.log, sep="\n", markup=False)
        took = f"{time.monotonic() - begin:.1f} s"
        console.print(f"{profile}, {heap:,} bytes: {why or 'a whole session'} ({took})")
        if why:
            return 1
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    add = parser.add_argument
    add("--profile", choices=launch.PROFILES, action="append", help="only this one")
    add("--quick", action="store_true", help="only the smallest heap, to a kilobyte")
    add("--at", metavar="BYTES", help="one session on so much heap (18000, 18k)")
    add("--log", action="store_true", help="show the log of the board; or each trial")
    options = parser.parse_args()
    options.profile = options.profile or list(launch.PROFILES)
    return options


def main() -> int:
    """Print the figures."""
    options = parse()
    console = Console(highlight=False, soft_wrap=True)
    with laboratory() as lab:
        if options.at:
            return one(lab, options, console)
        for profile in options.profile:
            console.print(measure(lab, profile, options, console))
        if not options.quick and "esp32" in options.profile:
            from bench import heap_updates  # which has smallest() from here

            with heap_updates.laboratory() as updates:
                console.print(heap_updates.measure(updates, console))
        if not options.quick:
            with console.status("measuring latencies"):
                pairs = tried(lambda: list(latencies(lab)))
            if isinstance(pairs, str):
                console.print(f"latencies: {pairs}")
                return 1
            first, change = ([p[i] for p in pairs] for i in (0, 1))
            for what, values in (("boot to first reading", first), ("delta to reported", change)):
                console.print(
                    f"{what}: median {statistics.median(values):.2f} s, "
                    f"worst {max(values):.2f} s of {len(values)}"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
