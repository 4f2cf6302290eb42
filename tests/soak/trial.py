"""One fault, or one mix of them, end to end: virtual board, chaos proxy, MiniStack, subscriber.

A trial is fair when these hold, and run() says which do not:

- nothing lost: every seq from 1 to the last has reached the subscriber;
- in order: the first arrivals come with rising seq;
- own time: the timestamp of every reading is the moment it was measured. The simulated temperature
  rises with the board's uptime, so the reading itself tells that moment;
- recovery: after the last fault is over the newest reading is back in the cloud within the time
  the firmware may take to notice (a dead session, or a connect under way), to wait (its longest
  wait announced so far) and to connect;
- a desired value and a command, sent in the middle of it, are applied and answered;
- the board has restarted only where the trial cuts its power.

All times are the board's own seconds: its world runs `SCALE` times as fast (shims/_scaled.py).
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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.limits import limit_ms
from tests.soak.verdict import COLDEST, RISE, Verdict, judge
from tools import wire
from tools.aws import viewer, watch
from tools.sim import devices
from tools.sim.board import VirtualBoard
from tools.sim.chaos import Plan
from tools.sim.chaos_proxy import Proxy
from tools.sim.cloud import LocalCloud

SCALE = 6.0
KEEPALIVE_S = 30
_HOST_S = 2.0  # of ours: what a busy machine may add to a recovery
_WARM_UP_S = 30.0  # of ours: until the first readings are there
_DARK_S = 0.3  # of ours: how long the power is off
_ORDERS_S = 90.0  # beyond the recovery: shadow and broker repeat themselves after 30
_DESIRED = 7
_COMMAND = "in-the-storm"
_WAIT = re.compile(r"next try in (\d+) ms")


def notice_s() -> float:
    """How long a session may be dead before the firmware knows: the longest of its limits."""
    ping = KEEPALIVE_S / 2 + limit_ms("PING_MS") / 1000
    # And a millisecond for each byte of the packet.
    stall = limit_ms("STALL_MS") / 1000 + 1
    return max(ping, stall, limit_ms("CONNECT_MAX_MS") / 1000)


class Bench:
    """A MiniStack, a subscriber, and a place for boards; several trials may run at a time."""

    def __init__(self, umqtt: Path | None = None, scale: float = SCALE) -> None:
        self._umqtt = umqtt
        self.scale = scale
        self._stack = contextlib.ExitStack()
        self._arrived: dict[str, list[tuple[float, dict[str, Any]]]] = {}
        self._results: dict[str, list[dict[str, Any]]] = {}
        self._shadows: dict[str, dict[str, Any]] = {}
        self._news = threading.Condition()
        self._numbers = itertools.count(1)
        self._one_at_a_time = (
            threading.Lock()
        )  # staging parses, and ast in 3.11 is not for threads
        self.anchor_s = int(time.time())  # when the boards' world had our time
        self.cloud = LocalCloud(retransmit_s=max(1, int(30 / scale)))
        self._folder = Path()

    def __enter__(self) -> Bench:
        with self._stack:
            self._folder = Path(tempfile.mkdtemp(prefix="fieldmouse-trial-"))
            self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self._stack.enter_context(self.cloud)
            filters = [watch.DATA, *watch.OTHERS]
            listening = viewer.listening(self.cloud.clients, filters, self._take)
            self._stack.enter_context(listening)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _take(self, topic: str, payload: bytes) -> None:
        levels, document = topic.split("/"), wire.document(payload)
        if document is None:
            return
        with self._news:
            if topic.endswith("/data"):
                self._arrived.setdefault(levels[1], []).append((time.monotonic(), document))
            elif topic.endswith("/result"):
                self._results.setdefault(levels[1], []).append(document)
            elif topic.endswith("/documents"):
                self._shadows[levels[2]] = document["current"]["state"]
            self._news.notify_all()

    def arrived(self, thing: str) -> list[tuple[float, dict[str, Any]]]:
        """(monotonic seconds, reading) in order of arrival, duplicates included."""
        with self._news:
            return list(self._arrived.get(thing, ()))

    def results(self, thing: str) -> list[dict[str, Any]]:
        """What has been answered to its commands."""
        with self._news:
            return list(self._results.get(thing, ()))

    def reported(self, thing: str) -> dict[str, Any]:
        """The newest ``reported`` of its shadow."""
        with self._news:
            return dict(self._shadows.get(thing, {}).get("reported", {}))

    def wait(self, thing: str, newer_than: float, limit_s: float) -> float | None:
        """When a reading arrived whose timestamp is beyond; None if not within ``limit_s``."""
        end = time.monotonic() + limit_s
        with self._news:
            while True:
                for at, reading in self._arrived.get(thing, ()):
                    if reading["timestamp"] > newer_than:
                        return at
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self._news.wait(left)

    def run(
        self, plan: Plan, name: str = "", power_s: Sequence[float] = (), **options: Any
    ) -> Verdict:
        """One trial of ``plan``, whose times are the board's, as are those of the power cuts.

        ``options`` are VirtualBoard's.
        """
        verdict = Verdict(name or str(plan), len(plan.faults) + len(power_s))
        with self.board(plan, **options) as (thing, board, proxy):
            if self.wait(thing, self.board_s(time.time()), _WARM_UP_S) is None:
                verdict.problems.append("no reading before the first fault")
            else:
                proxy.begin()
                verdict.boots += self._live_through(thing, board, plan.end_s, power_s)
                self._recover(thing, board, proxy, verdict)
                self._judge_orders(thing, verdict)
            verdict.boots += board.boots
            board.kill()
            verdict.drops = sum("next try in" in line for line in board.log)
            judge([reading for _, reading in self.arrived(thing)], verdict, 1 + len(power_s))
            verdict.log = [*board.log, *(f"chaos: {text}" for _, text in proxy.events)]
        return verdict

    def _live_through(
        self, thing: str, board: VirtualBoard, end_s: float, power_s: Sequence[float]
    ) -> int:
        """Until the plan is over; how many boots the board had in lives that were cut off."""
        began, boots = time.monotonic(), 0
        for at_s, what in sorted([*((t, "power") for t in power_s), (end_s / 2, "orders")]):
            time.sleep(max(0.0, began + at_s / SCALE - time.monotonic()))
            if what == "orders":
                self._order(thing)
                continue
            board.kill()
            boots += board.boots
            time.sleep(_DARK_S)
            board.start()
        time.sleep(max(0.0, began + end_s / SCALE - time.monotonic()))
        return boots

    def _order(self, thing: str) -> None:
        data = self.cloud.clients.data
        desired = json.dumps({"state": {"desired": {"drain_per_s": _DESIRED}}})
        data.update_thing_shadow(thingName=thing, payload=desired)
        command = json.dumps({"action": "identify", "id": _COMMAND})
        data.publish(topic=f"devices/{thing}/commands", qos=1, payload=command)

    def _judge_orders(self, thing: str, verdict: Verdict) -> None:
        def done() -> tuple[bool, bool]:
            reported = self._shadows.get(thing, {}).get("reported", {})
            results = [r for r in self._results.get(thing, ()) if r.get("id") == _COMMAND]
            return reported.get("drain_per_s") == _DESIRED, any(r.get("ok") for r in results)

        end = time.monotonic() + _ORDERS_S / SCALE + _HOST_S
        with self._news:
            while not all(done()) and time.monotonic() < end:
                self._news.wait(0.1)
            applied, command = done()
            if not command:
                # MiniStack forgets what is on its way when a connection is taken over just as
                # it ends. Whoever gives a command repeats it, under the same id.
                verdict.repeated = True
                self._order(thing)
                self._news.wait_for(lambda: done()[1], 30 / SCALE + _HOST_S)
                command = done()[1]
        if not applied:
            verdict.problems.append("the desired value was not applied")
        if not command:
            verdict.problems.append("the command was not answered")

    def board_s(self, ours_s: float) -> float:
        """The boards' Unix time, once they have asked NTP."""
        return self.anchor_s + (ours_s - self.anchor_s) * self.scale

    @contextlib.contextmanager
    def board(
        self, plan: Plan, changed: Mapping[str, Any] | None = None, **options: Any
    ) -> Iterator[tuple[str, VirtualBoard, Proxy]]:
        """A thing, its board, which is switched on, and the proxy before the broker.

        ``changed``: of config.json; ``options``: VirtualBoard's, and of its world.
        """
        thing = f"trial-{next(self._numbers)}"
        boards: list[VirtualBoard] = []
        proxy = Proxy(
            self.cloud.info.mqtt_port,
            plan.faster(SCALE),
            on_hosts=lambda hosts: [board.set(hosts=hosts) for board in boards],
        )
        with proxy, contextlib.ExitStack() as stack:
            config = {"interval_s": 1, "keepalive_s": KEEPALIVE_S, "port": proxy.port}
            config |= changed or {}
            with self._one_at_a_time:
                folder = devices.make(self.cloud.clients, thing, self._folder / thing, **config)
            world = {
                "temperature": f"{COLDEST} + t/{RISE}",
                "time_scale": self.scale,
                "time_anchor_s": self.anchor_s,
                "hosts": proxy.hosts(),
            }
            board = VirtualBoard(folder, umqtt=self._umqtt, **world | options)
            stack.callback(board.close)
            boards.append(board)
            board.start()
            yield thing, board, proxy

    def _recover(self, thing: str, board: VirtualBoard, proxy: Proxy, verdict: Verdict) -> None:
        over = time.monotonic()
        over_s = time.time()
        most_s = notice_s() + limit_ms("CAP_MS") / 1000 + _connect_s()
        end = over + most_s / SCALE + _HOST_S
        while proxy.deaf() and time.monotonic() < end:  # readings may arrive, but no PUBACK
            time.sleep(0.02)
            over_s = time.time()
        at = self.wait(thing, self.board_s(over_s), end - time.monotonic())
        waits = [int(found[1]) / 1000 for line in board.log if (found := _WAIT.search(line))]
        verdict.bound_s = notice_s() + max(waits, default=0) + _connect_s()
        verdict.recovery_s = ((at or time.monotonic()) - over) * SCALE
        if at is None:
            verdict.problems.append(f"not recovered after {verdict.recovery_s:.0f} s")
        elif verdict.recovery_s > verdict.bound_s + _HOST_S * SCALE:
            verdict.problems.append(f"recovered after {verdict.recovery_s:.0f} s only")
        time.sleep(0.5)  # a duplicate of the last reading would still be on its way


def _connect_s() -> float:
    """A connect that succeeds: a handshake and a CONNACK, each at its limit."""
    return (limit_ms("HANDSHAKE_MS") + limit_ms("CONNACK_MS")) / 1000
