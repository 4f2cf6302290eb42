"""The smallest heap on which the firmware runs a session, for an ESP32 and for an ESP8266.

A session: connect, shadow get with 20 keys that are no settings, a delta applied and reported, a
command with its result, 50 readings delivered, an outage of 20 readings, all of them delivered. A
crash, a restart, or anything that was dropped or failed for want of memory, is a failure.

The 32-bit build is what counts: its objects have the size of those on the chips. The simulated
hardware and umqtt.simple (frozen into a board's firmware) do not (shims/_memory.py).

    make bench-heap                                          everything
    python -m bench.bench_heap --profile esp32 --quick       the smallest heap only, to a kilobyte
    python -m bench.bench_heap --profile esp8266 --at 18k    one session: does it run?
    … --at 18k --log                                         and the board's log

Nothing here is asserted by time. tests/host/test_memory.py holds the limits.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tools.sim import devices, feed, launch
from tools.sim.board import VirtualBoard
from tools.sim.cloud import LocalCloud

KB = 1024
READINGS, OUTAGE, FOREIGN = 50, 20, 20
# profile -> (limit, aim) in bytes of heap, and of the largest piece once it runs (issue 8)
LIMITS = {"esp32": (50 * KB, 44 * KB), "esp8266": (18 * KB, 14 * KB)}
PIECE = (4 * KB, 2 * KB)
_RANGE = {"esp32": (12 * KB, 128 * KB), "esp8266": (8 * KB, 80 * KB)}
_PIECES = (512, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
_SCALE = 10
_FAST = 40  # for readings alone: nothing that waits for a handshake
_WAIT_S = 25.0
# What a log says when memory was short, or the session did not go as it should.
_BAD = re.compile(
    r"MemoryError|ENOMEM|memory alloc|(no|out of) memory|memory tls|: memory|\[Errno 12\]"
    r"|crash:|main: |main\.py has ended|board: reset"
)
_RUNS = 5

_numbers = itertools.count(1)


class Failed(Exception):
    """A session that did not run to its end; the text says where and why."""


class Seen:
    """What the cloud has delivered, with the time of arrival."""

    def __init__(self) -> None:
        self.readings: dict[str, dict[int, float]] = {}
        self.reported: dict[str, dict[str, Any]] = {}
        self.results: dict[str, dict[Any, dict[str, Any]]] = {}
        self.news = threading.Condition()

    def take(self, topic: str, document: dict[str, Any]) -> None:
        """The feed's callback."""
        name = topic.split("/")
        with self.news:
            if name[-1] == "data":
                self.readings.setdefault(name[1], {}).setdefault(document["seq"], time.monotonic())
            elif name[-1] == "result":
                self.results.setdefault(name[1], {})[document.get("id")] = document
            elif topic.startswith("$aws/things/"):
                state = document["current"]["state"]
                self.reported.setdefault(name[2], {}).update(state.get("reported") or {})
            self.news.notify_all()


@dataclass
class Lab:
    """A cloud, all it has delivered, and a folder for the devices."""

    cloud: LocalCloud
    seen: Seen
    folder: Path
    umqtt: Path | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)  # one provisioning at a time

    @contextlib.contextmanager
    def trial(self, profile: str, heap: int, scale: int = _SCALE, **world: Any) -> Iterator[Trial]:
        """A device of its own, and its board, powered on."""
        thing = f"heap-{next(_numbers)}"
        with self.lock:
            folder = devices.make(
                self.cloud.clients, thing, self.folder / thing, board=profile, interval_s=2
            )
        world = {"temperature": 21.5, "humidity": 45, "pressure": 1013.25} | world
        board = VirtualBoard(
            folder, heap=f"{profile}:{heap}", bits=32, umqtt=self.umqtt, time_scale=scale, **world
        )
        trial = Trial(self, thing, board)
        try:
            yield trial
        finally:
            board.close()
            shutil.rmtree(self.folder / thing, ignore_errors=True)


@dataclass
class Trial:
    """One board, and what a session asks of it."""

    lab: Lab
    thing: str
    board: VirtualBoard

    def session(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Run it all; ``meanwhile`` comes when the board is connected. Failed says what failed."""
        self.foreign_keys()
        self.board.start()
        self.wait("connect", lambda: "interval_s" in self.reported)
        meanwhile()
        self.desire(interval_s=1)
        self.wait("delta", lambda: self.reported.get("interval_s") == 1)
        self.command(action="identify", id="bench")
        self.wait("command", lambda: self.results.get("bench", {}).get("ok"))
        self.wait("readings", lambda: len(self.readings) >= READINGS)
        last = max(self.readings)
        self.outage((OUTAGE + 2) / _SCALE)
        self.wait("drain", lambda: self.complete(last + OUTAGE))

    def foreign_keys(self) -> None:
        """A shadow with keys that are no settings of ours, in desired and in reported."""
        half = FOREIGN // 2
        desired = {f"site_{n:02}": n for n in range(half)}
        reported = {f"was_{n:02}": n for n in range(FOREIGN - half)}
        self._shadow({"state": {"desired": desired, "reported": reported}})

    def desire(self, **values: Any) -> None:
        """Change desired values."""
        self._shadow({"state": {"desired": values}})

    def command(self, **order: Any) -> None:
        """Send a command."""
        topic = f"devices/{self.thing}/commands"
        self.lab.cloud.clients.data.publish(topic=topic, qos=1, payload=json.dumps(order))

    def outage(self, seconds: float) -> None:
        """No Wi-Fi for ``seconds`` of ours."""
        self.board.set(wifi={"up": False})
        time.sleep(seconds)
        self._check("outage")
        self.board.set(wifi=None)

    @property
    def readings(self) -> dict[int, float]:
        """Readings delivered so far: sequence number -> when."""
        return self.lab.seen.readings.get(self.thing, {})

    @property
    def reported(self) -> dict[str, Any]:
        """The shadow's reported values that the board has changed."""
        return self.lab.seen.reported.get(self.thing, {})

    @property
    def results(self) -> dict[Any, dict[str, Any]]:
        """Results of commands by their id."""
        return self.lab.seen.results.get(self.thing, {})

    def complete(self, number: int) -> bool:
        """Whether every reading up to ``number``, and all that came after, is here."""
        top = max(self.readings, default=0)
        return top >= number and len(self.readings) == top

    def wait(self, what: str, good: Callable[[], Any], limit_s: float = _WAIT_S) -> None:
        """Until ``good()``; Failed when the time is over or the log speaks of trouble."""
        end = time.monotonic() + limit_s
        while True:
            self._check(what)
            with self.lab.seen.news:
                if good():
                    return
                self.lab.seen.news.wait(0.05)
            if time.monotonic() > end:
                raise Failed(f"{what}: not within {limit_s:.0f} s")

    def _check(self, what: str) -> None:
        bad = next((line for line in self.board.log if _BAD.search(line)), None)
        if bad is not None or self.board.boots > 1:
            raise Failed(f"{what}: {bad or 'the board has restarted'}")

    def _shadow(self, document: dict[str, Any]) -> None:
        data = self.lab.cloud.clients.data
        data.update_thing_shadow(thingName=self.thing, payload=json.dumps(document))

    def in_use(self) -> int:
        """Bytes of heap in use, the least of a few looks: messages come and go."""
        found = []
        for _ in range(5):
            number = next(_numbers)
            after = len(self.board.log)
            self.board.set(report_heap=number)
            line = self.board.wait_for(rf"sim: heap {number} in use (\d+)", 10, after)
            found.append(int(line[1]))
            time.sleep(0.2)
        return min(found)


def failure(lab: Lab, profile: str, heap: int, piece: int | None = None, **world: Any) -> str:
    """Why a session does not run to its end on ``heap`` bytes, or "".

    ``piece``: from the first connect on no free piece of memory is larger than so many bytes.
    """
    ready = {"split_heap": 0} if piece else {}
    with lab.trial(profile, heap, **world, **ready) as trial:
        cut = (lambda: trial.board.set(split_heap=piece)) if piece else (lambda: None)
        try:
            trial.session(cut)
        except Failed as e:
            return str(e)
    return ""


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


def smallest_heap(lab: Lab, profile: str, step: int) -> int | None:
    """In bytes, to ``step``."""
    low, high = (end // step for end in _RANGE[profile])
    found = smallest(lambda n: not failure(lab, profile, n * step, **alone(profile)), low, high)
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
    heap = launch.HEAPS[profile]
    with lab.trial(profile, heap, _FAST) as trial:
        trial.board.start()
        trial.wait("connect", lambda: "interval_s" in trial.reported)
        trial.desire(interval_s=1)
        trial.wait("warm", lambda: len(trial.readings) >= READINGS)
        before = trial.in_use()
        limit_s = _WAIT_S + 2 * count / _FAST
        trial.wait("readings", lambda: len(trial.readings) >= READINGS + count, limit_s)
        return trial.in_use() - before


def _growth_by_reconnects(lab: Lab, profile: str, count: int) -> int:
    heap = launch.HEAPS[profile]
    before = 0
    with lab.trial(profile, heap) as trial:
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


@contextlib.contextmanager
def laboratory(umqtt: Path | None = None) -> Iterator[Lab]:
    """A local cloud and a folder, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="fieldmouse-bench-"))
    seen = Seen()
    try:
        with LocalCloud() as cloud:
            files = feed.enrol(cloud.clients.iot, cloud.info, folder)
            listener = feed.Feed(cloud.info, *files, seen.take)
            listener.open()
            yield Lab(cloud, seen, folder, umqtt)
            listener.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(lab: Lab, profile: str, options: argparse.Namespace, console: Console) -> Table:
    """All figures of a profile, as a table: found, limit, aim."""
    table = Table("what", "found", "limit", "aim", title=f"{profile}, 32 bit")

    def row(what: str, found: Any, limit: Any = "", aim: Any = "") -> None:
        shown = [f"{n:,}" if isinstance(n, int) else str(n) for n in (found, limit, aim)]
        table.add_row(what, *shown)

    limit, aim = LIMITS[profile]
    with console.status(f"{profile}: searching the smallest heap"):
        found = smallest_heap(lab, profile, KB if options.quick else 256)
    row("smallest heap for a session, bytes", found or f"over {_RANGE[profile][1]:,}", limit, aim)
    if options.quick or not found:
        return table
    with console.status(f"{profile}: searching the largest piece"):
        piece = largest_piece(lab, profile, max(2 * found, launch.HEAPS[profile]))
    row("largest single piece once it runs, at most", piece or f"over {_PIECES[-1]:,}", *PIECE)
    if profile == "esp8266":
        with console.status(f"{profile}: a session in its 38 KB"):
            why = failure(lab, profile, launch.HEAPS[profile])
        row("a session in 38 KB, with what axTLS takes", why or "yes", "yes")
    with console.status(
        f"{profile}: {options.readings:,} readings, {options.reconnects} reconnects"
    ):
        by_readings, by_reconnects = growth(lab, profile, options.readings, options.reconnects)
    row(f"growth over {options.readings:,} readings, bytes", by_readings, 0, 0)
    row(f"growth over {options.reconnects} reconnects, bytes", by_reconnects, 0, 0)
    return table


def one(lab: Lab, options: argparse.Namespace, console: Console) -> int:
    """One session on a heap that was asked for."""
    heap = launch.heap_of(options.at, 32)[1]
    for profile in options.profile:
        begin = time.monotonic()
        with lab.trial(profile, heap, **alone(profile)) as trial:
            try:
                trial.session()
                why = ""
            except Failed as e:
                why = str(e)
            if options.log:
                console.print(*trial.board.log, sep="\n", markup=False)
        took = f"{time.monotonic() - begin:.1f} s"
        console.print(f"{profile}, {heap:,} bytes: {why or 'a whole session'} ({took})")
        if why:
            return 1
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    add = parser.add_argument
    add("--profile", choices=launch.PROFILES, action="append", help="only this one")
    add("--quick", action="store_true", help="only the smallest heap, to a kilobyte")
    add("--at", metavar="BYTES", help="one session on so much heap (18000, 18k)")
    add("--log", action="store_true", help="with --at: show the log of the board")
    add("--readings", type=int, default=10_000, help="for growth (default: %(default)s)")
    add("--reconnects", type=int, default=100, help="for growth (default: %(default)s)")
    add("--umqtt", type=Path, help="folder with another umqtt/simple.py")
    options = parser.parse_args(argv)
    options.profile = options.profile or list(launch.PROFILES)
    return options


def main(argv: list[str] | None = None) -> int:
    """Print the figures."""
    options = parse(argv)
    console = Console(highlight=False, soft_wrap=True)
    with laboratory(options.umqtt) as lab:
        if options.at:
            return one(lab, options, console)
        for profile in options.profile:
            console.print(measure(lab, profile, options, console))
        if not options.quick:
            with console.status("measuring latencies"):
                pairs = list(latencies(lab))
            first, change = ([p[i] for p in pairs] for i in (0, 1))
            for what, values in (("boot to first reading", first), ("delta to reported", change)):
                console.print(
                    f"{what}: median {statistics.median(values):.2f} s, "
                    f"worst {max(values):.2f} s of {len(values)}"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
