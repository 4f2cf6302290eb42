# What a command may be, for the board, which loads it on demand, and for tools/aws/command.py.

from firmware.core.text import load, printable

ACTIONS = ("set_reporting_interval", "read_now", "identify", "reboot", "get_log")


def parse(payload, seen):
    # (id: text, a whole number or None, action, interval, why it must not be done; True: because
    # it has been). seen: ids, or what was read from flash, which may be anything.
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
        why = True
    if not sound and ident is not None:
        ident, why = None, "id: must be text of 1 to 64 characters or a whole number"
    return ident, action, value, why


def utf8_len(text):
    # None when it holds half of a surrogate pair: JSON escapes can make one, and UTF-8 has no
    # form for it (0xED and then 0xA0 or more is what it would be, as MicroPython makes it).
    data = text.encode("utf-8", "surrogatepass")
    halves = any(a == 0xED and b >= 0xA0 for a, b in zip(data, data[1:]))
    return None if halves else len(data)
