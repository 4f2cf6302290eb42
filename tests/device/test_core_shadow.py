# Birth, wishes and answers: the way it goes when nothing goes wrong.

import json

import harness
from shadow_setup import (
    BAD,
    SETTINGS,
    ShadowService,
    in_step,
    message,
    settle,
    shadow_of,
)


def test_no_shadow_yet_tells_everything():
    shadow, service = shadow_of(), ShadowService()
    shadow.connected()
    shadow.report({"firmware": "0.1.0", "rssi": -58})
    settle(shadow, service)
    harness.equal(len(service.updates), 1)
    wanted = dict(SETTINGS)
    wanted.update({"firmware": "0.1.0", "rssi": -58})
    harness.equal(service.reported, wanted)
    harness.equal(service.desired, {})


def test_nothing_is_said_before_the_answer_to_get():
    shadow = shadow_of()
    shadow.connected()
    shadow.report({"firmware": "0.1.0"})
    assert shadow.wants_get and shadow.update() is None
    shadow.get()
    assert shadow.waiting() and not shadow.wants_get and shadow.update() is None


def test_a_wish_is_reported_once_it_is_true():
    shadow, service = in_step()
    service.wish({"interval_s": 30})
    while service.out:
        topic, payload = service.out.pop(0)
        getattr(shadow, topic)(payload)
    harness.equal(shadow.next_wish(), ("interval_s", 30))
    assert shadow.update() is None
    shadow.applied("interval_s", 30)
    told = json.loads(shadow.update())
    harness.equal(told["state"], {"reported": {"interval_s": 30}})
    assert shadow.next_wish() is None and shadow.update() is None


def test_an_answered_delta_is_not_answered_again():
    shadow, service = in_step()
    service.wish({"interval_s": 30})
    copies = [item for item in service.out if item[0] == "delta"]
    settle(shadow, service)
    harness.equal(len(service.updates), 1)
    # The same delta again, and again under the newest version.
    service.out.extend(copies)
    newest = message(version=service.version, state={"interval_s": 30})
    service.out.extend([("delta", newest), ("delta", newest)])
    settle(shadow, service)
    harness.equal(len(service.updates), 1)
    harness.equal(shadow.stale, 1)


def test_after_a_reconnect_the_same_wish_is_not_answered_again():
    shadow, service = in_step()
    service.wish({"interval_s": 30, "drain_per_s": 0})
    settle(shadow, service)
    told = len(service.updates)
    for _ in range(3):
        shadow.connected()
        settle(shadow, service)
    harness.equal(len(service.updates), told)
    harness.equal(service.asked, 3)


def test_a_reboot_does_not_answer_again_either():
    shadow, service = in_step()
    service.wish({"interval_s": -1, "drain_per_s": 5})
    settle(shadow, service)
    told = len(service.updates)
    settings = dict(SETTINGS)
    settings["drain_per_s"] = 5
    again = shadow_of(settings, token="boot2")
    again.connected()
    settle(again, service)
    harness.equal(len(service.updates), told)
    harness.equal(again.wishes.bad, {"interval_s": BAD})


def test_an_older_delta_is_dropped():
    shadow, service = in_step()
    service.wish({"interval_s": 30})
    settle(shadow, service)
    shadow.delta(message(version=service.version - 1, state={"interval_s": 15}))
    harness.equal((shadow.next_wish(), shadow.stale), (None, 1))


def test_a_delta_before_its_accepted_asks_nothing():
    # AWS keeps no order between the two.
    shadow, service = in_step()
    service.wish({"interval_s": 30})
    service.out.reverse()
    settle(shadow, service)
    harness.equal((service.asked, len(service.updates)), (0, 1))


harness.run(globals())
