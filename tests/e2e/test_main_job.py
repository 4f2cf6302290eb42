"""The main job end to end: virtual board, real mutual TLS, MiniStack with policies enforced."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from firmware.core.schema import DEFAULTS
from tests.e2e import pki
from tests.e2e.conftest import is_now

WAIT_S = 20.0


def shadow(clients: Any, thing: str) -> dict[str, Any]:
    """The state of the classic shadow; {} while there is none."""
    try:
        answer = clients.data.get_thing_shadow(thingName=thing)
    except clients.data.exceptions.ResourceNotFoundException:
        return {}
    found: dict[str, Any] = json.loads(answer["payload"].read())["state"]
    return found


def wait_until(look: Callable[[], Any], what: str, timeout: float = WAIT_S) -> Any:
    """Poll until ``look`` gives something true."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {timeout} s: {what}")


def reported(clients: Any, thing: str, **want: Any) -> dict[str, Any]:
    """Wait until ``reported`` has all of ``want``."""

    def look() -> Any:
        state = shadow(clients, thing).get("reported", {})
        return state if all(state.get(k) == v for k, v in want.items()) else None

    found: dict[str, Any] = wait_until(look, f"reported {want}")
    return found


def desire(clients: Any, thing: str, **desired: Any) -> None:
    clients.data.update_thing_shadow(
        thingName=thing, payload=json.dumps({"state": {"desired": desired}})
    )


def command(clients: Any, thing: str, document: dict[str, Any] | bytes) -> None:
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    clients.data.publish(topic=f"devices/{thing}/commands", qos=1, payload=payload)


def test_readings_arrive(device, boot, listener):
    before = time.time()
    boot(device, temperature="21.37", humidity="45", pressure="1013.25")
    topic = f"devices/{device.thing}/data"
    listener.wait(topic, lambda m: m["seq"] >= 3)
    readings = listener.on(topic)
    assert [m["seq"] for m in readings] == list(range(1, len(readings) + 1))
    for m in readings:
        assert m["device_id"] == device.thing
        assert is_now(m["timestamp"], before)
        assert abs(m["temperature"] - 21.37) <= 0.02
        assert abs(m["humidity"] - 45) <= 0.1
        assert abs(m["pressure"] - 1013.25) <= 0.2


def born(listener: Any, thing: str) -> dict[str, Any]:
    """The first birth message."""
    found: dict[str, Any] = listener.wait(f"devices/{thing}/status", lambda m: m["online"])
    return found


def test_birth_shadow_and_last_will(device, boot, clients, listener):
    board = boot(device)
    status = f"devices/{device.thing}/status"
    birth = born(listener, device.thing)
    for key in ("firmware", "micropython", "chip", "board_id", "reset_cause", "free_heap_bytes",
                "rssi_dbm", "idf_heap_bytes", "uptime_s", "dropped_readings", "waiting_readings",
                "clock_source", "offline_s", "wifi_drops", "link_drops", "boots"):  # fmt: skip
        assert birth[key] is not None, key
    assert birth["tls_verified"] is True and birth["safe_mode"] is False
    assert "config_problems" not in birth
    state = reported(clients, device.thing, interval_s=1, sensor_found="bme280@0x76")
    # All settings, and of the facts what changes or what somebody must act on.
    assert set(state) == {*DEFAULTS} | {
        "firmware", "board_id",
        "reset_cause", "safe_mode", "rssi_dbm", "free_heap_bytes", "idf_heap_bytes",
        "sensor_found", "dropped_readings",
    }  # fmt: skip
    assert state["safe_mode"] is False and state["dropped_readings"] == 0
    free, largest = state["idf_heap_bytes"]
    assert free >= largest > 0
    assert json.loads(clients.data.get_retained_message(topic=status)["payload"]) == birth
    board.kill()
    assert listener.wait(status, lambda m: m["online"] is False) == {"online": False}


def test_desired_change_is_applied_and_reported_back(device, boot, clients, listener):
    boot(device)
    reported(clients, device.thing, interval_s=1)
    desire(clients, device.thing, interval_s=6)
    reported(clients, device.thing, interval_s=6)
    assert "delta" not in shadow(clients, device.thing)
    topic = f"devices/{device.thing}/data"
    mark = len(listener.on(topic))
    listener.wait(topic, lambda m: m["seq"] >= mark + 4)
    times = [m["timestamp"] for m in listener.on(topic)[mark + 1 :]]
    assert all(4 <= b - a <= 8 for a, b in zip(times, times[1:], strict=False)), times


def test_bad_desired_values_are_rejected_and_the_others_still_applied(device, boot, clients):
    boot(device)
    reported(clients, device.thing, interval_s=1)
    desire(clients, device.thing, interval_s=0, intervall_s=5, drain_per_s=7, wifi=[])
    state = reported(clients, device.thing, drain_per_s=7)
    state = wait_until(lambda: shadow(clients, device.thing)["reported"].get("rejected"), "named")
    assert set(state) == {"interval_s", "intervall_s", "wifi"}
    assert "interval_s" in state["intervall_s"]  # did you mean
    assert shadow(clients, device.thing)["reported"]["interval_s"] == 1
    desire(clients, device.thing, interval_s=3, intervall_s=None, wifi=None)
    reported(clients, device.thing, interval_s=3, rejected=None)


def test_desired_while_the_board_was_off(device, boot, clients):
    desire(clients, device.thing, interval_s=7)
    boot(device)
    reported(clients, device.thing, interval_s=7)


def test_setting_survives_a_power_cut(device, boot, clients):
    board = boot(device)
    reported(clients, device.thing, interval_s=1)
    desire(clients, device.thing, interval_s=4)
    reported(clients, device.thing, interval_s=4)
    board.kill()
    clients.data.delete_thing_shadow(thingName=device.thing)
    board.start()
    reported(clients, device.thing, interval_s=4)


def test_commands(device, boot, clients, listener):
    boot(device)
    reported(clients, device.thing, interval_s=1)
    results = f"devices/{device.thing}/commands/result"
    desire(clients, device.thing, interval_s=30)
    reported(clients, device.thing, interval_s=30)
    command(
        clients,
        device.thing,
        {"action": "set_reporting_interval", "interval_seconds": 60, "id": "a"},
    )
    done = listener.wait(results, lambda m: m["id"] == "a")
    assert done == {"id": "a", "action": "set_reporting_interval", "ok": True, "reason": None}
    reported(clients, device.thing, interval_s=60)
    assert shadow(clients, device.thing)["desired"]["interval_s"] == 60
    last = max(m["seq"] for m in listener.on(f"devices/{device.thing}/data"))
    command(clients, device.thing, {"action": "read_now", "id": 2})
    assert listener.wait(results, lambda m: m["id"] == 2)["ok"] is True
    listener.wait(f"devices/{device.thing}/data", lambda m: m["seq"] == last + 1)
    command(clients, device.thing, {"action": "identify", "id": "c"})
    assert listener.wait(results, lambda m: m["id"] == "c")["ok"] is True
    command(clients, device.thing, {"action": "get_log", "id": "d"})
    assert "log" in listener.wait(results, lambda m: m["id"] == "d")
    command(clients, device.thing, {"action": "dance", "id": "e"})
    assert "unknown" in listener.wait(results, lambda m: m["id"] == "e")["reason"]


def test_identify_leaves_the_pins_of_the_sensor_alone(new_device, boot, clients, listener):
    device = new_device(interval_s=1, i2c={"sda": 2, "scl": 22})
    boot(device)
    topic = f"devices/{device.thing}/data"
    listener.wait(topic)
    command(clients, device.thing, {"action": "identify", "id": "blink"})
    answer = listener.wait(f"devices/{device.thing}/commands/result", lambda m: m["id"] == "blink")
    assert answer["ok"] is False and "pin" in answer["reason"]
    last = listener.on(topic)[-1]["seq"]
    listener.wait(topic, lambda m: m["seq"] >= last + 2)


def test_a_command_with_an_id_acts_once_even_across_a_reboot(device, boot, clients, listener):
    board = boot(device)
    reported(clients, device.thing, interval_s=1)
    reboot = {"action": "reboot", "id": "boot-1"}
    command(clients, device.thing, reboot)
    board.wait_for(r"board: reset", timeout=WAIT_S)
    mark = board.log.index("board: reset (machine.reset)")
    board.wait_for(r"link: up", timeout=WAIT_S, after=mark)
    command(clients, device.thing, reboot)
    command(clients, device.thing, {"action": "identify", "id": "after"})
    results = f"devices/{device.thing}/commands/result"
    listener.wait(results, lambda m: m["id"] == "after")
    assert board.boots == 2
    told = [(m["ok"], m["reason"]) for m in listener.on(results) if m["id"] == "boot-1"]
    assert told == [(True, None), (True, "done before the last restart")]


def test_junk_on_every_subscribed_topic(device, boot, clients, listener):
    board = boot(device)
    reported(clients, device.thing, interval_s=1)
    p = f"$aws/things/{device.thing}/shadow/"
    names = ("get/accepted", "get/rejected", "update/delta", "update/rejected", "update/accepted")
    topics = [f"devices/{device.thing}/commands"] + [p + name for name in names]
    deep, long = b"[" * 300 + b"]" * 300, b"x" * 9000
    junk = [b"", b"null", b"[]", b"\xff\xfe\x00", b"{", b'{"state":5,"version":"x"}']
    junk += [b'{"state":null,"version":true}', deep, long]
    for topic in topics:
        for payload in junk:
            clients.data.publish(topic=topic, qos=1, payload=payload)
    desire(clients, device.thing, interval_s=2)
    reported(clients, device.thing, interval_s=2)
    assert board.boots == 1, board.log[-20:]
    command(clients, device.thing, {"action": "identify", "id": "still-here"})
    listener.wait(f"devices/{device.thing}/commands/result", lambda m: m["id"] == "still-here")


def test_forbidden_topic_ends_the_session_and_the_device_says_why(new_device, boot, listener):
    device = new_device(interval_s=1)
    config = device.config | {"telemetry_topic": "devices/somebody-else/data"}
    (device.folder / "config.json").write_text(json.dumps(config))
    board = boot(device)
    said = board.wait_for(r"link: (closed.*), next try", timeout=WAIT_S).group(1)
    assert "policy" in said
    assert listener.on("devices/somebody-else/data") == []


def test_wrong_ca_is_refused(device, boot, listener):
    (device.folder / "certs" / "ca.pem").write_bytes(pki.Authority("Another CA").cert)
    board = boot(device)
    board.wait_for(r"link: tls not trusted", timeout=WAIT_S)
    assert listener.on(f"devices/{device.thing}/status") == []


def test_nothing_is_lost_by_outage_and_power_cut(device, boot, listener):
    board = boot(device)
    topic = f"devices/{device.thing}/data"
    listener.wait(topic, lambda m: m["seq"] >= 2)
    board.set(wifi={"up": False})
    board.wait_for(r"link: network gone", timeout=WAIT_S)
    sent = len(listener.on(topic))
    wait_until(lambda: device.stored >= sent + 4, "readings that cannot be sent")
    board.kill()
    board.set(wifi={"up": True})
    mark = len(board.log)
    board.start()
    board.wait_for(r"link: up", timeout=WAIT_S, after=mark)
    known = int(board.wait_for(r"outbox: (\d+) waiting", timeout=WAIT_S, after=mark)[1])
    assert known >= 3
    before = max(m["seq"] for m in listener.on(topic))
    last = listener.wait(topic, lambda m: m["seq"] >= before + known + 2)["seq"]
    seqs = [m["seq"] for m in listener.on(topic)]
    assert set(range(1, last + 1)) <= set(seqs)
    once = list(dict.fromkeys(seqs))
    assert once == sorted(once)
    times = {m["seq"]: m["timestamp"] for m in listener.on(topic)}
    assert all(times[n] <= times[n + 1] for n in range(1, last))
    assert times[last] - times[1] >= last - 3  # each has its own time, not that of its arrival


@pytest.mark.parametrize("bits", [64, 32])
def test_unplugged_sensor_is_reported_and_plugging_it_back_helps(
    new_device, boot, clients, listener, bits
):
    device = new_device(interval_s=1)
    board = boot(device, bits=bits, sensor="none")
    state = wait_until(lambda: shadow(clients, device.thing).get("reported"), "reported")
    assert "sensor_found" not in state and "nothing" in state["sensor_last_error"]
    assert listener.on(f"devices/{device.thing}/data") == []
    board.set(sensor="mcp9808@0x18", temperature="-5.5")
    reading = listener.wait(f"devices/{device.thing}/data", timeout=30)
    assert abs(reading["temperature"] + 5.5) <= 0.1 and "humidity" not in reading
    reported(clients, device.thing, sensor_found="mcp9808@0x18")
    board.set(wifi={"up": False})
    board.wait_for(r"link: network gone", timeout=WAIT_S)
    board.set(wifi={"up": True})
    again = listener.wait(
        f"devices/{device.thing}/status", lambda m: m.get("wifi_drops", 0) > 0, timeout=WAIT_S
    )
    assert again["sensor_errors"] > 0


def test_a_bad_value_costs_only_itself(device, boot, clients, listener):
    # An unknown key is refused on the host (tests/host/test_things_config.py), not here.
    config = device.config | {"interval_s": "often", "i2c": {"sda": 99}, "sensr": "auto"}
    (device.folder / "config.json").write_text(json.dumps(config))
    board = boot(device)
    board.wait_for(r"config: PROBLEM interval_s", timeout=WAIT_S)
    reported(clients, device.thing, interval_s=60, sensor_found="bme280@0x76")
    problems = born(listener, device.thing)["config_problems"]
    assert [problem.split(":")[0] for problem in sorted(problems)] == ["i2c", "interval_s"]


def test_a_key_that_is_missing_parks_the_board(device, boot, clients):
    whole = (device.folder / "config.json").read_text()
    config = json.loads(whole)
    del config["keepalive_s"], config["window"]
    (device.folder / "config.json").write_text(json.dumps(config))
    board = boot(device)
    board.wait_for(r"config: PROBLEM config.json: missing: keepalive_s, window$", timeout=WAIT_S)
    board.wait_for(r"config: cannot start", timeout=WAIT_S)
    (device.folder / "config.json").write_text(whole)
    reported(clients, device.thing, interval_s=1)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"thing_name": 5}'])
def test_hopeless_config_is_named_and_a_new_one_starts_the_board(device, boot, clients, text):
    good = (device.folder / "config.json").read_text()
    (device.folder / "config.json").write_text(text)
    board = boot(device)
    board.wait_for(r"config: PROBLEM config.json: ", timeout=WAIT_S)
    board.wait_for(r"config: cannot start", timeout=WAIT_S)
    (device.folder / "config.json").write_text(good)
    reported(clients, device.thing, interval_s=1)


def test_damaged_state_files(device, boot, clients, listener):
    data = device.folder / "data"
    (data / "outbox").mkdir(parents=True)
    (data / "outbox" / "a").write_bytes(b"\xff" * 500)
    (data / "outbox" / "b").write_bytes(bytes(100))
    (data / "outbox" / "00000001").write_bytes(b"not a segment")
    (data / "settings.json").write_bytes(b'{"crc": "0000", "data": {}}')
    (data / "crash.log.runs").write_bytes(b"junk")
    (data / "clock").write_bytes(b"yesterday")
    board = boot(device)
    listener.wait(f"devices/{device.thing}/data", lambda m: m["seq"] >= 2)
    (problem,) = born(listener, device.thing)["config_problems"]
    assert problem.startswith("settings: file damaged")
    assert board.boots == 1


@pytest.mark.parametrize("epoch", [1970, 2000])
def test_both_epochs(new_device, boot, listener, epoch):
    device = new_device(interval_s=1)
    before = time.time()
    boot(device, epoch=epoch)
    assert is_now(listener.wait(f"devices/{device.thing}/data")["timestamp"], before)


def test_a_key_of_another_certificate_costs_no_reading(device, boot, listener):
    key = device.folder / "certs" / "key.pem"
    good = key.read_bytes()
    key.write_bytes(pki.Authority().client("other").key)
    board = boot(device)
    board.wait_for(r"link: (tls|no_connack).* certificate", timeout=WAIT_S)
    time.sleep(1)
    assert board.boots == 1 and listener.on(f"devices/{device.thing}/data") == []
    board.kill()
    key.write_bytes(good)
    board.start()
    listener.wait(f"devices/{device.thing}/data", lambda m: m["seq"] >= 5)
    assert [m["seq"] for m in listener.on(f"devices/{device.thing}/data")][:5] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_a_certificate_that_is_not_active_is_named(device, boot, clients, status):
    arn = json.loads((device.things / "thing.json").read_text())["certificate_arn"]
    clients.iot.update_certificate(certificateId=arn.rsplit("/", 1)[1], newStatus=status)
    board = boot(device)
    said = board.wait_for(r"link: (.*), next try in (\d+) ms", timeout=WAIT_S)
    assert "certificate" in said.group(1) or "alert" in said.group(1), said.group(1)
