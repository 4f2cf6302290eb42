import json

import harness
from firmware.core.commands import ACTIONS, KEPT, Commands, recall


def check(key, value):
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 86400
    return value, None if good and key == "interval_s" else "must be a whole number"


def given(**fields):
    return Commands(check).receive(json.dumps(fields).encode())


def test_the_example_of_the_design():
    command = given(action="set_reporting_interval", interval_seconds=30)
    harness.equal((command.problem, command.action), (None, "set_reporting_interval"))
    harness.equal((command.interval_s, command.ident), (30, None))


def test_every_action_is_taken():
    for action in ACTIONS:
        command = given(action=action, interval_seconds=5, id="x")
        harness.equal((command.problem, command.action, command.ident), (None, action, "x"))


def test_a_bad_interval_is_refused_in_the_words_of_the_table():
    for value in (0, -5, 86401, "30", 1.5, True, None, [], {}):
        command = given(action="set_reporting_interval", interval_seconds=value)
        harness.equal(command.problem, "interval_seconds: must be a whole number")
    command = given(action="set_reporting_interval", interval_second=3)
    harness.equal(command.problem, "interval_seconds: is missing")


def test_unknown_and_missing_actions():
    harness.equal(given(action="rebot").problem, 'unknown action, did you mean "reboot"?')
    harness.equal(given(action="explode").problem, "unknown action")
    harness.equal(given(id=1).problem, "action: is missing")
    for action in (None, 3, True, [], {}, ["reboot"]):
        command = given(action=action)
        harness.equal((command.problem, command.action), ("action: must be text", None))


def test_the_same_id_acts_once():
    commands = Commands(check)
    payload = b'{"action": "reboot", "id": "job-7"}'
    first = commands.receive(payload)
    assert commands.remember(first)
    harness.equal((commands.receive(payload), commands.repeated), (None, 1))


def test_the_same_id_acts_once_across_a_restart():
    commands = Commands(check)
    payload = b'{"action": "reboot", "id": 4711}'
    commands.remember(commands.receive(payload))
    saved = json.loads(json.dumps(commands.seen))
    again = Commands(check, saved)
    assert again.receive(payload) is None
    assert again.receive(b'{"action": "reboot", "id": "4711"}') is not None  # text is another


def test_an_id_that_was_refused_may_come_again_mended():
    commands = Commands(check)
    assert commands.receive(b'{"action": "rebot", "id": 1}').problem
    assert commands.receive(b'{"action": "reboot", "id": 1}').problem is None


def test_a_command_without_id_acts_each_time():
    commands = Commands(check)
    for _ in range(2):
        command = commands.receive(b'{"action": "identify", "id": null}')
        harness.equal((command.problem, commands.remember(command)), (None, False))
    harness.equal(commands.seen, [])


def test_the_memory_for_ids_is_bounded():
    commands = Commands(check)
    for ident in range(100):
        commands.remember(given(action="reboot", id=ident))
    harness.equal(commands.seen, list(range(100 - KEPT, 100)))


def test_long_ids_are_fewer():
    # They share one small file with the settings, which must still fit.
    for letter in ("x", "\u00fc", "\U0001f41d", "\x01"):
        commands = Commands(check)
        idents = [letter * 62 + str(n) for n in range(10, 30)]
        for ident in idents:
            commands.remember(given(action="reboot", id=ident))
        kept = len(commands.seen)
        harness.equal(commands.seen, idents[-kept:])
        assert 2 <= kept <= KEPT, kept
        size = sum(len(json.dumps(ident).encode()) for ident in commands.seen)
        assert size < 1100, (letter, size)


def test_ids_of_the_wrong_kind_are_refused():
    for ident in ("", "x" * 65, 1.5, True, False, [], {}, 1 << 53, -(1 << 60), "\ud800"):
        command = given(action="reboot", id=ident)
        assert command.problem.startswith("id: must be"), ident
        harness.equal(command.ident, None)
    for ident in ("x", "x" * 64, "ü" * 64, 0, -1, (1 << 53) - 1):
        harness.equal(given(action="reboot", id=ident).ident, ident)


def test_saved_ids_may_be_anything():
    for saved in (None, 3, "abc", {"a": 1}, True, 1.5):
        harness.equal(recall(saved), [])
    harness.equal(recall([1, None, "a", [], {}, True, "x" * 65, 2]), [1, "a", 2])
    harness.equal(len(recall(list(range(1000)))), KEPT)


def test_junk_is_answered_without_id():
    commands = Commands(check)
    junk = (b"", b"reboot", b"[]", b"null", b'"reboot"', b"\xff\x00", b'{"action": "reboot"')
    for payload in junk + (b'{"action":"reboot","x":"' + b"y" * 1024 + b'"}',):
        command = commands.receive(payload)
        harness.equal((command.ident, command.action), (None, None))
        assert command.problem
    deep = b'{"action": "reboot", "x": ' + b"[" * 200 + b"]" * 200 + b"}"
    assert commands.receive(deep).problem
    harness.equal(commands.junk, len(junk) + 2)


def test_a_memoryview_is_as_good_as_bytes():
    command = Commands(check).receive(memoryview(b'{"action": "read_now"}'))
    harness.equal((command.problem, command.action), (None, "read_now"))


harness.run(globals())
