"""The smallest heap on which the whole firmware runs a session, and how fast it answers.

A session: boot, connect, shadow get, a wish through the shadow, 50 readings acknowledged.
The 32-bit build is what counts: its objects have the size of those on the ESP chips. What the
simulated hardware takes is not counted, umqtt.simple (frozen into a board's firmware) is. With
"ROMFS" the code lies outside the heap and runs in place, as on an ESP8266 (docs/memory.md).

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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from tools.board import romfs
from tools.board.stage import stage
from tools.sim import devices, feed
from tools.sim.board import VirtualBoard
from tools.sim.cloud import LocalCloud

READINGS = 50
STEP_BYTES = 1024
LOW, HIGH = 32 * 1024, 192 * 1024
_WAIT_S = 20.0
# A message that was dropped for want of memory, or a session, is as bad as a crash here.
_ENDS = ("crash:", "main: ", "main.py has ended", "no memory for a message", "link: memory")
KINDS = (".mpy", ".py", "ROMFS")
_ROM_BYTES = 1024 * 1024
# What the ESP8266 port does by itself: the image is outside of the heap.
_MOUNT = """import sys


def _mount():
    import ffi
    import uctypes
    import vfs

    with open("rom.img", "rb") as f:
        size = f.seek(0, 2)
        f.seek(0)
        place = ffi.open(None).func("P", "malloc", "I")(size)
        image = uctypes.bytearray_at(place, size)
        f.readinto(image)
    vfs.mount(vfs.VfsRom(image), "/rom")
    sys.path.insert(0, "/rom")


_mount()
"""
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


def into_rom(staged: Path) -> None:
    """Move the code of a staged board into an image that its boot.py mounts."""
    tree = {
        path.relative_to(staged).as_posix(): path.read_bytes()
        for path in staged.rglob("*")
        if path.is_file()
    }
    _, code = romfs.split(tree)
    (staged / "rom.img").write_bytes(romfs.build(code, _ROM_BYTES))
    shutil.rmtree(staged / "firmware")
    (staged / "firmware").mkdir()
    boot = staged / "boot.py"
    boot.write_text(_MOUNT + boot.read_text())


def session(cloud: LocalCloud, seen: Seen, folder: Path, heap: int, kind: str) -> bool:
    """One trial: does the session run to its end on ``heap`` bytes?"""
    thing = f"heap-{next(_numbers)}"
    home = folder / thing
    staged = devices.make(cloud.clients, thing, home, interval_s=1)
    if kind == "ROMFS":
        into_rom(staged)
    elif kind == ".py":
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


def smallest(cloud: LocalCloud, seen: Seen, folder: Path, kind: str) -> int | None:
    """To a kilobyte, two trials at a time; None if even HIGH is too little."""

    def good(kilobytes: int) -> bool:
        return session(cloud, seen, folder, kilobytes * STEP_BYTES, kind)

    low, high = LOW // STEP_BYTES, HIGH // STEP_BYTES
    if not good(high):
        return None
    with ThreadPoolExecutor(2) as pool:
        while high - low > 1:
            third = max(1, (high - low) // 3)
            tried = sorted({low + third, max(low + third, high - third)} - {high})
            results = list(zip(tried, pool.map(good, tried), strict=True))
            high = min([n for n, ok in results if ok] + [high])
            low = max([n for n, ok in results if not ok and n < high] + [low])
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
            for kind in KINDS:
                with console.status(f"searching the smallest heap for {kind}"):
                    found = smallest(cloud, seen, folder, kind)
                size = f"{found:,} bytes ({found // 1024} KB)" if found else f"over {HIGH:,} bytes"
                console.print(f"smallest heap, session of {READINGS} readings, {kind}: {size}")
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
