# heap: 72wk
# Bad desired values, nested ones, and changes made at the device.

import harness
from shadow_setup import (
    BAD,
    SETTINGS,
    Board,
    ShadowService,
    connect,
    desire,
    in_step,
    message,
    settle,
)


def restart(board):
    # The same board after a power cut.
    return Board(board.settings.values, board.settings.state, "boot2")


def test_a_bad_value_is_named_once_with_the_reason():
    board, service = in_step({"interval_s": 0})
    harness.equal(service.reported["rejected"], {"interval_s": BAD})
    harness.equal(service.reported["interval_s"], 60)
    # AWS sends the delta again after each update that leaves it open.
    board.report(rssi=-60)
    settle(board, service)
    harness.equal(len(service.updates), 2)
    harness.equal(board.log.lines, ["shadow: interval_s rejected: " + BAD])


def test_a_rejection_is_cleared():
    # By another value, by the one in force, which brings no delta, and when nothing is desired.
    for patch, interval_s in (
        ({"interval_s": 45}, 45),
        ({"interval_s": 60}, 60),
        ({"interval_s": None}, 60),
        (None, 60),
    ):
        for bad in (0, "soon"):
            board, service = in_step({"interval_s": bad})
            harness.equal(service.reported["rejected"], {"interval_s": BAD})
            desire(board, service, patch)
            assert "rejected" not in service.reported, (patch, service.reported)
            told = patch, service.reported["interval_s"], len(service.updates)
            harness.equal(told, (patch, interval_s, 2))


def test_ministack_leaves_a_section_out_that_was_set_to_null():
    board, service = in_step({"interval_s": 0})
    service.desired = {}
    board.receive(b"update/accepted", message(version=9, state={}, clientToken="x"))
    settle(board, service)
    assert "rejected" not in service.reported, service.reported


def test_our_own_update_asks_nothing():
    board, service = in_step({"drain_per_s": 0})
    board.command("interval_s", 10)
    settle(board, service)
    harness.equal((service.asked, service.desired["interval_s"]), (0, 10))


def test_one_of_two_bad_values_taken_back():
    board, service = in_step({"interval_s": 0, "drain_per_s": True})
    harness.equal(sorted(service.reported["rejected"]), ["drain_per_s", "interval_s"])
    desire(board, service, {"interval_s": None})
    harness.equal(sorted(service.reported["rejected"]), ["drain_per_s"])


def test_a_value_taken_back_before_it_was_looked_at():
    board, service = in_step()
    service.desire({"interval_s": 0})
    desire(board, service, {"interval_s": None})
    assert "rejected" not in service.reported, service.reported


def test_a_value_taken_back_before_it_was_reported():
    board, service = in_step()
    service.desire({"interval_s": 0})
    board.hear(service)
    board.session.waiting = (-1,)  # the report has to wait
    board.step()
    service.desire({"interval_s": None})
    board.hear(service)
    board.session.waiting = ()
    settle(board, service)
    assert "rejected" not in service.reported, service.reported


def test_unknown_keys_are_rejected():
    board, service = in_step({"intervall_s": 30, "zebra": {"deep": {"deeper": 1}}})
    wanted = {"intervall_s": "unknown setting", "zebra": "unknown setting"}
    harness.equal(service.reported["rejected"], wanted)


def test_an_unknown_key_in_step_is_not_open():
    # The AWS console makes new shadows with {"welcome": "aws-iot"} on both sides.
    board, service = Board(), ShadowService()
    service.desire({"welcome": "aws-iot"})
    service.tamper({"welcome": "aws-iot"})
    del service.out[:]
    connect(board, service)
    assert "rejected" not in service.reported, service.reported


def test_nested_values_are_merged_and_checked_whole():
    board, service = in_step({"i2c": {"scl": 5}})
    harness.equal(service.reported["i2c"], {"sda": 21, "scl": 5})
    desire(board, service, {"i2c": {"sda": -1}})
    harness.equal(service.reported["rejected"], {"i2c": "sda: no pin"})
    harness.equal(service.reported["i2c"], {"sda": 21, "scl": 5})
    desire(board, service, {"i2c": {"sda": None}})
    assert "rejected" not in service.reported, service.reported


def test_a_good_value_that_fails_is_rejected_until_it_changes():
    board, service = in_step()
    service.desire({"sensor": "sht3x"})
    board.settings.refuse = lambda key: "no sht3x on the bus"
    settle(board, service)
    harness.equal(service.reported["rejected"], {"sensor": "no sht3x on the bus"})
    told = len(service.updates)
    service.desire({"drain_per_s": 7})  # the delta names the sensor again
    board.settings.refuse = lambda key: "again" if key == "sensor" else None
    settle(board, service)
    harness.equal(service.reported["rejected"], {"sensor": "no sht3x on the bus"})
    harness.equal(len(service.updates), told + 1)
    service.desire({"sensor": "mcp9808"})
    board.settings.refuse = None
    settle(board, service)
    harness.equal(service.reported["sensor"], "mcp9808")
    assert "rejected" not in service.reported


def test_a_new_reason_is_reported_though_a_get_comes_between():
    board, service = in_step({"i2c": 7, "drain_per_s": 0})
    desire(board, service, {"i2c": {"sda": 0}})
    assert service.asked
    harness.equal(service.reported["rejected"], {"i2c": "sda: no pin", "drain_per_s": BAD})


def test_a_good_value_that_failed_is_tried_again_in_the_next_session():
    board, service = in_step()
    service.desire({"sensor": "sht3x"})
    board.settings.refuse = lambda key: "not done: no memory"
    settle(board, service)
    harness.equal(service.reported["rejected"], {"sensor": "not done: no memory"})
    board.settings.refuse = None
    connect(board, service)
    harness.equal(service.reported["sensor"], "sht3x")
    assert "rejected" not in service.reported


def test_a_command_goes_up_as_desired_and_reported_together():
    board, service = in_step({"interval_s": 30})
    board.command("interval_s", 10)
    harness.equal(board.settings.state, {"local": {"interval_s": 30}})
    settle(board, service)
    wanted = dict(SETTINGS)
    wanted.update({"interval_s": 10, "rejected": None})
    state = service.updates[-1]["state"]
    harness.equal(state, {"desired": {"interval_s": 10}, "reported": wanted})
    harness.equal((board.settings.state, service.desired), ({}, {"interval_s": 10}))
    connect(board, service)
    harness.equal(service.reported["interval_s"], 10)
    assert "desired" not in service.updates[-1]["state"]


def test_a_command_that_changes_nothing_is_no_change():
    board, service = in_step()
    board.command("interval_s", 60)
    settle(board, service)
    harness.equal((service.updates, board.settings.state), ([], {}))


def test_a_command_while_the_update_of_the_last_one_is_under_way():
    board, service = in_step()
    board.command("interval_s", 10)
    board.send(service)
    board.command("interval_s", 20)
    settle(board, service)
    harness.equal((service.desired, service.reported["interval_s"]), ({"interval_s": 20}, 20))
    harness.equal(board.settings.state, {})


def test_a_command_before_a_power_cut_is_not_undone_by_the_old_value():
    # Nor is a second one: the value from before the first is kept.
    for commands in ((10,), (10, 20)):
        board, service = in_step({"interval_s": 30})
        for interval_s in commands:
            board.command("interval_s", interval_s)
        again = restart(board)
        connect(again, service)
        now = service.desired, service.reported["interval_s"]
        harness.equal(now, ({"interval_s": interval_s}, interval_s))
        harness.equal(again.settings.state, {})


def test_what_was_saved_of_commands_may_be_anything():
    for local in (None, 3, [], "x", {}, {"wifi": 1, "zebra": None}):
        board, service = Board(state={"local": local}), ShadowService()
        service.desire({"interval_s": 30})
        connect(board, service)
        harness.equal((service.desired, service.reported["interval_s"]), ({"interval_s": 30}, 30))


def test_a_newer_value_is_not_overwritten_while_it_waits():
    board, service = in_step()
    board.command("interval_s", 10)
    service.desire({"interval_s": 99})
    board.hear(service)
    board.step()
    board.step()
    (update,) = board.said(b"update")
    assert "desired" not in update["state"]
    harness.equal(update["state"]["reported"]["interval_s"], 99)


def test_a_value_newer_than_the_command_wins():
    for desired in (99, 10):
        board, service = in_step({"interval_s": 30})
        board.command("interval_s", 10)
        desire(board, service, {"interval_s": desired})
        now = service.desired, service.reported["interval_s"]
        harness.equal(now, ({"interval_s": desired}, desired))
        harness.equal(board.settings.state, {})


def test_a_bad_value_newer_than_the_command_is_rejected_and_stays():
    board, service = in_step()
    board.command("interval_s", 10)
    desire(board, service, {"interval_s": 0})
    harness.equal((service.desired, service.reported["interval_s"]), ({"interval_s": 0}, 10))
    harness.equal(service.reported["rejected"], {"interval_s": BAD})


def test_a_command_overtakes_a_desired_value_that_was_not_looked_at():
    board, service = in_step()
    service.desire({"interval_s": 99, "drain_per_s": 5})
    board.hear(service)
    board.command("interval_s", 10)
    settle(board, service)
    harness.equal(service.desired, {"interval_s": 10, "drain_per_s": 5})
    harness.equal((service.reported["interval_s"], service.reported["drain_per_s"]), (10, 5))


def test_a_command_clears_the_rejection_of_its_setting():
    board, service = in_step({"interval_s": 0})
    board.command("interval_s", 10)
    settle(board, service)
    assert "rejected" not in service.reported, service.reported
    board, service = in_step({"interval_s": 0, "drain_per_s": 0})
    board.command("interval_s", 10)
    settle(board, service)
    harness.equal(service.reported["rejected"], {"drain_per_s": BAD})
    harness.equal(service.desired, {"interval_s": 10, "drain_per_s": 0})
