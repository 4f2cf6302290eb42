# heap: 76wk
# What stays in force and what goes when desired values are taken back, the shadow is deleted, or
# config.json has changed.

import harness
from shadow_setup import BAD, SETTINGS, Board, ShadowService, connect, desire, in_step, settle


def overridden(desired):
    # In step, with these desired values in force.
    board, service = in_step()
    board.report(board_id="aa")
    desire(board, service, desired)
    harness.equal(sorted(board.settings.saved), sorted(desired))
    service.asked = 0
    del service.updates[:]
    return board, service


def restart(board, **local):
    again = Board(SETTINGS, board.settings.state, "boot2")
    again.settings.saved = dict(board.settings.saved)
    again.settings.values.update(board.settings.saved)
    again.facts.update(board.facts)
    again.sync.local.update(local)
    return again


def test_null_takes_an_override_back():
    for patch in (
        {"interval_s": None},
        {"desired": None}["desired"],
        {"interval_s": None, "z": 1},
    ):
        board, service = overridden({"interval_s": 30})
        desire(board, service, patch)
        harness.equal((board.settings.values["interval_s"], board.settings.saved), (60, {}))
        harness.equal((service.reported["interval_s"], service.asked), (60, 1))
        assert "shadow: interval_s is now 60" in board.log.lines, board.log.lines


def test_null_with_its_delta_in_any_order():
    for turned in (False, True):
        board, service = overridden({"interval_s": 30})
        service.desire({"interval_s": None, "drain_per_s": 5})
        if turned:
            service.out.reverse()
        settle(board, service)
        harness.equal(board.settings.saved, {"drain_per_s": 5})
        harness.equal((service.reported["interval_s"], service.reported["drain_per_s"]), (60, 5))


def test_null_leaves_other_rejections():
    board, service = overridden({"interval_s": 30})
    desire(board, service, {"drain_per_s": 0})
    desire(board, service, {"interval_s": None})
    harness.equal(service.reported["rejected"], {"drain_per_s": BAD})
    harness.equal(service.reported["interval_s"], 60)


def test_null_and_a_new_value_right_after():
    board, service = overridden({"interval_s": 30})
    service.desire({"interval_s": None})
    desire(board, service, {"interval_s": 40})
    harness.equal((board.settings.values["interval_s"], service.reported["interval_s"]), (40, 40))


def test_null_for_what_is_not_overridden_asks_nothing():
    board, service = overridden({"interval_s": 30})
    desire(board, service, {"sensor": None, "zebra": None})
    harness.equal((service.asked, service.updates), (0, []))


def test_taken_back_while_the_board_was_away():
    for boots in range(2):
        board, service = overridden({"interval_s": 30, "drain_per_s": 5})
        service.desire({"interval_s": None})
        del service.out[:]
        board = restart(board) if boots else board
        connect(board, service)
        harness.equal(board.settings.saved, {"drain_per_s": 5})
        harness.equal(
            (board.settings.values["interval_s"], service.reported["interval_s"]), (60, 60)
        )
        harness.equal(service.desired, {"drain_per_s": 5})


def test_a_shadow_that_is_gone_keeps_the_overrides_and_gets_them_as_desired():
    board, service = overridden({"interval_s": 30})
    service.delete()
    again = restart(board)
    connect(again, service)
    harness.equal((again.settings.values["interval_s"], service.desired), (30, {"interval_s": 30}))
    connect(again, service)
    harness.equal((again.settings.saved, again.sync.local), ({"interval_s": 30}, {}))


def test_a_shadow_deleted_while_connected_too():
    # Its versions go on counting for 48 hours (aws-facts 4.4).
    board, service = overridden({"interval_s": 30})
    service.desired, service.reported, service.exists = {}, {}, False
    board.report(rssi=-1)  # makes it anew
    settle(board, service)
    board.sync.get_due = True
    settle(board, service)
    harness.equal((board.settings.values["interval_s"], service.desired), (30, {"interval_s": 30}))


def test_a_shadow_made_anew_by_a_report_and_then_a_restart():
    board, service = overridden({"interval_s": 30})
    service.desired, service.reported = {}, {}
    board.report(rssi=-1)
    settle(board, service)
    again = restart(board)
    connect(again, service)
    harness.equal((again.settings.values["interval_s"], service.desired), (30, {"interval_s": 30}))
    service.desire({"interval_s": None})  # from now on it is one of ours again
    del service.out[:]
    again = restart(again)
    connect(again, service)
    harness.equal((again.settings.saved, again.settings.values["interval_s"]), ({}, 60))


def test_an_answer_that_was_overtaken_takes_nothing_back():
    board, service = overridden({})
    board.sync.get_due = True
    board.send(service)
    answer = service.out.pop()
    service.desire({"interval_s": 30})
    board.hear(service)
    board.step()
    service.out.append(answer)
    board.hear(service)
    board.step()
    harness.equal(board.settings.values["interval_s"], 30)
    settle(board, service)
    harness.equal((board.settings.saved, board.sync.local), ({"interval_s": 30}, {}))


def test_a_command_that_is_not_in_desired_yet_is_not_taken_back():
    board, service = in_step()
    board.command("interval_s", 10)
    service.tamper({"zebra": 1})
    connect(board, service)
    harness.equal((board.settings.values["interval_s"], service.desired), (10, {"interval_s": 10}))


def test_a_report_that_is_refused_is_not_one_that_has_landed():
    for code in (403, 400, 413):
        board, service = overridden({"interval_s": 30})
        service.refuse = [code] * 2
        board.command("interval_s", 10)
        settle(board, service)
        told = len(service.updates)
        board.pass_s(1000)
        harness.equal((len(service.updates), board.sync.local), (told, {"interval_s": 30}))
        del service.refuse[:]
        connect(board, service)
        harness.equal(board.settings.values["interval_s"], 10)
        harness.equal((service.desired, board.sync.local), ({"interval_s": 10}, {}))


def test_a_null_older_than_a_command_does_not_take_it_back():
    board, service = overridden({"interval_s": 30})
    service.desire({"interval_s": None})
    board.command("interval_s", 10)
    settle(board, service)
    harness.equal((board.settings.values["interval_s"], service.desired), (10, {"interval_s": 10}))


def test_a_changed_config_json_wins_over_what_was_desired_before():
    # config.py notes it as a change made at the device; of an object a part may be desired.
    board, service = overridden({"interval_s": 30, "i2c": {"scl": 5}})
    again = restart(board, interval_s=30, i2c={"sda": 21, "scl": 5})
    again.settings.saved.clear()
    again.settings.values.update({"interval_s": 45, "i2c": {"sda": 18, "scl": 19}})
    connect(again, service)
    wanted = {"interval_s": 45, "i2c": {"sda": 18, "scl": 19}}
    harness.equal(service.desired, wanted)
    harness.equal((service.reported["interval_s"], service.reported["i2c"]), (45, wanted["i2c"]))
    harness.equal((again.settings.saved, again.sync.local), ({}, {}))


def test_a_value_desired_since_wins_over_a_changed_config_json():
    board, service = overridden({"interval_s": 30})
    service.desire({"interval_s": 20})
    del service.out[:]
    again = restart(board, interval_s=30)
    again.settings.saved.clear()
    again.settings.values["interval_s"] = 45
    connect(again, service)
    harness.equal((again.settings.values["interval_s"], service.desired), (20, {"interval_s": 20}))


def test_a_changed_config_json_desires_nothing_that_nobody_has_desired():
    board, service = in_step()
    again = restart(board, interval_s=60)
    again.settings.values["interval_s"] = 45
    connect(again, service)
    harness.equal((service.desired, service.reported["interval_s"]), ({}, 45))
    harness.equal(again.sync.local, {})


def test_a_value_that_was_bad_is_named_until_it_is_not_desired_any_more():
    for patch in ({"sensor": None}, {"sensor": "auto"}, {"sensor": "mcp9808"}):
        board, service = in_step()
        board.settings.state["rejected"] = {"sensor": ["sht3x", "restored: why"]}
        board.settings.refuse = lambda key: "restored: why" if key == "sensor" else None
        desire(board, service, {"sensor": "sht3x"})
        connect(board, service)
        harness.equal(service.reported["rejected"], {"sensor": "restored: why"})
        assert "rejected" in board.settings.state
        board.settings.refuse = None
        desire(board, service, patch)
        assert "rejected" not in service.reported and "rejected" not in board.settings.state


def crashed(board, key, value):
    # As overrides.py leaves it: what was on trial is out again, and not tried again.
    again = restart(board)
    again.settings.values[key] = SETTINGS[key]
    again.settings.saved.pop(key, None)
    again.settings.state["rejected"] = {key: [value, "restored: why"]}

    def refuse(name):
        bad = again.settings.state.get("rejected", {}).get(name)
        return bad and bad[1]

    again.settings.refuse = refuse
    return again


def test_a_delta_before_the_first_answer_does_not_bring_a_bad_value_back():
    board, service = overridden({"interval_s": 30})
    service.desire({"drain_per_s": 5})  # while the board is off: its delta is queued
    again = crashed(board, "interval_s", 30)
    again.sync.connected()
    again.hear(service)
    settle(again, service)
    connect(again, service)
    harness.equal(
        (again.settings.values["interval_s"], again.settings.values["drain_per_s"]), (60, 5)
    )
    harness.equal(service.reported["rejected"], {"interval_s": "restored: why"})


def test_a_bad_value_that_nobody_desires_is_named_once():
    # It came by command; or it was replaced while the board was away.
    for desired in ({}, {"interval_s": 60}):
        board, service = overridden({"drain_per_s": 5})
        desire(board, service, desired)
        again = crashed(board, "interval_s", 30)
        service.desire({"drain_per_s": 6})
        connect(again, service)
        harness.equal(service.reported["rejected"], {"interval_s": "restored: why"})
        assert again.settings.set("interval_s", 30)  # the same command again
        connect(again, service)
        assert "rejected" not in service.reported and "rejected" not in again.settings.state


def test_a_bad_object_is_named_while_a_part_of_it_is_desired():
    board, service = overridden({"interval_s": 30})
    again = crashed(board, "i2c", {"sda": 4, "scl": 5})
    service.desire({"i2c": {"sda": 4}})
    for _ in range(3):
        connect(again, service)
        harness.equal(service.reported["rejected"], {"i2c": "restored: why"})
    desire(again, service, {"i2c": {"sda": 21}})
    assert "rejected" not in service.reported and "rejected" not in again.settings.state


def test_reported_that_was_deleted_is_answered_once_a_version():
    board, service = overridden({"interval_s": 30})
    for n in range(1, 4):
        service.tamper(None)
        service.out *= 2
        settle(board, service)
        harness.equal((len(service.updates), service.reported["interval_s"]), (n, 30))


def test_a_version_that_was_lost_is_asked_for():
    board, service = overridden({"interval_s": 30})
    service.desire({"interval_s": None})
    del service.out[:]  # lost
    board.report(rssi=-1)
    settle(board, service)
    harness.equal((service.asked, board.settings.values["interval_s"]), (1, 60))


def test_every_six_hours_it_asks_for_everything():
    board, service = in_step()
    for asked in range(3):
        harness.equal(service.asked, asked)
        for _ in range(6 * 60):
            harness.equal(service.asked, asked)
            board.pass_s(60)
            settle(board, service)
    # Besides the hourly reports, nothing.
    assert 17 <= len(service.updates) <= 19, len(service.updates)


def any_value(key, value, values):
    return value, None


def debugging():
    # A board whose level the cloud has set.
    board, service = Board(LEVELS, table=any_value), ShadowService()
    connect(board, service)
    desire(board, service, {"log_level": "debug"})
    harness.equal((board.settings.values, service.reported["log_level"]), (DEBUG, "debug"))
    return board, service


def rebooted():
    # As config.py leaves it: the level is forgotten, what is desired is older.
    return Board(LEVELS, {"local": {"log_level": "debug"}}, "boot2", any_value)


LEVELS = {"interval_s": 60, "log_level": "info"}
DEBUG = {"interval_s": 60, "log_level": "debug"}


def test_after_a_restart_the_level_is_not_desired_any_more():
    _, service = debugging()
    board = rebooted()
    del service.updates[:]
    connect(board, service)
    harness.equal((board.settings.given, board.settings.values), ([], LEVELS))
    harness.equal((service.desired, service.reported["log_level"]), ({}, "info"))
    harness.equal(service.updates[0]["state"]["desired"], {"log_level": None})
    harness.equal((board.sync.local, board.settings.state.get("local")), ({}, None))
    settle(board, service)
    service.desire({"log_level": "debug"})  # a new one counts
    settle(board, service)
    harness.equal((board.settings.values, service.reported["log_level"]), (DEBUG, "debug"))


def test_a_level_that_was_desired_while_the_board_was_away_counts():
    board, service = Board(LEVELS, table=any_value), ShadowService()
    connect(board, service)
    service.desire({"log_level": "debug"})
    del service.out[:]
    connect(board, service)
    harness.equal((board.settings.values, service.reported["log_level"]), (DEBUG, "debug"))


def test_a_level_is_taken_back():
    board, service = debugging()
    desire(board, service, {"log_level": None})
    harness.equal((board.settings.values, service.reported["log_level"]), (LEVELS, "info"))
