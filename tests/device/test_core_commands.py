# heap: 72wk
# Commands as they come, and the documents that say what became of them.

import json

import harness
from firmware import chip, crash
from firmware.command_runner import remember, result
from firmware.core.commands import ACTIONS, parse

KEPT = 16


def read(payload, seen=()):
    return parse(payload, seen)


def test_the_example_of_the_design():
    command = given(action="set_reporting_interval", interval_seconds=30)
    harness.equal(command, (None, "set_reporting_interval", 30, None))


def test_every_action_is_taken():
    for action in ACTIONS:
        ident, named, value, problem = given(action=action, interval_seconds=5, id="x")
        harness.equal((ident, named, problem), ("x", action, None))
        harness.equal(value, 5 if action == "set_reporting_interval" else None)


def test_a_bad_interval_is_refused_in_the_words_of_the_schema():
    for value in (0, -5, 86401, "30", 1.5, True, None, [], {}):
        problem = given(action="set_reporting_interval", interval_seconds=value)[3]
        harness.equal(problem, "interval_seconds: must be a whole number from 1 to 86400")
    problem = given(action="set_reporting_interval", interval_second=3)[3]
    harness.equal(problem, "interval_seconds: must be a whole number from 1 to 86400")


def test_unknown_and_missing_actions():
    unknown = "unknown action, known: set_reporting_interval read_now identify reboot get_log"
    for action in ("rebot", "explode", "", "reboot identify"):
        harness.equal(given(action=action)[3], unknown)
    harness.equal(given(id=1), (1, None, None, unknown))
    for action in (None, 3, True, [], {}, ["reboot"]):
        harness.equal(given(action=action), (None, None, None, unknown))


def test_the_same_id_acts_once():
    payload = b'{"action": "reboot", "id": 4711}'
    harness.equal(read(payload), (4711, "reboot", None, None))
    harness.equal(read(payload, remember((), 4711)), (4711, "reboot", None, True))
    saved = json.loads(json.dumps(remember(None, 4711)))  # across a restart
    harness.equal(read(payload, saved)[3], True)
    harness.equal(read(b'{"action": "reboot", "id": "4711"}', saved)[3], None)  # text is another
    # Without one it acts each time.
    harness.equal(read(b'{"action": "identify", "id": null}'), (None, "identify", None, None))
    harness.equal(read(b'{"action": "identify"}', [None]), (None, "identify", None, None))


def test_the_memory_for_ids_is_bounded():
    seen = None
    for ident in range(100):
        seen = remember(seen, ident)
    harness.equal(seen, list(range(100 - KEPT, 100)))


def test_what_is_remembered_is_a_list_of_its_own():
    # settings.note() compares it with the one before.
    seen = remember((), 1)
    harness.equal((remember(seen, 2), seen), ([1, 2], [1]))


def test_long_ids_are_fewer():
    # They share one small file with the settings, which must still fit.
    for letter in ("x", "\u00fc", "\U0001f41d", "\x01"):
        seen = []
        idents = [letter * 62 + str(n) for n in range(10, 30)]
        for ident in idents:
            seen = remember(seen, ident)
        kept = len(seen)
        harness.equal(seen, idents[-kept:])
        assert 2 <= kept <= KEPT, kept
        size = sum(len(json.dumps(ident).encode()) for ident in seen)
        assert size < 1100, (letter, size)


def test_ids_of_the_wrong_kind_are_refused():
    for wrong in ("", "x" * 65, 1.5, True, False, [], {}, 1 << 53, -(1 << 60), "\ud800"):
        ident, action, _, problem = given(action="reboot", id=wrong)
        assert problem.startswith("id: must be"), wrong
        harness.equal((ident, action), (None, "reboot"))
    for ident in ("x", "x" * 64, "ü" * 64, 0, -1, (1 << 53) - 1):
        harness.equal(given(action="reboot", id=ident)[0], ident)


def test_saved_ids_may_be_anything():
    for saved in (None, 3, "abc", {"a": 1}, True, 1.5):
        harness.equal(remember(saved, 1), [1])
        harness.equal(read(b'{"action": "reboot", "id": 1}', saved)[3], None)
    for saved in ([2, None, "a", [], {}, "x" * 65], ["y" * 2000], list(range(100, 1100))):
        harness.equal(read(b'{"action": "reboot", "id": 1}', saved)[3], None)
        seen = remember(saved, 1)
        harness.equal((seen[-1], read(b'{"action": "reboot", "id": 1}', seen)[3]), (1, True))
        assert len(seen) <= KEPT
    harness.equal(read(b'{"action": "reboot", "x": [[[]]]}')[3], None)


def test_junk_is_answered_without_id():
    junk = (b"", b"reboot", b"[]", b"null", b'"reboot"', b"\xff\x00", b'{"action": "reboot"')
    junk += (b'{"action":"reboot","x":"' + b"y" * 1024 + b'"}',)
    for depth in (4, 200):
        junk += (b'{"action": "reboot", "x": ' + b"[" * depth + b"]" * depth + b"}",)
    for payload in junk:
        wanted = None, None, None, "must be a JSON object of at most 1024 bytes"
        harness.equal(read(payload), wanted)


def test_a_memoryview_is_as_good_as_bytes():
    command = read(memoryview(b'{"action": "read_now"}'))
    harness.equal(command, (None, "read_now", None, None))


def given(**fields):
    return parse(json.dumps(fields).encode(), ())


def test_results():
    command = given(action="reboot", id="job-7")
    harness.equal(
        json.loads(result(*command[:2])),
        {"id": "job-7", "action": "reboot", "ok": True, "reason": None},
    )
    harness.equal(
        json.loads(result(3, "read_now", "no sensor")),
        {"id": 3, "action": "read_now", "ok": False, "reason": "no sensor"},
    )
    ident, action, _, why = given(action="rebot")
    harness.equal(
        json.loads(result(ident, action, why)),
        {
            "id": None,
            "action": "rebot",
            "ok": False,
            "reason": "unknown action, known: " + " ".join(ACTIONS),
        },
    )


def test_results_are_bounded_and_clean():
    command = given(action="\x1b[31m" + "z" * 500, id="ü" * 64)
    document = result(*command[:2], "why" * 100)
    parsed = json.loads(document)
    harness.equal(parsed["action"], "?[31m" + "z" * 35)
    assert len(parsed["reason"]) <= 120 and len(document.encode()) < 400
    assert "log" not in parsed and "crash" not in parsed


def logs(verified, log, trace):
    # What is sent of both, from an id as long as one may be.
    chip.VERIFIED = verified
    chip.buf, chip.at = bytearray(b"\0" + log.encode()), 0
    crash.read = lambda limit: trace[-limit:]
    document = result("ü" * 64, "get_log", None, crash.logs("ü" * 64))
    assert len(document.encode()) <= (2560 if verified else 1024), len(document.encode())
    parsed = json.loads(document)
    return parsed["log"], parsed["crash"]


def test_both_logs_fit_what_a_board_sends():
    # Whole lines, the newest of them; the crashes give way first.
    line, trace = '21.37 °C "a"\n', '  File "x.py", line 7, in y\n'
    for verified, size in ((True, 1024), (False, 256)):
        log = line * (size // len(line.encode()))
        harness.equal(logs(verified, log, trace), (log, trace))
        harness.equal(logs(verified, log, ""), (log, ""))
        kept, crash = logs(verified, log, trace * (size // 18))
        harness.equal(kept, log)
        assert crash and crash == trace * (len(crash) // len(trace)), crash
        harness.equal(logs(verified, "\x01" * size, trace), ("", ""))  # six bytes each
    kept, crash = logs(False, "\x01" + line * 60, trace)
    assert kept == line * (len(kept) // len(line)) and not crash, (kept, crash)
