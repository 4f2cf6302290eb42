# Bad wishes, nested wishes, and changes made at the device.

import harness
from shadow_service import ShadowService
from shadow_setup import BAD, SETTINGS, in_step, settle, shadow_of


def test_a_bad_wish_is_named_once_with_the_reason():
    shadow, service = in_step()
    service.wish({"interval_s": 0})
    settle(shadow, service)
    harness.equal(service.reported["rejected"], {"interval_s": BAD})
    harness.equal(service.reported["interval_s"], 60)
    # AWS sends the delta again after each update that leaves it open.
    shadow.report({"rssi": -60})
    settle(shadow, service)
    harness.equal(len(service.updates), 2)
    harness.equal(service.updates[1]["state"], {"reported": {"rssi": -60}})


def test_a_mended_wish_clears_its_rejection():
    shadow, service = in_step()
    service.wish({"interval_s": 0})
    settle(shadow, service)
    service.wish({"interval_s": 45})
    settle(shadow, service)
    assert "rejected" not in service.reported, service.reported
    harness.equal(service.reported["interval_s"], 45)
    harness.equal(service.updates[-1]["state"]["reported"], {"interval_s": 45, "rejected": None})


def test_a_wish_mended_to_what_is_true_brings_no_delta_and_clears_all_the_same():
    shadow, service = in_step()
    service.wish({"interval_s": 0})
    settle(shadow, service)
    service.wish({"interval_s": 60})
    settle(shadow, service)
    assert "rejected" not in service.reported, service.reported


def test_a_withdrawn_wish_clears_its_rejection():
    for patch in ({"interval_s": None}, None):
        shadow, service = in_step()
        service.wish({"interval_s": "soon"})
        settle(shadow, service)
        assert "interval_s" in service.reported["rejected"]
        service.wish(patch)
        settle(shadow, service)
        assert "rejected" not in service.reported, service.reported


def test_one_of_two_bad_wishes_withdrawn():
    shadow, service = in_step()
    service.wish({"interval_s": 0, "drain_per_s": True})
    settle(shadow, service)
    harness.equal(sorted(service.reported["rejected"]), ["drain_per_s", "interval_s"])
    service.wish({"interval_s": None})
    settle(shadow, service)
    harness.equal(sorted(service.reported["rejected"]), ["drain_per_s"])


def test_unknown_keys_are_refused():
    shadow, service = in_step()
    service.wish({"intervall_s": 30, "zebra": {"deep": {"deeper": 1}}})
    settle(shadow, service)
    wanted = {"intervall_s": "unknown setting", "zebra": "unknown setting"}
    harness.equal(service.reported["rejected"], wanted)


def test_a_strange_key_in_step_is_no_wish():
    # The AWS console makes new shadows with {"welcome": "aws-iot"} on both sides.
    shadow, service = shadow_of(), ShadowService()
    service.wish({"welcome": "aws-iot"})
    service.tamper({"welcome": "aws-iot"})
    del service.out[:]
    shadow.connected()
    settle(shadow, service)
    assert "rejected" not in service.reported, service.reported


def test_nested_wishes_are_merged_and_checked_whole():
    shadow, service = in_step()
    service.wish({"i2c": {"scl": 5}})
    settle(shadow, service)
    harness.equal(service.reported["i2c"], {"sda": 21, "scl": 5})
    service.wish({"i2c": {"sda": -1}})
    settle(shadow, service)
    harness.equal(service.reported["rejected"], {"i2c": "sda: no pin"})
    harness.equal(service.reported["i2c"], {"sda": 21, "scl": 5})
    service.wish({"i2c": {"sda": None}})
    settle(shadow, service)
    assert "rejected" not in service.reported, service.reported


def test_a_good_wish_that_fails_is_refused_until_it_changes():
    shadow, service = in_step()
    service.wish({"sensor": "sht3x"})
    settle(shadow, service, lambda key: "no sht3x on the bus")
    harness.equal(service.reported["rejected"], {"sensor": "no sht3x on the bus"})
    told = len(service.updates)
    service.wish({"drain_per_s": 7})  # the delta names the sensor again
    settle(shadow, service, lambda key: "again" if key == "sensor" else None)
    harness.equal(service.reported["rejected"], {"sensor": "no sht3x on the bus"})
    harness.equal(len(service.updates), told + 1)
    service.wish({"sensor": "mcp9808"})
    settle(shadow, service)
    harness.equal(service.reported["sensor"], "mcp9808")
    assert "rejected" not in service.reported


def test_a_command_goes_up_as_desired_and_reported_together():
    shadow, service = in_step()
    service.wish({"interval_s": 30})
    settle(shadow, service)
    shadow.changed("interval_s", 10)
    harness.equal(shadow.local, {"interval_s": 30})
    settle(shadow, service)
    both = {"desired": {"interval_s": 10}, "reported": {"interval_s": 10}}
    harness.equal(service.updates[-1]["state"], both)
    harness.equal((shadow.local, service.desired), ({}, {"interval_s": 10}))
    shadow.connected()
    settle(shadow, service)
    harness.equal(service.reported["interval_s"], 10)


def test_a_command_before_a_power_cut_is_not_undone_by_the_old_wish():
    shadow, service = in_step()
    service.wish({"interval_s": 30})
    settle(shadow, service)
    shadow.changed("interval_s", 10)
    settings = dict(SETTINGS)
    settings["interval_s"] = 10
    again = shadow_of(settings, shadow.local, "boot2")
    again.connected()
    settle(again, service)
    harness.equal((service.desired, service.reported["interval_s"]), ({"interval_s": 10}, 10))


def test_a_newer_wish_is_not_overwritten_while_it_waits():
    shadow, service = in_step()
    shadow.changed("interval_s", 10)
    service.wish({"interval_s": 99})
    while service.out:
        topic, payload = service.out.pop(0)
        getattr(shadow, topic)(payload)
    harness.equal((shadow.next_wish(), shadow.update()), (("interval_s", 99), None))


def test_a_wish_newer_than_the_command_wins():
    shadow, service = in_step()
    service.wish({"interval_s": 30})
    settle(shadow, service)
    shadow.changed("interval_s", 10)
    service.wish({"interval_s": 99})
    settle(shadow, service)
    harness.equal((service.desired, service.reported["interval_s"]), ({"interval_s": 99}, 99))
    harness.equal(shadow.local, {})


harness.run(globals())
