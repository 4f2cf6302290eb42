"""A fleet that is updated while its network is bad and the new version is not good for all of it.

Virtual boards of 32 bits with an ESP32's heap, on MiniStack, behind one chaos proxy. The next
version crashes on the boards with one setting: two of them, among those that come after the
canaries. Some boards have no power until the rollout is over. Fair is what judge() says:

- the rollout stops at its limit, and names a bad board with the reason that it gave;
- what was under way ends by itself: each board runs the old or the new version, by what it says
  and by its slot, the bad ones the old, the canaries the new; none is on trial any more;
- each has a session and delivers what it measures then;
- every seq from 1 on has arrived, none with two contents. (A reading whose PUBACK was lost comes
  again, as QoS 1 has it: those are counted.)
"""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools import wire
from tools.aws import viewer, watch
from tools.aws.provision import provision
from tools.board import stage
from tools.sim import chaos, devices, folders, streams, updating
from tools.sim.board import VirtualBoard
from tools.sim.chaos_proxy import Proxy
from tools.sim.cloud import LocalCloud
from tools.things import certs
from tools.things import config as thing_config
from tools.updates import jobs, rollout

# In the boards' seconds: all sessions are reset once a minute, and more.
CHAOS = "latency=50ms,jitter=200ms,reset@20s*60s,stall=300B@35s/4s*80s,halfopen=down@50s/4s*150s"
BAD, AWAY, CANARIES, LIMIT = 2, 2, 2, 5.0
SHORT, SHORT_SCALE = 8, 8.0
LONG, LONG_SCALE = 20, 2.0  # faster ones are more than two processors can do
_BAD_S, _GOOD_S = 7, 5  # interval_s; the new version crashes where it is the first
_EDITS = {
    "firmware/config.py": (
        '    chip.log("app: fieldmouse {}, reset by {}".format(version.VERSION, cause))\n',
        '    chip.log("app: fieldmouse {}, reset by {}".format(version.VERSION, cause))\n'
        '    if b\'"interval_s":7\' in open("config.json", "rb").read():\n'
        '        raise RuntimeError("as a fault would")\n',
    )
}
_JOB = "data/job.json"
_UP_S = 120.0
_ENDS_S = 400.0
_LOOK_S = 0.2
_POLL_S = 1.0


@dataclass
class Verdict:
    """What it came to; ``problems`` is empty when it went well. Seconds are ours."""

    boards: int
    scale: float
    old: int = 0
    new: int = 0
    readings: int = 0
    lost: int = 0
    again: int = 0  # the same reading twice, by QoS 1
    faults: int = 0
    gone_back: int = 0
    stopped: str = ""
    took_s: float = 0.0  # from the first job until all had ended
    played: streams.Played = field(default_factory=streams.Played)
    problems: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


class Fleet:
    """The cloud, the proxy, the boards, and what has arrived of them."""

    def __init__(self, folder: Path, count: int, scale: float, umqtt: Path | None) -> None:
        self.folder = folder
        self.names = [f"fleet-{number + 1}" for number in range(count)]
        self.bad = self.names[CANARIES : CANARIES + BAD]
        self.away = self.names[-AWAY:]
        self.boards: dict[str, VirtualBoard] = {}
        self.cloud = LocalCloud(retransmit_s=max(1, int(30 / scale)))
        self._scale, self._umqtt = scale, umqtt
        self._staged: Path | None = None
        self._arrived: dict[str, list[dict[str, Any]]] = {name: [] for name in self.names}
        self._online: dict[str, bool] = {}
        self._lock = threading.Lock()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Fleet:
        with self._stack:
            self._stack.enter_context(self.cloud)
            clients, filters = self.cloud.clients, [watch.DATA, *watch.OTHERS]
            self._stack.enter_context(viewer.listening(clients, filters, self._take))
            self.played = self._stack.enter_context(streams.playing(clients))
            plan = chaos.parse(CHAOS).faster(self._scale)
            self.proxy = Proxy(self.cloud.info.mqtt_port, plan)
            self._stack.enter_context(self.proxy)
            self.keys = updating.new_keys(self.folder / "keys")
            for name in self.names:
                self._make(name)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _make(self, name: str) -> None:
        settings: dict[str, Any] = {
            "interval_s": _BAD_S if name in self.bad else _GOOD_S,
            "keepalive_s": 30,
        }
        settings |= {"port": self.proxy.port}
        out, clients = self.folder / name, self.cloud.clients
        if self._staged is None:
            self._staged = devices.make(clients, name, out, keys=self.keys, **settings)
            folder = self._staged
        else:  # the same firmware, without staging it again
            folder = out / "board"
            made = provision(
                clients, name, out / "thing", wifi=devices.WIFI, settings=settings, updates=True
            )
            shutil.copytree(self._staged, folder)
            config, wrong = thing_config.read(made.folder.config)
            pair, more = certs.load(made.folder.certs, "esp32", dt.datetime.now(dt.timezone.utc))
            assert config is not None and pair is not None, [*wrong, *more]
            for path, data in (
                pair.files() | {"config.json": thing_config.for_board(config)}
            ).items():
                (folder / path).write_bytes(data)
        world: dict[str, Any] = {"time_scale": self._scale, "hosts": self.proxy.hosts()}
        board = VirtualBoard(folder, bits=32, umqtt=self._umqtt, **world)
        self._stack.callback(board.close)
        self.boards[name] = board

    def _take(self, topic: str, payload: bytes) -> None:
        levels, document = topic.split("/"), wire.document(payload)
        if document is None or levels[0] != "devices":
            return
        with self._lock:
            if levels[2:] == ["data"]:
                self._arrived[levels[1]].append(document)
            elif levels[2:] == ["status"]:
                self._online[levels[1]] = document.get("online") is True

    def arrived(self, name: str) -> list[dict[str, Any]]:
        """Its readings, in order of arrival."""
        with self._lock:
            return list(self._arrived[name])

    def top(self, name: str) -> int:
        """The highest seq that has arrived."""
        return max((reading["seq"] for reading in self.arrived(name)), default=0)

    def idle(self, name: str) -> bool:
        """Whether it has no trial and no job, not even a result that AWS has not accepted."""
        return len(self.slot(name)) < 2 and not (self.boards[name].folder / _JOB).exists()

    def wait(self, done: Callable[[str], bool], names: list[str], limit_s: float) -> list[str]:
        """Those of ``names`` that are not ``done`` within the time."""
        end = time.monotonic() + limit_s
        left = names
        while (left := [name for name in left if not done(name)]) and time.monotonic() < end:
            time.sleep(_LOOK_S)
        return left

    def slot(self, name: str) -> list[str]:
        """The words of its pointer file."""
        path = self.boards[name].folder / "slot"
        return path.read_text("ascii").split() if path.exists() else []

    def version(self, name: str) -> str:
        """What it has last said that it is."""
        said = [line for line in self.boards[name].log if "app: fieldmouse " in line]
        return said[-1].partition("fieldmouse ")[2].partition(",")[0] if said else ""


def run(
    count: int = LONG,
    scale: float = LONG_SCALE,
    umqtt: Path | None = None,
    step: Callable[[int], None] = lambda done: None,
) -> Verdict:
    """Update ``count`` boards, their time ``scale`` times ours; ``step``: how many have it."""
    verdict = Verdict(count, scale)
    folder = folders.temporary("fieldmouse-fleet")
    try:
        with Fleet(folder, count, scale, umqtt) as fleet:
            _live(fleet, verdict, step)
            for name in fleet.names:
                fleet.boards[name].kill()
            _judge(fleet, verdict)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return verdict


def _live(fleet: Fleet, verdict: Verdict, step: Callable[[int], None]) -> None:
    there = [name for name in fleet.names if name not in fleet.away]
    for name in there:
        fleet.boards[name].start()
    late = fleet.wait(lambda name: len(fleet.arrived(name)) > 1, there, _UP_S)
    if late:
        verdict.problems.append(f"no readings before the update: {late}")
        return
    made = updating.next_release(fleet.folder, fleet.keys, edits=_EDITS)
    clients = fleet.cloud.clients
    plan = updating.planned(clients, made, fleet.names, CANARIES, LIMIT)
    fleet.proxy.begin()
    began = time.monotonic()
    seen: dict[str, str] = {}

    def tell(_wave: str, states: rollout.States) -> None:
        seen.update(states)
        step(sum(state == jobs.SUCCEEDED for state in seen.values()))

    def pause(_: float) -> None:
        time.sleep(_POLL_S)
        assert time.monotonic() - began < _ENDS_S, f"the rollout does not end: {seen}"

    try:
        rollout.run(clients.iot, plan, tell, pause)
        verdict.problems.append("the rollout was not stopped")
    except rollout.Stopped as e:
        verdict.stopped = str(e)
    for name in fleet.away:
        fleet.boards[name].start()
    busy = fleet.wait(fleet.idle, fleet.names, _ENDS_S)
    verdict.took_s = time.monotonic() - began
    if busy:
        verdict.problems.append(f"not over: {busy}")
    counts = {
        name: max((r["seq"] for r in fleet.arrived(name)), default=0) for name in fleet.names
    }
    silent = fleet.wait(
        lambda name: max((r["seq"] for r in fleet.arrived(name)), default=0) > counts[name] + 1,
        fleet.names,
        _UP_S,
    )
    if silent:
        verdict.problems.append(f"no readings after the update: {silent}")
    verdict.played, verdict.faults = fleet.played.copy(), len(fleet.proxy.events)
    _judge_versions(fleet, verdict, plan.image.version)


def _judge_versions(fleet: Fleet, verdict: Verdict, new: str) -> None:
    old = stage.version_of(stage.ROOT)
    for name in fleet.names:
        version, slot = fleet.version(name), "".join(fleet.slot(name)) or "aa"
        if (version, slot) not in ((old, "aa"), (new, "ba")):
            verdict.problems.append(f"{name} runs {version} with slot {slot}")
        verdict.new += version == new
        verdict.old += version == old
        if name in fleet.bad and version != old:
            verdict.problems.append(f"{name}: {version} is not good for it")
        if name in fleet.names[:CANARIES] and version != new:
            verdict.problems.append(f"{name}: a canary, and has {version}")
        verdict.gone_back += any("gone back" in line for line in fleet.boards[name].log)
    named = [
        name for name in fleet.bad if f"{name}: FAILED: gone back: three starts" in verdict.stopped
    ]
    if not named:
        verdict.problems.append(f"no bad board is named: {verdict.stopped}")


def _judge(fleet: Fleet, verdict: Verdict) -> None:
    for name in fleet.names:
        found = fleet.arrived(name)
        by_seq = {reading["seq"]: reading for reading in found}
        missing = sorted(set(range(1, max(by_seq, default=0) + 1)) - set(by_seq))
        verdict.readings += len(by_seq)
        verdict.lost += len(missing)
        verdict.again += len(found) - len(by_seq)
        if missing:
            verdict.problems.append(f"{name}: lost {missing[:10]}")
        if any(reading != by_seq[reading["seq"]] for reading in found):
            verdict.problems.append(f"{name}: a seq came with two contents")
        if verdict.problems:
            verdict.log += [f"--- {name}", *fleet.boards[name].log[-60:]]


def figures(verdict: Verdict) -> dict[str, str]:
    """What is to be told of it."""
    return {
        "boards": f"{verdict.boards}, {verdict.new} on the new version, {verdict.old} on the old",
        "the rollout": verdict.stopped.splitlines()[0] if verdict.stopped else "not stopped",
        "gone back": str(verdict.gone_back),
        "faults of the network": str(verdict.faults),
        "readings": f"{verdict.readings:,}, {verdict.lost} lost, {verdict.again} sent again",
        "until all had ended": f"{verdict.took_s:.0f} s, at {verdict.scale:g} times the speed",
        "streams": str(verdict.played),
    }
