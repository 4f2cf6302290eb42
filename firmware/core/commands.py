# Commands from the cloud: parsed, checked, and remembered, so that each acts once. On demand.
#
# A command is a tuple: (id, action, value, why). The id is text, a whole number, or None; the
# value is an interval; with a reason (why) it must not be done. AWS delivers at least once, and
# without a DUP flag (aws-facts 1.2): only the id shows a repetition. It is remembered before the
# command is done, so that a reboot in the middle cannot be repeated.

import json

from firmware.core.text import load, printable, utf8_len

ACTIONS = ("set_reporting_interval", "read_now", "identify", "reboot", "get_log")


def parse(payload, seen):
    # A command, or None for one that is done already. seen: as remember() made it, or what was
    # read from flash, which may be anything.
    try:
        document = load(payload if len(payload) <= 1024 else b"", 4)
    except (ValueError, TypeError):
        return None, None, None, "must be a JSON object of at most 1024 bytes"
    ident, action, value, why = document.get("id"), document.get("action"), None, None
    if action not in ACTIONS:
        why = "unknown action, known: " + " ".join(ACTIONS)
        action = printable(action, 40) if isinstance(action, str) else None
    elif action == ACTIONS[0]:
        from firmware.core.schema import check

        value, why = check("interval_s", document.get("interval_seconds"), {})
        why = why and "interval_seconds: " + why
    sound = type(ident) is int and abs(ident) < 1 << 53  # further up, readers of JSON disagree
    sound = sound or (isinstance(ident, str) and len(ident) <= 64 and utf8_len(ident))
    if sound and isinstance(seen, list) and ident in seen:
        return None
    if not sound and ident is not None:
        ident, why = None, "id: must be text of 1 to 64 characters or a whole number"
    return ident, action, value, why


def remember(seen, value):
    # The ids to be saved before the command is done, oldest first: 16, or fewer when they are
    # long, because the settings share their file.
    seen = (seen if isinstance(seen, list) else []) + [value]
    while len(seen) > 16 or len(json.dumps(seen).encode()) > 1088:
        seen.pop(0)
    return seen


def result(ident, action, why=None, log=None):
    # One document for every outcome, as text; why it was not done. log: what was asked for.
    document = {"id": ident, "action": action, "ok": not why, "reason": why and why[:120]}
    if log is not None:
        document["log"] = log[-1200:]
    return json.dumps(document)
