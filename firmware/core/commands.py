# Commands from the cloud: parsed, checked, and remembered, so that each acts once. On demand.
#
# A command is a tuple: (id, action, value, problem). The id is text, a whole number, or None; the
# value is an interval; with a problem it must not be done, and its result says why.
#
# AWS delivers at least once, with another packet id and no DUP flag (aws-facts 1.2): only the id
# inside the payload shows a repetition. It is remembered before the command is done, so that a
# reboot in the middle cannot be repeated; a command without id acts each time it comes.

import json

from firmware.core.text import load, printable, utf8_len

ACTIONS = ("set_reporting_interval", "read_now", "identify", "reboot", "get_log")


def parse(payload, seen):
    # A command, or None for one that is done already. seen: as remember() made it, or what was
    # read from flash.
    try:
        document = load(payload if len(payload) <= 1024 else b"", 4)
    except (ValueError, TypeError):
        return None, None, None, "must be a JSON object of at most 1024 bytes"
    ident = document.get("id")
    action = document.get("action")
    value = problem = None
    if not isinstance(action, str):
        action = None
        problem = "action: must be text" if "action" in document else "action: is missing"
    elif action not in ACTIONS:
        from firmware.core.schema import did_you_mean

        problem = "unknown action" + did_you_mean(action, ACTIONS)
        action = printable(action, 40)
    elif action == ACTIONS[0]:
        from firmware.core.schema import check

        problem = "is missing"
        if "interval_seconds" in document:
            value, problem = check("interval_s", document["interval_seconds"], {})
        problem = problem and "interval_seconds: " + problem
    if ident is not None and not is_id(ident):
        return None, action, None, "id: must be text of 1 to 64 characters or a whole number"
    return None if ident in recall(seen) else (ident, action, value, problem)


def remember(seen, ident):
    # The ids to be saved before the command is done, oldest first: 16, or fewer when they are
    # long, because the settings share their file.
    seen = recall(seen) + [ident]
    while len(seen) > 16 or len(json.dumps(seen).encode()) > 1088:
        seen.pop(0)
    return seen


def recall(seen):
    # What was saved may be anything after a bad write.
    return [ident for ident in seen[-16:] if is_id(ident)] if isinstance(seen, list) else []


def is_id(value):
    if isinstance(value, str):
        return 1 <= len(value) <= 64 and utf8_len(value) is not None
    return type(value) is int and abs(value) < 1 << 53  # further up, readers of JSON disagree


def result(command, problem=None, log=None):
    # One document for every outcome; problem says why it was not done. log: the text asked for.
    ident, action, _, wrong = command
    why = wrong or problem
    told = {"id": ident, "action": action, "ok": not why, "reason": why and why[:120]}
    if log is not None:
        told["log"] = log[-1200:]
    return json.dumps(told).encode()
