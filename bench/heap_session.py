"""One session of a virtual board on so much heap: what bench_heap.py and the memory test ask for.

connect, shadow get with 20 keys that are no settings, a delta applied and reported, a command with
its result, 50 readings delivered, an outage of 20 readings, all of them delivered. A crash, a
restart, or anything that was dropped or failed for want of memory, is a failure.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools import wire
from tools.aws import viewer, watch
from tools.sim import devices
from tools.sim.board import VirtualBoard
from tools.sim.cloud import LocalCloud

READINGS, OUTAGE, FOREIGN = 50, 20, 20
SCALE = 10  # the board's seconds in one of ours
WAIT_S = 25.0
# What a log says when memory was short, or the session did not go as it should.
_BAD = re.compile(
    r"MemoryError|ENOMEM|memory alloc|(no|out of) memory|memory tls|: memory|\[Errno 12\]"
    r"|crash:|main: |main\.py has ended|board: reset"
)

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

    def take(self, topic: str, payload: bytes) -> None:
        """The listener's callback."""
        document = wire.document(payload)
        if document is None:
            return
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
    def trial(self, profile: str, heap: int, scale: int = SCALE, **world: Any) -> Iterator[Trial]:
        """A device of its own, and its board, powered on."""
        thing = f"heap-{next(_numbers)}"
        with self.lock:
            folder = devices.make(
                self.cloud.clients, thing, self.folder / thing, board=profile, interval_s=2
            )
        # Values that do not stand still: those would be a fault of the sensor.
        world = {"temperature": 21.5, "humidity": 45, "pressure": "1013 + sin(t)"} | world
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
        self.outage((OUTAGE + 2) / SCALE)
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

    def wait(self, what: str, good: Callable[[], Any], limit_s: float = WAIT_S) -> None:
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

    def names(self) -> int:
        """How many names the firmware has interned; powered on with ``report_heap`` set."""
        after = len(self.board.log)
        self.board.set(report_heap=next(_numbers))
        self.board.wait_for("sim: heap", 10, after)
        counts = [int(n) for n in re.findall(r"n_qstr=(\d+)", "\n".join(self.board.log))]
        return counts[-1] - counts[0]


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


@contextlib.contextmanager
def laboratory(umqtt: Path | None = None) -> Iterator[Lab]:
    """A local cloud and a folder, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="fieldmouse-bench-"))
    seen = Seen()
    try:
        filters = (watch.DATA, *watch.OTHERS)
        with LocalCloud() as cloud, viewer.listening(cloud.clients, filters, seen.take):
            yield Lab(cloud, seen, folder, umqtt)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
