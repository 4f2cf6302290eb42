"""A board that sleeps, end to end: days of it on a virtual board, over real TLS."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from firmware.version import VERSION
from tests.e2e.advisor.bench import Bench, Kit
from tools.aws.watch import Watch
from tools.board.stage import stage
from tools.sim.board import VirtualBoard

NOWHERE = {"localhost": ["127.0.0.9"]}  # nothing listens there
FAST = 100_000  # a sleep of ten minutes takes six milliseconds
HOUR_S = 3600
SLEEPER = {"power": "battery", "interval_s": 600, "batch": 6}
OLD = {"ssid": "fieldmouse", "password": "in-the-barn", "bssid": "02:00:00:00:00:01", "channel": 6}
NEW = OLD | {"bssid": "02:00:00:00:00:02", "channel": 11}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, umqtt_dir: Path) -> Kit:
    """Staged as a battery board is: other files are together."""
    folder = tmp_path_factory.mktemp("battery")
    made = Kit(folder, umqtt_dir)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | SLEEPER))
    stage(config, folder / "certs", made.device)
    return made


@pytest.fixture
def sleeper(kit: Kit, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """sleeper(**settings of the world) -> a Bench, its board still without power."""
    with ExitStack() as stack:

        def make(config: dict[str, Any] | None = None, **world: Any) -> Bench:
            bench = Bench(kit, tmp_path / "device", 4, **SLEEPER | (config or {}))
            bench.board.set(sleep_scale=FAST, **world)
            stack.enter_context(bench)
            stack.callback(lambda: print(*bench.board.log, sep="\n"))
            return bench

        yield make


def test_with_the_files_of_a_board_on_mains_it_runs_as_one_and_says_so(
    tmp_path: Path, umqtt_dir: Path
) -> None:
    (tmp_path / "kit").mkdir()
    with Bench(Kit(tmp_path / "kit", umqtt_dir), tmp_path / "device", 4, **SLEEPER) as bench:
        bench.start()
        bench.board.wait_for("power: the files for a battery are not on the board", 30)
        bench.wait(lambda: bench.broker.published(bench.status) and readings(bench))
        status = json.loads(bench.broker.published(bench.status)[-1].payload)
    assert status["online"] is True
    wanted = ["power: the files for a battery are not on the board, it does not sleep"]
    assert status["config_problems"] == wanted
    assert not [line for line in bench.board.log if "crash" in line]


def readings(bench: Bench) -> list[dict[str, Any]]:
    """As they arrived, repetitions left out."""
    seen: dict[int, dict[str, Any]] = {}
    for packet in bench.broker.published(bench.data):
        reading = json.loads(packet.payload)
        seen.setdefault(reading["seq"], reading)
    return list(seen.values())


def small(bench: Bench, heap: str, **world: Any) -> None:
    """Its board is a 32-bit one with so much; an ESP32 has 56,000."""
    bench.board.close()
    made = {"heap": heap, "bits": 32, "time_scale": 4, "sleep_scale": FAST} | world
    bench.board = VirtualBoard(bench.board.folder, umqtt=bench.kit.umqtt, **made)


def crashes(bench: Bench) -> list[str]:
    return [line for line in bench.board.log if re.match(r"main:|.*(crash|memory)", line)]


def until(bench: Bench, world_s: float, limit_s: float = 60) -> None:
    """Let the board live until its world has that time."""
    end = time.monotonic() + limit_s
    while bench.board.world_s < world_s:
        assert time.monotonic() < end, bench.board.log[-20:]
        time.sleep(0.02)


def test_a_day_with_two_outages_another_access_point_and_a_power_cut(
    sleeper: Callable[..., Bench],
) -> None:
    bench = sleeper(wifi={"networks": [OLD]}, rtc_drift_ppm=20_000)
    bench.start()
    began = bench.board.world_s
    until(bench, began + 3.5 * HOUR_S)
    assert "wifi: back to fieldmouse" in "\n".join(bench.board.log)
    bench.board.wait_for("power: done", 30, len(bench.board.log))
    replaced = len(bench.board.log)
    bench.board.set(wifi={"networks": [NEW]})  # the old one was replaced
    until(bench, began + 8 * HOUR_S)
    bench.board.set(wifi={"up": False})
    until(bench, began + 11 * HOUR_S)
    bench.board.set(wifi={"networks": [NEW]})
    until(bench, began + 13 * HOUR_S)
    bench.board.set(hosts=NOWHERE)
    until(bench, began + 15.5 * HOUR_S)
    bench.board.set(hosts={})
    until(bench, began + 19 * HOUR_S)
    bench.board.kill()
    bench.board.start()
    until(bench, began + 24 * HOUR_S)
    bench.wait(lambda: readings(bench)[-1]["timestamp"] > began + 22 * HOUR_S)
    found = readings(bench)
    assert [reading["seq"] for reading in found] == list(range(1, len(found) + 1))
    times = [reading["timestamp"] for reading in found]
    assert times == sorted(times)
    assert len(set(times)) == len(times)  # none under two seqs
    text = "\n".join(bench.board.log)
    assert text.count("power: no success") >= 4  # of both outages
    assert text.count("connects in 12 readings") >= 2  # and it paused
    # Once the oscillator is known; a power cut begins a new row. None is missing between two.
    spaces = [b - a for a, b in zip(times, times[1:], strict=False)][8:]
    assert sum(abs(space - 600) > 30 for space in spaces) <= 2, spaces
    assert max(spaces) < 900, spaces
    assert 130 <= len(found) <= 150
    assert bench.broker.violations == []
    assert {c.reason for c in bench.broker.connections[:-1]} == {"DISCONNECT"}
    # What it knew of the old one is tried once, in vain; then it knows the new one.
    ways = re.findall(r"wifi: (back to|joining|up)", "\n".join(bench.board.log[replaced:]))
    assert ways[:5] == ["back to", "joining", "up", "back to", "up"]


def test_a_desired_value_is_applied_at_the_next_connect(sleeper: Callable[..., Bench]) -> None:
    bench = sleeper()
    bench.start()
    began = bench.board.world_s
    bench.board.wait_for("power: done", 30)
    bench.shadow.desire(interval_s=300, batch=4)
    bench.board.wait_for("shadow: interval_s is now 300", 30)
    until(bench, began + 4 * HOUR_S)
    times = [reading["timestamp"] for reading in readings(bench)]
    assert [round((b - a) / 300) for a, b in zip(times, times[1:], strict=False)][-10:] == [1] * 10
    assert bench.board.wait_for("connects in 4 readings")


def test_the_status_says_when_it_comes_back(sleeper: Callable[..., Bench]) -> None:
    bench = sleeper()
    bench.start()
    bench.board.wait_for("power: done", 30)
    status = json.loads(bench.broker.published(bench.status)[-1].payload)
    assert (status["online"], status["firmware"]) == (False, VERSION)
    assert abs(status["asleep_until"] - status["timestamp"] - HOUR_S) < 60
    until(bench, status["timestamp"] + 2.5 * HOUR_S)
    # What `watch` makes of it: the readings come behind the birth message.
    now = {"s": 0.0}
    seen = Watch(now=lambda: now["s"])
    for packet in bench.broker.published():
        if packet.topic == bench.status:
            status = json.loads(packet.payload)
            now["s"] = float(status["timestamp"])
        seen.take(packet.topic, packet.payload)
    assert 0 <= status["timestamp"] - status["last_reading"] < 60  # which wake.py took
    (name,) = seen.things
    for after_s, state in ((1, "asleep"), (HOUR_S + 60, "asleep"), (HOUR_S + 600, "late")):
        now["s"] = status["timestamp"] + after_s
        found = seen.health(name)
        assert found and found.state == state, found
        keys = [problem.key for problem in found.problems]
        assert keys == ["overdue"] * (state == "late"), found.problems
        assert (found.version, found.waiting or 0, found.lost) == (VERSION, 0, 0)
        assert found.last_reading_at and found.sensor


def test_an_alarm_connects_at_once(sleeper: Callable[..., Bench]) -> None:
    bench = sleeper({"alarm_high": {"temperature": 30}})
    small(bench, "55000", temperature="21 + t/1000")  # sampling.py has to find room, too
    bench.start()
    began = bench.board.world_s
    until(bench, began + 4 * HOUR_S)
    alarms = [p for p in bench.broker.published() if p.topic.endswith("/alarms")]
    alarm = json.loads(alarms[0].payload)
    assert alarm["alarms"] == {"temperature": "high"}
    sent = [at for at, _, packet in bench.broker.messages if packet is alarms[0]]
    assert len(sent) == 1
    assert 30 <= alarm["temperature"] < 30.7  # within one reading
    # It connects, and not because the batch is full.
    told = [json.loads(p.payload) for p in bench.broker.published(bench.status)]
    births = [document["timestamp"] for document in told if "timestamp" in document]  # no wills
    (at,) = (i for i, s in enumerate(births) if 0 <= s - alarm["timestamp"] < 60)
    assert births[at] - births[at - 1] < HOUR_S - 300
    assert not crashes(bench)


def test_a_policy_without_the_topic_of_alarms_costs_no_reading(
    sleeper: Callable[..., Bench],
) -> None:
    """As any policy from before 0.2.0. The second alarm ends as the first one begins."""
    bench = sleeper({"alarm_high": {"temperature": 30}, "batch": 3}, temperature="21 + t / 400")
    bench.broker.script.forbidden = ["devices/+/alarms"]
    bench.start()
    began = bench.board.world_s
    until(bench, began + 2 * HOUR_S)
    bench.board.set(temperature="20 + sin(t)")
    until(bench, began + 4 * HOUR_S)
    bench.wait(lambda: readings(bench)[-1]["timestamp"] > began + 3 * HOUR_S)
    found = readings(bench)
    assert [reading["seq"] for reading in found] == list(range(1, len(found) + 1))
    text = "\n".join(bench.board.log)
    assert text.count("app: alarm not taken in three sessions, dropped") == 2
    assert "power: no success" not in text


def test_an_alarm_that_waits_is_sent_though_its_limit_has_left_config_json(
    sleeper: Callable[..., Bench],
) -> None:
    config = {"alarm_high": {"temperature": 30}, "power": "mains", "interval_s": 2}
    bench = sleeper(config, temperature="21 + sin(t) / 9")
    bench.start()
    bench.wait(lambda: len(readings(bench)) > 2)
    bench.board.set(wifi={"up": False})
    bench.board.wait_for("link: network gone", 30)
    for temperature in (35, 20):  # it begins, and ends
        mark = len(bench.board.log)
        bench.board.set(temperature=f"{temperature} + sin(t) / 9")
        bench.board.wait_for("sensor: alarm", 30, mark)
    time.sleep(0.5)
    bench.board.kill()
    file = bench.board.folder / "config.json"
    left = {k: v for k, v in json.loads(file.read_text()).items() if k != "alarm_high"}
    file.write_text(json.dumps(left))
    count = len(readings(bench))
    bench.board.set(wifi={"up": True})
    bench.board.start()
    bench.wait(lambda: len(readings(bench)) > count + 5)
    alarms = [json.loads(p.payload) for p in bench.broker.published() if "alarms" in p.topic]
    said = {alarm["seq"]: alarm["alarms"]["temperature"] for alarm in alarms}
    assert [said[seq] for seq in sorted(said)] == ["high", "normal"]
    seqs = [reading["seq"] for reading in readings(bench)]
    assert seqs == list(range(1, len(seqs) + 1))


def test_the_battery_is_measured_before_the_radio_is_on(sleeper: Callable[..., Bench]) -> None:
    """An ADC2 pin, which a plain ESP32's radio takes: refused while that is on."""
    battery = {"battery": {"pin": 25, "ratio": 2.0}}
    bench = sleeper(battery, adc_mv={"25": 1850}, sensor="scd41")  # which takes 5 s
    bench.start()
    bench.wait(lambda: len(readings(bench)) > 0)
    assert readings(bench)[0]["battery_v"] == 3.7
    assert not crashes(bench)


def test_a_whole_cycle_leaves_room_on_an_esp32(sleeper: Callable[..., Bench]) -> None:
    bench = sleeper()
    small(bench, "53000")
    bench.start()
    bench.wait(lambda: len(readings(bench)) > 6)  # the second connect
    assert not crashes(bench)


def test_a_broker_out_of_reach_leaves_room_as_well(sleeper: Callable[..., Bench]) -> None:
    """Beside alarms and a full outbox; `make soak PART=week` had one crash of 137 connects."""
    bench = sleeper({"alarm_high": {"temperature": 30}})
    small(bench, "54000")
    bench.start()
    began = bench.board.world_s
    until(bench, began + 2 * HOUR_S)
    bench.board.set(hosts=NOWHERE)
    until(bench, began + 9 * HOUR_S)
    bench.board.set(hosts={})
    count = len(readings(bench))
    bench.wait(lambda: len(readings(bench)) > count + 40)
    assert not crashes(bench)
