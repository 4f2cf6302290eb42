# heap: 64wk
# Deadlines of the shadow, and a session that does what a broker may do to it.

import json

import harness
from firmware import device_info
from firmware.core import shadow, text
from shadow_setup import STATUS, Board, ShadowService, connect, in_step, settle


def updates(board):
    return len(board.said(b"update"))


def test_unheard_it_subscribes_again():
    # Found by chaos: the broker kept the session but not its subscriptions, and the board received
    # no desired value and no command for good.
    board, service = Board().connected(), ShadowService()
    board.pass_s(9)
    harness.equal((len(board.said(b"get")), board.session.subscribed), (1, 0))
    board.pass_s(5)
    harness.equal((len(board.said(b"get")), board.session.subscribed), (2, 1))
    harness.equal(board.log.lines, ["shadow: no answer, subscribing again"])
    service.get(board.session.sent.pop()[1])
    board.hear(service)
    board.pass_s(5)
    harness.equal((len(board.said(b"get")), board.session.subscribed), (1, 1))


def test_heard_it_does_not():
    # Device Advisor's MQTT_Persistent_Session_Happy_Case fails a board that does.
    board, service = Board(), ShadowService()
    connect(board, service)
    board.pass_s(20)
    harness.equal(board.session.subscribed, 0)


def test_one_document_at_a_time():
    board, service = Board().connected(), ShadowService()
    board.session.waiting = (-1,)
    board.pass_s(3)
    harness.equal(board.session.sent, [])
    board.session.waiting = ()
    settle(board, service)
    harness.equal((len(service.births), service.asked, len(service.updates)), (1, 1, 1))


def test_the_wait_for_an_answer_begins_with_the_puback():
    board = Board().connected().pass_s(2)
    board.session.waiting = (-1,)  # a slow network
    board.pass_s(40)
    board.session.waiting = ()
    board.pass_s(9)
    harness.equal((len(board.said(b"get")), board.session.subscribed), (1, 0))
    board.pass_s(2)
    harness.equal((len(board.said(b"get")), board.session.subscribed), (2, 1))


def test_a_desired_value_is_applied_while_a_document_is_in_flight():
    board, service = in_step()
    service.desire({"interval_s": 7})
    board.hear(service)
    board.session.waiting = (-1,)
    board.step()
    harness.equal((board.settings.values["interval_s"], board.session.sent), (7, []))


def test_once_an_hour_it_reports():
    board, service = in_step()
    board.pass_s(3599)
    harness.equal(updates(board), 0)
    board.pass_s(2)
    harness.equal(updates(board), 1)
    settle(board, service)
    board.pass_s(3600)
    harness.equal(updates(board), 1)


def test_born_again_after_half_a_minute_and_then_every_hour():
    # When a connection is taken over, its will comes after the birth of the new one, and both are
    # retained: {"online": false} stood for weeks.
    board, service = Board(), ShadowService()
    connect(board, service)
    for wait_s in (30, 3600, 3600):
        harness.equal(len(service.births), 1)
        topic, document, retained = service.births.pop()
        harness.equal((topic, document["online"], retained), (STATUS, True, True))
        board.pass_s(wait_s - 9)
        settle(board, service)
        harness.equal(len(service.births), 0)
        board.pass_s(9)
        settle(board, service)


def test_a_later_birth_leaves_the_deadlines_of_the_shadow_alone():
    board = Board().connected()
    board.pass_s(25)  # no answer: the third get is on its way as the birth is due
    harness.equal(len(board.said(b"get")), 3)
    births = [topic for topic, _, _ in board.session.sent].count(STATUS)
    board.pass_s(6)  # it waits for its answer, or the end of the wait
    harness.equal((births, len(board.said(b"update"))), (1, 0))
    board.pass_s(2)
    harness.equal(len(board.said(b"update")), 1)
    harness.equal([topic for topic, _, _ in board.session.sent].count(STATUS), 2)
    board.session.waiting = (-1,)  # one document at a time
    count = len(board.session.sent)
    board.pass_s(4000)
    harness.equal(len(board.session.sent), count)


def test_without_subscribe_it_asks_nothing():
    # Sessions go without when AWS has refused it: no answer would ever come.
    board = Board()
    board.session.mute = True
    board.sync.connected()
    board.pass_s(100)
    sent = [topic for topic, _, _ in board.session.sent]
    harness.equal((sent, board.session.subscribed), ([STATUS, STATUS], 0))
    board.session.mute = False
    board.pass_s(1)
    harness.equal(len(board.said(b"get")), 1)


def test_a_sensor_that_comes_or_goes_is_reported_soon_and_not_too_often():
    board, service = in_step()
    board.pass_s(60)
    for sensor in (None, "sht3x@0x44", None):
        board.sampler.sensor = sensor
        board.pass_s(1)
        harness.equal(updates(board), 1)
        settle(board, service)
        board.sampler.sensor = "a bad contact"
        board.pass_s(4)
        harness.equal(updates(board), 0)
        board.sampler.sensor = sensor
        board.pass_s(5)
        harness.equal(updates(board), 0)


def test_readings_that_fail_are_reported_within_a_minute():
    board, service = in_step()
    board.pass_s(60)
    for fault in (1, 2, 0):
        board.sampler.fault = fault
        board.pass_s(1)
        harness.equal(updates(board), 1)
        settle(board, service)
        board.sampler.fault = 7
        board.pass_s(59)
        board.sampler.fault = fault
        board.pass_s(3)
        harness.equal(updates(board), 0)


def test_any_report_covers_the_sensor():
    board, service = in_step()
    board.sampler.sensor = None
    board.report(rssi=-1)
    settle(board, service)
    harness.equal(len(service.updates), 1)
    board.pass_s(100)
    harness.equal(updates(board), 0)


def tried(board):
    # Some passes without memory, then it is an error.
    for _ in range(5):
        harness.equal(board.sync.step(), False)
    harness.raises(MemoryError, board.sync.step)


def test_a_document_is_sent_with_the_memory_of_the_driver():
    board, service = in_step()
    take = board.session.take

    def short_of_memory(tag, packet, at, more):
        if board.sampler.driver:
            raise MemoryError
        take(tag, packet, at, more)

    board.session.take = short_of_memory
    board.report(rssi=-1)
    board.sampler.driver = 1
    assert board.sync.step()
    harness.equal((board.sync.step(), board.sampler.driver), (False, None))
    settle(board, service)
    harness.equal(service.reported["rssi"], -1)
    # Without a driver it is tried for some passes: what is under way may leave memory.
    board.session.take = fails
    board.report(rssi=-2)
    assert board.sync.step()
    for _ in range(2):
        tried(board)
    board.session.take = take
    settle(board, service)
    harness.equal(service.reported["rssi"], -2)


def test_a_document_is_made_with_the_memory_of_the_driver():
    board, service = in_step()
    facts = board.sync.facts

    def short_of_memory(full):
        if board.sampler.driver:
            raise MemoryError
        return facts(full)

    board.sync.facts = short_of_memory
    board.report(rssi=-3)
    # While a reading is due the sampler would load it again before the next try.
    board.sampler.driver, board.sampler.due = 1, True
    harness.equal((board.sync.step(), board.sampler.driver), (False, 1))
    board.sampler.due = False
    harness.equal((board.sync.step(), board.sampler.driver), (False, None))
    settle(board, service)
    harness.equal((service.reported["rssi"], board.sampler.driver), (-3, None))


def test_a_document_that_has_no_memory_changes_nothing():
    board, service = in_step()
    board.report(rssi=-4)
    dumps, device_info.json = device_info.json, NoJson()
    before = board.sync.pending, board.sync.rejected, board.sync.update_due, board.sync.since_s
    board.sampler.driver = None
    try:
        tried(board)
    finally:
        device_info.json = dumps
    after = board.sync.pending, board.sync.rejected, board.sync.update_due, board.sync.since_s
    harness.equal(after, before)
    settle(board, service)
    harness.equal(service.reported["rssi"], -4)


def test_a_message_is_taken_apart_with_the_memory_of_the_driver():
    board, _ = in_step()
    sync = board.sync
    state = '"metadata": {"interval_s": {"timestamp": 1234567890}}, "state": {"interval_s": 43}'
    delta = '{{"version": {}, {}}}'.format(sync.seen // 2 + 1, state)
    sync.sampler.driver, text.json = 1, NoJson(sync.sampler)
    try:
        shadow.receive(sync, b"update/delta", bytearray(delta.encode()))
    finally:
        text.json = json
    while sync.step():
        pass
    harness.equal((sync.settings.values["interval_s"], sync.junk), (43, 0))


class NoJson:
    def __init__(self, sampler=None):
        self.sampler = sampler

    def loads(self, document):
        if self.sampler.driver:
            raise MemoryError
        return json.loads(document)

    def dumps(self, *_, **__):
        raise MemoryError


def test_a_message_that_finds_no_memory_is_asked_for_again():
    board, _ = in_step()
    shadow.receive(board.sync, b"update/delta", bytearray(b'{"version": 77, "state": {}}'))
    board.sync.lost()  # as app.py does it, whatever had no memory
    assert board.sync.message is None and board.sync.get_due


def planted(*_):
    raise RuntimeError("planted")


def test_a_bug_in_what_a_message_means_costs_that_message_only():
    board, _ = in_step()
    interpreted, shadow._heard = shadow._heard, planted
    try:
        board.receive(b"update/delta", b'{"version": 77, "state": {}}')
    finally:
        shadow._heard = interpreted
    harness.equal((board.sync.junk, board.sync.message), (1, None))
    harness.equal(board.log.lines[-1], "shadow: a bug, planted, in a message, dropped")


def test_messages_mean_something_once_their_packets_are_gone():
    board, _ = in_step()
    sync, old = board.sync, board.sync.seen // 2
    for version, interval_s in (old + 1, 41), (old + 2, 42):
        delta = {"version": version, "state": {"interval_s": interval_s}}
        shadow.receive(sync, b"update/delta", bytearray(json.dumps(delta).encode()))
        assert sync.message
    # The second one waits; the first was heard when it came.
    harness.equal((sync.seen, sync.desired["interval_s"]), (2 * old + 3, 41))
    while sync.step():
        pass
    harness.equal((sync.seen, sync.settings.values["interval_s"]), (2 * old + 5, 42))
    shadow.receive(sync, b"update/delta", bytearray(b'{"version": 99999, "state": {}}'))
    sync.connected()  # what it says is in the answer to the next get
    assert sync.message is None and sync.seen < 99999


def fails(*_):
    raise MemoryError


def test_a_new_session_waits_for_no_old_answer():
    board = Board().connected().pass_s(5)
    board.sync.connected()
    board.pass_s(9)
    harness.equal((len(board.said(b"get")), board.session.subscribed), (2, 0))


def test_a_new_session_asks_three_times():
    board = Board().connected().pass_s(25)
    board.sync.connected()
    del board.session.sent[:]
    board.pass_s(25)
    harness.equal((len(board.said(b"get")), board.said(b"update")), (3, []))


def test_a_new_session_begins_anew():
    board, service = in_step()
    service.refuse.append(429)
    board.report(rssi=-1)
    board.send(service)
    board.hear(service)  # half a minute of silence
    board.sync.connected()
    board.pass_s(2)
    harness.equal(len(board.said(b"get")), 1)
    settle(board, service)
    harness.equal(service.reported["rssi"], -1)
