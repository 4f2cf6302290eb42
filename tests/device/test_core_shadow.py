# heap: 52wk
# Birth, desired values and answers: the way it goes when nothing goes wrong.

import json

import harness
from shadow_setup import (
    BAD,
    SETTINGS,
    STATUS,
    Board,
    ShadowService,
    connect,
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


def test_nothing_is_reported_before_the_answer_to_get():
    board = Board()
    board.sync.connected()
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
    service.desire({"interval_s": 0})
    settle(board, service)
    wanted = dict(SETTINGS)
    wanted.update({"rssi": -60, "rejected": {"interval_s": BAD}})
    harness.equal([update["state"] for update in service.updates], [{"reported": wanted}])


def test_an_answered_delta_is_not_answered_again():
    board, service = in_step()
    service.desire({"interval_s": 30})
    copies = [item for item in service.out if item[0] == b"update/delta"]
    settle(board, service)
    service.out.extend(copies + copies)
    settle(board, service)
    harness.equal(len(service.updates), 1)


def test_a_delta_of_what_is_in_force_is_answered_once_a_version():
    # AWS's reported value is not ours: an update was lost, or somebody else has reported.
    board, service = in_step()
    service.desire({"interval_s": 60})
    settle(board, service)
    harness.equal(service.updates, [])
    service.tamper({"interval_s": 5})
    service.out *= 2
    settle(board, service)
    harness.equal((len(service.updates), service.reported["interval_s"]), (1, 60))


def test_a_copy_of_a_delta_while_its_update_is_under_way():
    board, service = in_step()
    service.desire({"interval_s": 30})
    copies = [item for item in service.out if item[0] == b"update/delta"]
    board.hear(service)
    board.send(service)
    service.out[:0] = copies
    settle(board, service)
    harness.equal(len(service.updates), 1)


def test_what_an_update_leaves_open_is_not_answered_for_ever():
    # As when check() turns a value into one that AWS does not call the same.
    def table(key, value, values):
        return (value.lower() if key == "sensor" else value), None

    board, service = Board(table=table), ShadowService()
    connect(board, service)
    service.desire({"sensor": "SHT3X"})
    settle(board, service)
    harness.equal((len(service.updates), service.reported["sensor"]), (2, "sht3x"))


def test_one_report_for_each_connection_and_nothing_more():
    board, service = in_step()
    service.desire({"interval_s": 30, "drain_per_s": 0})
    settle(board, service)
    told = len(service.updates)
    before = dict(service.reported)
    for _ in range(3):
        connect(board, service)
    harness.equal((len(service.updates), service.asked), (told + 3, 3))
    harness.equal(service.reported, before)


def test_a_reboot_changes_nothing():
    board, service = in_step()
    service.desire({"interval_s": -1, "drain_per_s": 5})
    settle(board, service)
    told = len(service.updates)
    again = Board(board.settings.values, board.settings.state, "boot2")
    connect(again, service)
    harness.equal(len(service.updates), told + 1)
    harness.equal(again.sync.rejected, {"interval_s": BAD})
    harness.equal(service.reported["rejected"], {"interval_s": BAD})


def test_an_older_delta_is_dropped():
    board, service = in_step()
    service.desire({"interval_s": 30})
    settle(board, service)
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


harness.run(globals())
