# heap: 72wk
# Birth, desired values and answers: the way it goes when nothing goes wrong; what an answer says
# about the time, and about another board with the same thing.

import json

import harness
from shadow_setup import (
    BAD,
    SETTINGS,
    STATUS,
    Board,
    ShadowService,
    connect,
    desire,
    in_step,
    message,
    settle,
)


def test_no_shadow_yet_reports_everything():
    board, service = Board(), ShadowService()
    board.facts = {"firmware": "0.1.0", "rssi": -58}
    connect(board, service)
    harness.equal(len(service.updates), 1)
    wanted = dict(SETTINGS)
    wanted.update({"firmware": "0.1.0", "rssi": -58})
    harness.equal(service.reported, wanted)
    harness.equal(service.desired, {})


def test_birth_comes_first_and_is_retained():
    board, service = Board(), ShadowService()
    board.facts = {"rssi": -58, "last_crash": None}  # nothing to say of that
    board.sync.connected()
    assert board.send(service)
    birth = {"rssi": -58, "full": True, "online": True}
    harness.equal((service.births, service.asked), ([(STATUS, birth, True)], 0))
    settle(board, service)
    connect(board, service)
    harness.equal((len(service.births), service.asked), (2, 2))
    assert "online" not in service.reported and "full" not in service.reported


def test_the_birth_of_a_board_that_sleeps_is_not_that_it_is_online():
    for until in (1_795_248_099, None):
        board, service = Board(), ShadowService()
        board.facts = {"rssi": -58, "asleep_until": until}  # power.py
        board.sync.connected()
        assert board.send(service)
        birth = {"rssi": -58, "full": True, "online": False}
        birth.update({"asleep_until": until} if until else {})
        harness.equal(service.births, [(STATUS, birth, True)])


def test_nothing_is_reported_before_the_answer_to_get():
    board = Board().connected()
    board.report(rssi=-1)
    board.pass_s(9)
    harness.equal((len(board.said(b"get")), board.said(b"update")), (1, []))


def test_a_desired_value_is_reported_once_it_is_in_force():
    board, service = in_step()
    service.desire({"interval_s": 30})
    board.hear(service)
    # The callback of MQTT is no place to write to flash.
    harness.equal((board.settings.given, board.settings.values["interval_s"]), ([], 60))
    board.sync.step()
    harness.equal((board.settings.values["interval_s"], board.session.sent), (30, []))
    board.step()
    (update,) = board.said(b"update")
    wanted = dict(SETTINGS)
    wanted.update({"interval_s": 30, "rejected": None})
    harness.equal(update["state"], {"reported": wanted})
    board.pass_s(9)
    harness.equal(len(board.session.sent), 1)
    harness.equal(board.log.lines, ["shadow: interval_s is now 30"])


def test_each_update_reports_all_settings_rejected_and_facts():
    board, service = in_step()
    board.facts = {"rssi": -60}
    desire(board, service, {"interval_s": 0})
    wanted = dict(SETTINGS)
    wanted.update({"rssi": -60, "rejected": {"interval_s": BAD}})
    harness.equal([update["state"] for update in service.updates], [{"reported": wanted}])


def test_a_copy_of_a_delta_is_not_answered_again():
    for under_way in (False, True):  # its update
        board, service = in_step()
        service.desire({"interval_s": 30})
        copies = [item for item in service.out if item[0] == b"update/delta"]
        if under_way:
            board.hear(service)
            board.send(service)
        else:
            settle(board, service)
        service.out[:0] = copies + copies
        settle(board, service)
        harness.equal(len(service.updates), 1)


def test_a_delta_of_what_is_in_force_is_answered_once_a_version():
    # AWS's reported value is not ours: an update was lost, or somebody else has reported.
    board, service = in_step({"interval_s": 60})
    harness.equal(service.updates, [])
    service.tamper({"interval_s": 5})
    service.out *= 2
    settle(board, service)
    harness.equal((len(service.updates), service.reported["interval_s"]), (1, 60))


def test_what_an_update_leaves_open_is_not_answered_for_ever():
    # As when check() turns a value into one that AWS does not call the same.
    def table(key, value, values):
        return (value.lower() if key == "sensor" else value), None

    board, service = Board(table=table), ShadowService()
    connect(board, service)
    desire(board, service, {"sensor": "SHT3X"})
    harness.equal((len(service.updates), service.reported["sensor"]), (2, "sht3x"))


def test_one_report_for_each_connection_and_nothing_more():
    board, service = in_step({"interval_s": 30, "drain_per_s": 0})
    told = len(service.updates)
    before = dict(service.reported)
    for _ in range(3):
        connect(board, service)
    harness.equal((len(service.updates), service.asked), (told + 3, 3))
    harness.equal(service.reported, before)


def test_a_reboot_changes_nothing():
    board, service = in_step({"interval_s": -1, "drain_per_s": 5})
    told = len(service.updates)
    again = Board(board.settings.values, board.settings.state, "boot2")
    connect(again, service)
    harness.equal(len(service.updates), told + 1)
    harness.equal(again.sync.rejected, {"interval_s": BAD})
    harness.equal(service.reported["rejected"], {"interval_s": BAD})


def test_an_older_delta_is_dropped():
    board, service = in_step({"interval_s": 30})
    old = message(version=service.version - 1, state={"interval_s": 15})
    board.receive(b"update/delta", old)
    harness.equal((board.sync.desired, board.send(service)), (None, False))


def test_a_delta_before_its_accepted_asks_nothing():
    # AWS keeps no order between the two.
    board, service = in_step()
    service.desire({"interval_s": 30})
    service.out.reverse()
    settle(board, service)
    harness.equal((service.asked, len(service.updates)), (0, 1))


def test_what_nobody_subscribed_to_is_ignored():
    board, service = in_step()
    for kind in (b"update/documents", b"delete/accepted", b"name/x/update/delta", b"", b"get"):
        board.receive(kind, message(version=99, state={"interval_s": 5}))
        board.receive(kind, b"junk")
    harness.equal((board.sync.desired, board.sync.junk, board.send(service)), (None, 0, False))


def test_tokens_are_no_longer_than_aws_takes():
    board = Board(token="x" * 40)
    board.session.pid = 65535
    board.sync.connected()
    board.pass_s(2)
    token = json.loads(board.session.sent[-1][1])["clientToken"]
    assert len(token) <= 64, token


NOW = 1795248682


class Dated(ShadowService):
    # AWS puts the time into each message.
    def _say(self, topic, document, token):
        document["timestamp"] = NOW
        ShadowService._say(self, topic, document, token)


def asked(kind=b"get"):
    # A board that waits for an answer; its token.
    board = Board()
    if kind == b"get":
        board.sync.connected()
    else:
        board, _ = in_step()
        board.report(rssi=-1)
    while not board.said(kind):
        board.pass_s(1)
    board.clock.heard = None
    return board, board.said(kind)[-1]["clientToken"]


def answer(board, kind, token, **changes):
    fields = {"clientToken": token, "version": 9, "state": {}, "timestamp": NOW}
    fields.update(changes)
    board.receive(kind, message(**fields))
    return board.clock.heard


def test_an_answer_to_our_question_has_the_time():
    for kind, other in ((b"get", b"update"), (b"update", b"get")):
        board, token = asked(kind)
        for theirs in ("boot1-77", None, "x"):
            harness.equal(answer(board, kind + b"/accepted", theirs), None)
        harness.equal(answer(board, b"update/delta", token), None)
        harness.equal(answer(board, other + b"/accepted", token), None)
        board, token = asked(kind)
        harness.equal(answer(board, kind + b"/rejected", token, code=500), None)
        board, token = asked(kind)
        harness.equal(answer(board, kind + b"/accepted", token), (NOW, board.clock.s))


def test_an_answer_that_took_long_or_of_the_session_before_has_not():
    for seconds, fresh in ((9, True), (10, False)):
        board, token = asked()
        board.session.waiting = (-1,)  # no PUBACK: the answer may still come
        board.pass_s(seconds)
        harness.equal(answer(board, b"get/accepted", token) is not None, fresh)
    board, token = asked()
    board.sync.connected()
    harness.equal(answer(board, b"get/accepted", token), None)


def test_with_a_shadow_or_without_one_the_time_comes():
    for exists in (True, False):
        board, service = Board(), Dated()
        if exists:
            service.desire({"interval_s": 30})
        connect(board, service)
        harness.equal(board.clock.heard[0], NOW)
        board.clock.heard = None
        board.report(rssi=-3)
        settle(board, service)
        harness.equal(board.clock.heard[0], NOW)


def test_whatever_stands_there_is_kept_for_the_judge():
    for stamp in (None, "1795248682", -1, 1e300, True, [], {}, 1 << 200):
        board, token = asked()
        text = json.dumps(stamp)
        payload = '{"clientToken":"%s","version":9,"state":{},"timestamp":%s}' % (token, text)
        board.receive(b"get/accepted", payload.encode())
        harness.equal(board.sync.junk, 0)


SAID = "shadow: another board uses this thing: "


def made(ident, state=()):
    board = Board(state=state)
    board.facts["board_id"] = ident
    return board


def said(board):
    return [line[len(SAID) :] for line in board.log.lines if line.startswith(SAID)]


def test_another_id_after_ours_is_another_board():
    one, two, service = made("aa"), made("bb"), ShadowService()
    for board, wanted in ((one, None), (two, None), (one, "bb"), (two, "aa"), (two, None)):
        connect(board, service)
        harness.equal(board.session.rival, wanted)
        harness.equal(service.reported["board_id"], board.facts["board_id"])
    harness.equal((said(one), said(two)), (["bb"], ["aa"]))


def test_it_is_known_after_a_restart():
    service = ShadowService()
    one = made("aa")
    connect(one, service)
    connect(made("bb"), service)
    again = made("aa", state=one.settings.state)
    connect(again, service)
    harness.equal((again.session.rival, again.settings.state["board_id"]), ("bb", "aa"))


def test_a_board_that_was_replaced_is_none():
    service = ShadowService()
    service.tamper({"board_id": "old"})
    board = made("aa")
    connect(board, service)
    harness.equal((board.session.rival, service.reported["board_id"]), (None, "aa"))
    connect(board, service)
    harness.equal((board.session.rival, said(board)), (None, []))


def test_what_aws_has_not_accepted_does_not_count():
    service = ShadowService()
    service.tamper({"board_id": "old"})
    for code in (400, 413, 500):
        board = made("aa")
        service.refuse = [code] * 3
        connect(board, service)
        connect(board, service)
        harness.equal((code, board.session.rival), (code, None))
        service.tamper({"board_id": "old"})


def test_flash_that_was_copied_to_another_board():
    service = ShadowService()
    one = made("aa")
    connect(one, service)
    copy = made("bb", state=one.settings.state)
    connect(copy, service)
    harness.equal((copy.session.rival, copy.settings.state["board_id"]), (None, "bb"))
    connect(one, service)
    connect(copy, service)
    harness.equal((one.session.rival, copy.session.rival), ("bb", "aa"))


def test_a_shadow_that_was_deleted_and_ids_that_are_none():
    service = ShadowService()
    board = made("aa")
    connect(board, service)
    service.delete()
    connect(board, service)
    for ident in (None, 5, [], {}, True):
        service.tamper({"board_id": ident})
        connect(board, service)
        harness.equal((ident, board.session.rival), (ident, None))
        harness.equal(service.reported["board_id"], "aa")  # put right
    service.tamper({"board_id": "\x1b[2J" + "x" * 100})
    connect(board, service)
    harness.equal(board.session.rival, "?[2J" + "x" * 36)
    connect(board, service)
    harness.equal(board.session.rival, None)
