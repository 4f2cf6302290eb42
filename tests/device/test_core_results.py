# The documents that say what became of a command.

import json

import harness
from firmware.command_runner import result
from firmware.core.commands import ACTIONS, parse


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
    document = result(*command[:2], "why" * 100, 'line "1"\n' * 140)
    parsed = json.loads(document)
    harness.equal(parsed["action"], "?[31m" + "z" * 35)
    assert len(parsed["reason"]) <= 120 and len(parsed["log"]) == 1200
    assert parsed["log"].endswith('line "1"\n') and len(document.encode()) < 2500
    parsed = json.loads(result(None, "get_log", "why" * 100, ""))
    harness.equal((len(parsed["reason"]), parsed["log"]), (120, ""))


harness.run(globals())
