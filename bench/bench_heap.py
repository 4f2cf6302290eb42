"""The smallest heap on which the whole firmware runs a session, and how fast it answers.

A session: boot, connect, shadow get, a wish through the shadow, 50 readings acknowledged.
The 32-bit build is what counts: its objects have the size of those on the ESP chips. What the
simulated hardware takes is not counted, umqtt.simple (frozen into a board's firmware) is.

Run by `make bench-heap`; nothing here is asserted by time.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from tools.board.stage import stage
from tools.sim import devices, feed
from tools.sim.board import VirtualBoard
from tools.sim.cloud import LocalCloud

READINGS = 50
STEP_BYTES = 1024
LOW, HIGH = 32 * 1024, 192 * 1024
_WAIT_S = 20.0
_ENDS = ("crash:", "main: ", "main.py has ended")
_RUNS = 5

_numbers = itertools.count(1)


class Seen:
    """What the cloud has delivered, with the time of arrival."""

    def __init__(self) -> None:
        self.readings: dict[str, dict[int, float]] = {}
        self.reported: dict[str, dict[str, Any]] = {}
        self.news = threading.Condition()

    def take(self, topic: str, document: dict[str, Any]) -> None:
        """The feed's callback."""
        name = topic.split("/")
        with self.news:
            if name[-1] == "data":
                self.readings.setdefault(name[1], {}).setdefault(document["seq"], time.monotonic())
            elif topic.startswith("$aws/things/"):
                state = document["current"]["state"]
                self.reported.setdefault(name[2], {}).update(state.get("reported") or {})
            self.news.notify_all()

    def wait(self, good: Any, board: VirtualBoard, limit_s: float = _WAIT_S) -> bool:
        """Until ``good()``; False when the time is over or the board has crashed."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            with self.news:
                if good():
                    return True
                self.news.wait(0.05)
            if board.boots > 1 or any(end in line for line in board.log for end in _ENDS):
                return False
        return False


def session(cloud: LocalCloud, seen: Seen, folder: Path, heap: int, compiled: bool) -> bool:
    """One trial: does the session run to its end on ``heap`` bytes?"""
    thing = f"heap-{next(_numbers)}"
    home = folder / thing
    staged = devices.make(cloud.clients, thing, home, interval_s=1)
    if not compiled:
        stage(home / "thing" / "config.json", home / "thing" / "certs", staged, compiled=False)
    data = cloud.clients.data
    with contextlib.closing(VirtualBoard(staged, heap=str(heap), bits=32)) as board:
        board.start()
        if not seen.wait(lambda: "interval_s" in seen.reported.get(thing, {}), board):
            return False
        wish = {"state": {"desired": {"interval_s": 2}}}
        data.update_thing_shadow(thingName=thing, payload=json.dumps(wish))
        if not seen.wait(lambda: seen.reported[thing].get("interval_s") == 2, board):
            return False
        for n in range(2, READINGS + 1):
            order = json.dumps({"action": "read_now", "id": n})
            data.publish(topic=f"devices/{thing}/commands", qos=1, payload=order)
            if not seen.wait(lambda n=n: len(seen.readings.get(thing, {})) >= n, board):
                return False
    return True


def smallest(cloud: LocalCloud, seen: Seen, folder: Path, compiled: bool) -> int | None:
    """Binary search, to a kilobyte; None if even HIGH is too little."""
    if not session(cloud, seen, folder, HIGH, compiled):
        return None
    low, high = LOW // STEP_BYTES, HIGH // STEP_BYTES
    while high - low > 1:
        middle = (low + high) // 2
        if session(cloud, seen, folder, middle * STEP_BYTES, compiled):
            high = middle
        else:
            low = middle
    return high * STEP_BYTES


def latencies(cloud: LocalCloud, seen: Seen, folder: Path) -> Iterator[tuple[float, float]]:
    """(boot to first reading delivered, boto3 returned to reported), in seconds, _RUNS times."""
    for _ in range(_RUNS):
        thing = f"quick-{next(_numbers)}"
        staged = devices.make(cloud.clients, thing, folder / thing, interval_s=1)
        with contextlib.closing(VirtualBoard(staged)) as board:
            begin = time.monotonic()
            board.start()
            seen.wait(lambda thing=thing: seen.readings.get(thing), board)
            first_s = min(seen.readings[thing].values()) - begin
            seen.wait(lambda thing=thing: "interval_s" in seen.reported.get(thing, {}), board)
            wish = json.dumps({"state": {"desired": {"interval_s": 3}}})
            cloud.clients.data.update_thing_shadow(thingName=thing, payload=wish)
            begin = time.monotonic()
            seen.wait(lambda thing=thing: seen.reported[thing].get("interval_s") == 3, board)
            yield first_s, time.monotonic() - begin


def main() -> int:
    """Print the figures."""
    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="fieldmouse-bench-"))
    seen = Seen()
    try:
        with LocalCloud() as cloud:
            files = feed.enrol(cloud.clients.iot, cloud.info, folder)
            listener = feed.Feed(cloud.info, *files, seen.take)
            listener.open()
            for compiled, name in ((True, ".mpy"), (False, ".py")):
                with console.status(f"searching the smallest heap for {name}"):
                    found = smallest(cloud, seen, folder, compiled)
                size = f"{found:,} bytes ({found // 1024} KB)" if found else f"over {HIGH:,} bytes"
                console.print(f"smallest heap, session of {READINGS} readings, {name}: {size}")
            with console.status("measuring latencies"):
                pairs = list(latencies(cloud, seen, folder))
            first, change = ([p[i] for p in pairs] for i in (0, 1))
            for what, values in (("boot to first reading", first), ("wish to reported", change)):
                console.print(
                    f"{what}: median {statistics.median(values):.2f} s, "
                    f"worst {max(values):.2f} s of {len(values)}"
                )
            listener.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
