"""Several sensors, deadbands and alarms on a virtual board, as they arrive in the cloud."""

from __future__ import annotations

import json
from collections import Counter

from tests.e2e.test_main_job import WAIT_S, desire, reported, shadow, wait_until

AIR, SOIL = {"chip": "bme280", "name": "air"}, {"chip": "sht3x", "name": "soil"}


def test_two_sensors_of_which_one_goes_and_comes_back(new_device, boot, clients, listener):
    device = new_device(interval_s=1, sensor=[AIR, SOIL])
    board = boot(device, sensor="bme280,sht3x", temperature="21.5", humidity="45 + sin(t)")
    topic = f"devices/{device.thing}/data"
    both = listener.wait(topic, lambda m: len(m.get("sensors", ())) == 2)
    assert both["temperature"] == both["sensors"]["soil"]["temperature"] == 21.5
    assert "pressure" in both["sensors"]["air"] and "pressure" not in both["sensors"]["soil"]
    reported(clients, device.thing, sensor_found="bme280@0x76, sht3x@0x44")
    board.set(sensor="bme280")
    listener.wait(topic, lambda m: list(m.get("sensors", ())) == ["air"])
    state = reported(clients, device.thing, sensor_found="bme280@0x76")
    assert [(row["sensor"], row["count"] > 0) for row in state["sensors"]] == [("soil", True)]
    board.set(sensor="bme280,sht3x")
    last = listener.on(topic)[-1]["seq"]
    listener.wait(topic, lambda m: m["seq"] > last and len(m.get("sensors", ())) == 2)
    reported(clients, device.thing, sensors=None)
    assert board.boots == 1, board.log[-30:]


def test_a_chip_that_has_frozen_is_reported_and_reads_on(new_device, boot, clients, listener):
    device = new_device(interval_s=1)
    board = boot(device, sensor="sht3x", scene="freeze@5..65", time_scale=10)

    def sensors():
        return shadow(clients, device.thing).get("reported", {}).get("sensors")

    said = wait_until(sensors, "reported.sensors")
    assert said == [
        {"sensor": "sht3x@0x44", "fault": "frozen: the same value again and again", "count": 1}
    ]
    readings = listener.on(f"devices/{device.thing}/data")  # they went on
    assert max(Counter(m["temperature"] for m in readings).values()) >= 50
    reported(clients, device.thing, sensors=None)  # over, and nobody had to do anything
    assert board.boots == 1, board.log[-30:]


def test_alarms_by_shadow_online_and_from_the_outbox(new_device, boot, clients, listener):
    device = new_device(interval_s=1)
    board = boot(device, temperature="21 + sin(t)/9")
    data, alarms = f"devices/{device.thing}/data", f"devices/{device.thing}/alarms"
    listener.wait(data, lambda m: m["seq"] >= 2)
    desire(clients, device.thing, alarm_high={"temperature": 30}, offset_cdeg={"bme280": 100})
    reported(clients, device.thing, alarm_high={"temperature": 30}, offset_cdeg={"bme280": 100})
    assert not listener.on(alarms)
    board.set(temperature="35 + sin(t)/9")
    high = listener.wait(alarms, lambda m: m["alarms"] == {"temperature": "high"})
    assert high["temperature"] > 34 and high["device_id"] == device.thing
    reading = listener.wait(data, lambda m: m["seq"] == high["seq"])
    assert reading == {k: v for k, v in high.items() if k != "alarms"}
    # It ends, and begins again, while there is no network.
    board.set(wifi={"up": False})
    board.wait_for("link: network gone", timeout=WAIT_S)
    for temperature in (20, 36):
        mark = len(board.log)
        board.set(temperature=f"{temperature} + sin(t)/9")
        board.wait_for("sensor: alarm, temperature", timeout=WAIT_S, after=mark)
    board.set(wifi={"up": True})
    listener.wait(alarms, lambda m: m["seq"] > high["seq"] + 1 and "high" in str(m["alarms"]))
    said = {m["seq"]: m["alarms"]["temperature"] for m in listener.on(alarms)}
    assert [said[seq] for seq in sorted(said)] == ["high", "normal", "high"]
    seqs = {m["seq"] for m in listener.on(data)}
    last = max(said)
    listener.wait(data, lambda m: m["seq"] >= last)
    seqs = {m["seq"] for m in listener.on(data)}
    assert seqs >= set(range(1, last + 1))
    # Taken back: it is not in reported any more.
    desire(clients, device.thing, alarm_high=None, offset_cdeg=None)
    reported(clients, device.thing, alarm_high=None, offset_cdeg=None)
    assert board.boots == 1, board.log[-30:]


def test_a_policy_without_the_topic_of_alarms_stops_nothing(new_device, boot, clients, listener):
    device = new_device(interval_s=1, alarm_high={"temperature": 20})
    for name in ("fieldmouse-send",):
        policy = json.loads(clients.iot.get_policy(policyName=name)["policyDocument"])
        for statement in policy["Statement"]:
            statement["Resource"] = [r for r in statement["Resource"] if "alarms" not in r]
        without = clients.iot.create_policy(
            policyName=f"no-alarms-{device.thing}", policyDocument=json.dumps(policy)
        )
        (principal,) = clients.iot.list_thing_principals(thingName=device.thing)["principals"]
        clients.iot.attach_policy(policyName=without["policyName"], target=principal)
        clients.iot.detach_policy(policyName=name, target=principal)
    board = boot(device, temperature="25 + sin(t)/9", time_scale=5)
    board.wait_for("app: alarm not taken in three sessions", timeout=2 * WAIT_S)
    listener.wait(f"devices/{device.thing}/data", lambda m: m["seq"] >= 3)
    assert not listener.on(f"devices/{device.thing}/alarms")
    assert board.boots == 1, board.log[-30:]
