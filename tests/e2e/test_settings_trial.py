"""Which value counts: settings on trial, overrides taken back, config.json over the cable."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Device
from tests.e2e.test_crash_path import plant
from tests.e2e.test_main_job import WAIT_S, command, desire, reported, shadow, wait_until


def over_the_cable(device: Device, **settings: Any) -> None:
    """Change config.json on the board, as `make deploy` does; its readings and settings stay."""
    (device.folder / "config.json").write_text(json.dumps(device.config | settings))


def saved(device: Device) -> dict[str, Any]:
    """What the board has in its settings file."""
    found: dict[str, Any] = json.loads((device.folder / "data/settings.json").read_text())["data"]
    return found


def test_pins_without_a_sensor_are_given_back(device, boot, clients, listener):
    board = boot(device, wired=[21, 22])
    topic = f"devices/{device.thing}/data"
    listener.wait(topic, lambda m: m["seq"] >= 2)
    reported(clients, device.thing, sensor_found="bme280@0x76")
    desire(clients, device.thing, i2c={"sda": 18, "scl": 19})
    board.wait_for(r"config: i2c restored: the sensor was lost", timeout=WAIT_S)
    why = {"i2c": "restored: the sensor was lost"}
    state = reported(clients, device.thing, rejected=why, sensor_found="bme280@0x76")
    assert (state["i2c"]["sda"], state["i2c"]["scl"]) == (21, 22)
    last = listener.on(topic)[-1]["seq"]
    listener.wait(topic, lambda m: m["seq"] >= last + 2)
    # Nor after a restart, as long as it is desired; another value is tried.
    board.kill()
    board.start()
    desire(clients, device.thing, drain_per_s=7)
    state = reported(clients, device.thing, drain_per_s=7, rejected=why)
    assert state["i2c"]["sda"] == 21
    desire(clients, device.thing, i2c={"sda": 21, "scl": 22})
    reported(clients, device.thing, rejected=None)
    assert board.boots == 1  # since the start


def test_a_power_cut_in_the_trial_does_not_end_it(device, boot, clients, listener):
    board = boot(device, wired=[21, 22])
    listener.wait(f"devices/{device.thing}/data", lambda m: m["seq"] >= 2)
    desire(clients, device.thing, i2c={"sda": 18, "scl": 19})
    board.wait_for(r"shadow: i2c is now", timeout=WAIT_S)
    board.kill()
    mark = len(board.log)
    board.start()
    board.wait_for(r"config: i2c restored: the sensor was lost", timeout=WAIT_S, after=mark)
    reported(clients, device.thing, rejected={"i2c": "restored: the sensor was lost"})
    last = listener.on(f"devices/{device.thing}/data")[-1]["seq"]
    listener.wait(f"devices/{device.thing}/data", lambda m: m["seq"] >= last + 2)


def test_an_esp8266_refuses_pins_gives_others_back_and_forgets(new_device, boot, clients):
    device = new_device(board="esp8266", interval_s=1)
    board = boot(device, heap="esp8266", bits=32, wired=[4, 5])
    reported(clients, device.thing, sensor_found="bme280@0x76")
    desire(clients, device.thing, i2c={"sda": 16})
    why = {"i2c": "sda: is not free on this chip, see docs/wiring.md"}
    reported(clients, device.thing, rejected=why)
    desire(clients, device.thing, i2c={"sda": 12}, interval_s=2)
    why = {"i2c": "restored: the sensor was lost"}
    state = reported(clients, device.thing, rejected=why, sensor_found="bme280@0x76")
    assert (state["i2c"]["sda"], state["interval_s"]) == (4, 2)
    desire(clients, device.thing, i2c=None, interval_s=None)
    reported(clients, device.thing, rejected=None, interval_s=1)
    assert saved(device)["values"] == {}
    assert board.boots == 1, board.log[-30:]


@pytest.mark.parametrize("by_command", [False, True])
def test_a_crash_in_the_trial_brings_the_old_value_back(device, boot, clients, by_command):
    fault = "if self.settings['interval_s'] == 7: raise ValueError('seven')"
    plant(device, "sampler", fault)
    board = boot(device)
    reported(clients, device.thing, interval_s=1)
    if by_command:
        action = {"action": "set_reporting_interval", "interval_seconds": 7, "id": "a"}
        command(clients, device.thing, action)
    else:
        desire(clients, device.thing, interval_s=7)
    board.wait_for(r"crash: ValueError seven", timeout=WAIT_S)
    board.wait_for(r"config: interval_s restored: the board crashed with it", timeout=WAIT_S)
    if not by_command:
        why = {"interval_s": "restored: the board crashed with it"}
        reported(clients, device.thing, interval_s=1, rejected=why, safe_mode=False)
        desire(clients, device.thing, interval_s=2)
        reported(clients, device.thing, interval_s=2, rejected=None)
    else:
        reported(clients, device.thing, interval_s=1, safe_mode=False, reset_cause="hard")
    assert board.boots == 2, board.log[-30:]


def test_a_good_value_is_on_trial_for_a_minute(device, boot, clients):
    board = boot(device, time_scale=20)
    reported(clients, device.thing, interval_s=1)
    desire(clients, device.thing, interval_s=2)
    reported(clients, device.thing, interval_s=2)
    assert saved(device)["state"]["trial"] == {"interval_s": [None, False]}
    wait_until(lambda: "trial" not in saved(device)["state"], "trial over")
    assert saved(device)["values"] == {"interval_s": 2}
    assert board.boots == 1


@pytest.mark.parametrize("away", [False, True])
def test_null_takes_the_override_back(device, boot, clients, away):
    board = boot(device)
    reported(clients, device.thing, interval_s=1)
    desire(clients, device.thing, interval_s=4, drain_per_s=7)
    reported(clients, device.thing, interval_s=4, drain_per_s=7)
    if away:
        board.kill()
    desire(clients, device.thing, interval_s=None)
    if away:
        board.start()
        board.wait_for(r"config: interval_s 4 from the cloud, config.json has 1", timeout=WAIT_S)
    reported(clients, device.thing, interval_s=1, drain_per_s=7)
    assert saved(device)["values"] == {"drain_per_s": 7}
    assert shadow(clients, device.thing)["desired"] == {"drain_per_s": 7}


def test_a_shadow_that_is_deleted_keeps_the_overrides(device, boot, clients):
    board = boot(device)
    reported(clients, device.thing, interval_s=1)
    desire(clients, device.thing, interval_s=4)
    reported(clients, device.thing, interval_s=4)
    board.kill()
    clients.data.delete_thing_shadow(thingName=device.thing)
    for _ in range(2):
        mark = len(board.log)
        board.start()
        board.wait_for(r"link: up", timeout=WAIT_S, after=mark)
        reported(clients, device.thing, interval_s=4)
        wait_until(lambda: shadow(clients, device.thing).get("desired"), "desired again")
        board.kill()
    assert shadow(clients, device.thing)["desired"] == {"interval_s": 4}


def test_config_json_over_the_cable_wins_over_what_was_desired_before(device, boot, clients):
    board = boot(device)
    reported(clients, device.thing, interval_s=1)
    desire(clients, device.thing, interval_s=4, drain_per_s=7)
    reported(clients, device.thing, interval_s=4, drain_per_s=7)
    board.kill()
    over_the_cable(device, interval_s=3)
    board.start()
    board.wait_for(r"config: interval_s has changed in config.json", timeout=WAIT_S)
    reported(clients, device.thing, interval_s=3, drain_per_s=7)
    wanted = {"interval_s": 3, "drain_per_s": 7}
    wait_until(lambda: shadow(clients, device.thing)["desired"] == wanted, "desired follows")
    assert saved(device)["values"] == {"drain_per_s": 7}
    desire(clients, device.thing, interval_s=5)
    reported(clients, device.thing, interval_s=5)


def test_a_command_that_crashes_the_board_is_named_and_not_done_again(
    device, boot, clients, listener
):
    plant(device, "sampler", "if self.settings['interval_s'] == 7: raise ValueError('seven')")
    board = boot(device)
    reported(clients, device.thing, interval_s=1)
    action = {"action": "set_reporting_interval", "interval_seconds": 7, "id": "a"}
    command(clients, device.thing, action)
    board.wait_for(r"config: interval_s restored", timeout=WAIT_S)
    crashed = "restored: the board crashed with it"
    reported(clients, device.thing, interval_s=1, rejected={"interval_s": crashed})
    results = f"devices/{device.thing}/commands/result"
    already = len(listener.on(results))
    command(clients, device.thing, action)
    command(clients, device.thing, {**action, "id": "b"})
    assert listener.wait(results, lambda m: m["id"] == "b")["reason"] == crashed
    (told,) = [m for m in listener.on(results)[already:] if m["id"] == "a"]
    assert (told["ok"], told["reason"]) == (False, "restarted before its result")
    assert board.boots == 2, board.log[-30:]


def test_a_delta_before_the_first_answer_does_not_bring_a_bad_value_back(device, boot, clients):
    plant(
        device,
        "sampler",
        "if self.settings['interval_s'] == 7 and 'boom' in __import__('os').listdir():"
        " raise ValueError('seven')",
    )
    board = boot(device)
    reported(clients, device.thing, interval_s=1)
    desire(clients, device.thing, interval_s=7)
    reported(clients, device.thing, interval_s=7)
    (device.folder / "boom").write_text("x")
    board.wait_for(r"crash: ValueError seven", timeout=WAIT_S)
    desire(clients, device.thing, drain_per_s=9)  # its delta waits for the board
    why = {"interval_s": "restored: the board crashed with it"}
    reported(clients, device.thing, interval_s=1, drain_per_s=9, rejected=why)
    assert board.boots == 2, board.log[-30:]


@pytest.mark.parametrize("profile", ["esp32", "esp8266"])
def test_a_sensor_that_is_not_there_is_refused_and_readings_go_on(
    new_device, boot, clients, listener, profile
):
    device = new_device(board=profile, interval_s=1)
    board = boot(device, heap=profile, bits=32)
    topic = f"devices/{device.thing}/data"
    reported(clients, device.thing, sensor_found="bme280@0x76")
    mark = len(board.log)
    desire(clients, device.thing, sensor="sht3x")
    why = {"sensor": "no sht3x found; on the bus: 0x76"}
    state = reported(clients, device.thing, rejected=why)
    assert (state["sensor"], state["sensor_found"]) == ("auto", "bme280@0x76")
    last = listener.on(topic)[-1]["seq"]
    listener.wait(topic, lambda m: m["seq"] >= last + 2)
    assert not [line for line in board.log[mark:] if "sensor: " in line and "shadow" not in line]
    # What is there is taken, and null gives back what config.json has.
    desire(clients, device.thing, sensor="bme280@0x76")
    reported(clients, device.thing, sensor="bme280@0x76", rejected=None)
    desire(clients, device.thing, sensor=None)
    reported(clients, device.thing, sensor="auto", sensor_found="bme280@0x76")
    assert saved(device)["values"] == {} and board.boots == 1, board.log[-30:]


def test_a_sensor_that_was_never_there_is_in_the_first_report(device, boot, clients, listener):
    boot(device, sensor="none")
    birth = listener.wait(f"devices/{device.thing}/status", lambda m: m["online"])
    text = "no known sensor found; on the bus: nothing"
    assert birth["sensor_last_error"] == text and "last_reading" not in birth
    state = reported(clients, device.thing, sensor_last_error=text)
    assert "sensor_found" not in state
