"""A week of a board that sleeps, end to end: 32-bit virtual ESP32, real TLS, MiniStack.

Readings every ten minutes, a connect every hour, an oscillator that is 2 % fast. Wi-Fi is gone for
3 hours, the broker for 26; the access point is replaced, so that the board has the BSSID of one
that is gone; the power is cut while it sleeps, and in the middle of a connect. Commanded and
desired while it sleeps; an alarm begins and ends. MiniStack counts by our clock (the virtual board
puts the shadow's times right): an hour is too short for it to forget a session, as AWS does.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.soak import week_verdict
from tests.soak.week_verdict import BATCH, INTERVAL_S, LOWEST_HPA, RISE_S, WEEK_S, Week
from tests.soak.writes import Writes
from tools import wire
from tools.aws import viewer, watch
from tools.sim import devices
from tools.sim.board import VirtualBoard
from tools.sim.cloud import LocalCloud

THING = "week-1"
HOUR_S = 3600
SCALE = 10  # awake: what computes here for 0.3 s takes an ESP32 about ten times as long
_FAST = 50_000  # asleep: ten minutes are 12 ms
_SLOW = 600  # where something is to happen meanwhile
_DRIFT_PPM = 20_000
_DESIRED = {"drain_per_s": 7}
_COMMAND = "while-it-sleeps"
_ALARM = {"alarm_high": {"temperature": 30}}
_MILD = "21 + 2*sin(t/9000)"
_OLD = {**devices.WIFI[0], "bssid": "02:00:00:00:00:01", "channel": 6}
_NEW = _OLD | {"bssid": "02:00:00:00:00:02", "channel": 11}
_NOWHERE = {"localhost": ["127.0.0.9"]}  # nothing listens there
_LIMIT_S = 120.0  # of ours, for anything


@dataclass
class Done:
    """A week, what is wrong with it, and the board's log."""

    week: Week
    problems: list[str]
    log: list[str]


class Sleeper(VirtualBoard):
    """``awake_s``: how long it was out of deep sleep, in its own seconds."""

    awake_s = 0.0

    def _one_life(self) -> int:
        began_s = self.world_s
        code = super()._one_life()
        self.awake_s += self.world_s - began_s
        return code


class Play:
    """The board, the cloud, and what comes of them."""

    def __init__(self, cloud: LocalCloud, folder: Path, umqtt: Path | None) -> None:
        self.cloud, self.week = cloud, Week()
        config: dict[str, Any] = {"power": "battery", "interval_s": INTERVAL_S, "batch": BATCH}
        device = devices.make(cloud.clients, THING, folder / THING, **config, **_ALARM)
        self.board = Sleeper(
            device,
            umqtt=umqtt,
            bits=32,
            on_line=self._line,
            time_scale=SCALE,
            sleep_scale=_FAST,
            rtc_drift_ppm=_DRIFT_PPM,
            temperature=_MILD,
            pressure=f"{LOWEST_HPA} + t/{RISE_S}",
            wifi={"networks": [_OLD]},
        )
        self.writes, self.back = Writes([]), False

    def _line(self, line: str) -> None:
        self.week.new += "link: up, session new" in line
        self.week.failed += "power: no success" in line
        if "wifi: " in line:
            self.week.vain += self.back and "wifi: joining" in line
            self.back = "wifi: back to" in line

    def take(self, topic: str, payload: bytes) -> None:
        """The listener's callback."""
        document, week = wire.document(payload), self.week
        if document is None or THING not in topic:
            return
        kind = topic.rsplit("/", 1)[-1]
        born_s = week.births_s[-1] if week.births_s else 0.0
        if kind == "data":
            week.readings.append(document)
        elif kind == "status" and document.get("timestamp"):  # the last will has none
            week.births_s.append(document["timestamp"])
        elif kind == "alarms":
            week.alarms.append(document)
        elif kind == "result" and document.get("id") == _COMMAND and document.get("ok"):
            week.answered_s = week.answered_s or born_s
        elif kind == "documents":
            reported = document["current"]["state"].get("reported", {})
            if all(reported.get(key) == value for key, value in _DESIRED.items()):
                week.applied_s = week.applied_s or born_s

    def power_on(self) -> None:
        """At power-on the pressure begins anew, and so do its readings."""
        self.week.on_s.append(self.board.world_s)
        self.board.start()

    def power_cut(self) -> None:
        """Off, and on again."""
        self.board.kill()
        self.power_on()

    @property
    def hour(self) -> float:
        """Of its week."""
        return (self.board.world_s - self.week.on_s[0]) / HOUR_S

    def until(self, hour: float, step: Callable[[float], None] = lambda hour: None) -> None:
        """Let it live until that hour of its week."""
        before, still = self.hour, time.monotonic()
        while (now := self.hour) < hour:
            step(now)
            self.writes.count()
            if now > before + 1:
                before, still = now, time.monotonic()
            assert time.monotonic() - still < _LIMIT_S, self.board.log[-30:]
            time.sleep(0.005)

    def wait_for(self, pattern: str) -> None:
        """For a line from now on."""
        self.board.wait_for(pattern, _LIMIT_S, len(self.board.log))

    @contextlib.contextmanager
    def asleep(self) -> Iterator[float]:
        """A sleep that lasts a second of ours; the time in the board's world."""
        self.board.set(sleep_scale=_SLOW)
        self.wait_for("board: reset .deep sleep")
        yield self.board.world_s
        self.board.set(sleep_scale=_FAST)

    def live(self, seed: int, step: Callable[[float], None]) -> None:
        """The week; ``seed`` says at which minute of its hour each thing happens."""
        draw = random.Random(seed)

        def until(hour: float) -> None:
            self.until(hour + draw.random(), step)

        self.power_on()
        self.board.wait_for("power: done", _LIMIT_S)
        writes = Writes([self.board.folder / "data", self.board.folder / "data" / "outbox"])
        self.writes = writes
        until(20)
        self.order()
        until(38)
        with self.outage(wifi={"up": False}):
            self.until(self.hour + 3, step)
            self.board.set(wifi={"networks": [_OLD]})
        until(52)
        self.board.set(wifi={"networks": [_NEW]})
        until(60)
        for temperature in (35, _MILD):
            self.wait_for("power: done, .* in 6 readings")
            self.board.set(temperature=temperature)
            self.wait_for("power: done")
        until(68)
        with self.outage(hosts=_NOWHERE):
            self.until(self.hour + 26, step)
            self.board.set(hosts={})
        until(128)
        with self.asleep():
            self.power_cut()
        until(144)
        self.wait_for("wifi: up")
        self.power_cut()
        self.until(WEEK_S / HOUR_S, step)
        self.wait_for("power: done")
        with self.asleep() as self.week.end_s:
            time.sleep(0.5)  # the last are on their way
        self.board.kill()
        self.week.awake_s, self.week.writes = self.board.awake_s, writes.count()
        writes.close()

    def order(self) -> None:
        """A command, and ten hours later a desired value, while it sleeps."""
        data = self.cloud.clients.data
        with self.asleep() as self.week.asked_s:
            order = json.dumps({"action": "identify", "id": _COMMAND})
            data.publish(topic=f"devices/{THING}/commands", qos=1, payload=order)
            assert self.board.asleep
        self.until(self.hour + 10)
        with self.asleep() as self.week.desired_s:
            desired = json.dumps({"state": {"desired": _DESIRED}})
            data.update_thing_shadow(thingName=THING, payload=desired)
            assert self.board.asleep

    @contextlib.contextmanager
    def outage(self, **world: Any) -> Iterator[None]:
        """It is noted, and may end a moment late."""
        began_s = self.board.world_s
        self.board.set(**world)
        yield
        self.week.dark_s.append((began_s, self.board.world_s))


def run(
    umqtt: Path | None = None,
    seed: int = 0,
    progress: Callable[[float], None] = lambda hour: None,
) -> Done:
    """A week."""
    folder = Path(tempfile.mkdtemp(prefix="fieldmouse-week-"))
    try:
        with LocalCloud() as cloud:
            play = Play(cloud, folder, umqtt)
            filters = (watch.DATA, *watch.OTHERS)
            listening = viewer.listening(cloud.clients, filters, play.take)
            with contextlib.closing(play.board), listening:
                play.live(seed, progress)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    log = play.board.log
    problems = week_verdict.judge(play.week)
    crashes = [line for line in log if line.startswith("main:") or "crash" in line]
    return Done(play.week, problems + crashes, log)
