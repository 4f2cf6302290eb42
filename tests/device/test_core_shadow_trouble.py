# Refusals, lost answers, other clients, deleted shadows.

import json

import harness
from shadow_setup import SETTINGS, in_step, message, settle, shadow_of


def test_409_asks_again_and_then_tells_what_still_differs():
    shadow, service = in_step()
    service.refuse.append(409)
    shadow.changed("interval_s", 10)
    settle(shadow, service)
    harness.equal((service.asked, len(service.updates)), (1, 2))
    harness.equal(service.reported["interval_s"], 10)
    assert not shadow.later


def test_429_and_500_wait_and_lose_nothing():
    for code in (429, 500, 503, None, "odd"):
        shadow, service = in_step()
        service.refuse.append(code)
        shadow.report({"rssi": -70})
        shadow.applied("interval_s", 30)
        service.update(shadow.update())
        shadow.update_rejected(service.out.pop()[1])
        assert shadow.later and shadow.wants_get, code
        settle(shadow, service)
        harness.equal((service.reported["rssi"], service.reported["interval_s"]), (-70, 30))


def test_413_leaves_out_the_facts():
    shadow, service = in_step()
    service.refuse.append(413)
    shadow.report({"log": "x" * 200})
    shadow.applied("interval_s", 30)
    settle(shadow, service)
    harness.equal(service.reported["interval_s"], 30)
    assert "log" not in service.reported
    service.refuse.extend([413, 413])
    shadow.applied("interval_s", 31)
    settle(shadow, service)
    harness.equal((shadow.reported.refused, service.refuse), (1, [413]))


def test_a_bad_update_is_not_repeated():
    for code in (400, 403):
        shadow, service = in_step()
        service.refuse.extend([code, code])
        shadow.changed("interval_s", 10)
        settle(shadow, service)
        harness.equal((len(service.updates), shadow.reported.refused), (1, 1))


def test_a_refusal_without_token_is_ours():
    # AWS sends version conflicts like that.
    shadow, service = in_step()
    shadow.report({"rssi": -1})
    shadow.update()
    shadow.update_rejected(message(code=409, message="Version conflict"))
    assert shadow.wants_get and not shadow.waiting()


def test_answers_to_other_clients_are_not_ours():
    shadow, service = in_step()
    shadow.connected()
    shadow.get()
    shadow.get_accepted(message(version=9, state={"desired": {"interval_s": 5}}, clientToken="x"))
    shadow.get_rejected(message(code=404, clientToken="x"))
    assert shadow.waiting() and shadow.next_wish() is None
    shadow.report({"rssi": -1})
    shadow.get_rejected(message(code=404, clientToken="boot1-999"))
    assert shadow.waiting()


def test_an_update_of_another_client_does_not_land_ours():
    shadow, service = in_step()
    shadow.report({"rssi": -1})
    shadow.update()
    shadow.update_accepted(message(version=8, state={"reported": {}}, clientToken="x"))
    shadow.update_rejected(message(code=400, clientToken="x"))
    assert shadow.waiting()
    harness.equal((shadow.version, shadow.reported.refused), (8, 0))


def test_a_get_answer_without_token_counts_unless_it_is_old():
    shadow, service = in_step()
    shadow.connected()
    shadow.get()
    shadow.get_accepted(message(version=0, state={"desired": {"interval_s": 5}}))
    assert shadow.waiting() and shadow.stale == 1
    shadow.get_accepted(message(version=7, state={"desired": {"interval_s": 5}}))
    harness.equal(shadow.next_wish(), ("interval_s", 5))


def test_a_deleted_shadow_starts_from_zero():
    shadow, service = in_step()
    for interval_s in range(10, 20):
        service.wish({"interval_s": interval_s})
    settle(shadow, service)
    service.asked = 0
    service.delete()
    shadow.connected()
    settle(shadow, service)
    harness.equal((shadow.version, service.version, service.asked), (1, 1, 1))
    service.wish({"interval_s": 33})
    settle(shadow, service)
    harness.equal(service.reported["interval_s"], 33)


def test_a_shadow_deleted_behind_our_back_is_found_out_by_the_next_update():
    shadow, service = in_step()
    for interval_s in range(10, 20):
        service.wish({"interval_s": interval_s})
    settle(shadow, service)
    service.delete()
    shadow.report({"rssi": -1})
    settle(shadow, service)
    harness.equal(shadow.version, service.version)
    harness.equal(service.reported["interval_s"], 19)


def test_no_answer_is_asked_for_three_times_and_then_done_without():
    shadow = shadow_of()
    shadow.connected()
    for _ in range(3):
        assert shadow.wants_get
        shadow.get()
        shadow.no_answer()
    assert not shadow.wants_get
    told = json.loads(shadow.update())["state"]["reported"]
    harness.equal(told, SETTINGS)


def test_an_update_without_answer_is_made_anew():
    shadow, service = in_step()
    shadow.report({"rssi": -1})
    shadow.applied("interval_s", 30)
    assert shadow.update() is not None  # and lost on the way
    shadow.no_answer()
    settle(shadow, service)
    harness.equal((service.reported["rssi"], service.reported["interval_s"]), (-1, 30))


def test_the_newest_facts_win_over_those_of_a_lost_update():
    shadow, service = in_step()
    shadow.report({"rssi": -1})
    shadow.update()
    shadow.report({"rssi": -2})
    shadow.connected()
    settle(shadow, service)
    harness.equal(service.reported["rssi"], -2)


def test_tampering_with_reported_is_set_right_at_the_next_get():
    shadow, service = in_step()
    service.tamper({"interval_s": 5, "rejected": "a scalar"})
    settle(shadow, service)
    harness.equal(service.updates, [])  # no duel with another writer
    shadow.connected()
    settle(shadow, service)
    harness.equal(service.reported["interval_s"], 60)
    assert "rejected" not in service.reported


harness.run(globals())
