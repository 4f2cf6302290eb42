# What comes from outside, made harmless before it is looked at. On demand; tools/ use it as well.
# Text is worked on as bytes: MicroPython keeps every single character that text was ever indexed
# or iterated to, for good (its string intern pool), and whoever can send text could so fill it.

import json


def load(payload, limit):
    # The object in payload (a memoryview, or bytes); ValueError or TypeError for anything else.
    # Depth is bounded before it is parsed: what walks it later may recurse. MicroPython before
    # 1.26 takes a document that was cut off for a whole one, so all that opens must close.
    state = [0] * 6
    end = squeeze(payload, 0, len(payload), state)
    depth, text, _, _, _, deepest = state
    if depth or text or deepest > limit:
        raise ValueError
    document = json.loads(payload[:end])
    if not isinstance(document, dict):
        raise ValueError
    return document


def squeeze(buf, at, end, state):
    # Takes out of buf[at:end], the next part of a JSON document, what the member "metadata" of the
    # object holds; gives where the rest ends now. AWS sends a timestamp for each key of a shadow:
    # that is more than half of it. state: 6 zeros before the first part.
    depth, text, escaped, matched, skip, deepest = state
    to = at
    for i in range(at, end):
        byte = buf[i]
        if escaped:
            escaped = 0
        elif text:
            if byte == 0x22:
                text = 0
                matched = -1 if matched == 8 else 99  # the name was "metadata"
            else:
                escaped = byte == 0x5C
                matched += 1 if matched < 8 and byte == b"metadata"[matched] else 99
        elif byte == 0x22:
            text = 1
            matched = 0 if depth == 1 else 99
        elif byte >= 0x5B:  # no bracket has a lower code
            depth += (byte in b"{[") - (byte in b"}]")
            deepest = max(deepest, depth)
            skip = skip and depth > 1
        if not skip:
            if to < i:
                buf[to] = byte
            to += 1
        if depth == 2 and matched == -1:
            skip, matched = 1, 99
    state[:] = depth, text, escaped, matched, skip, deepest
    return to


def raw(text):
    # UTF-8, but half a surrogate pair passes, as it always does in MicroPython.
    return text.encode("utf-8", "surrogatepass")


def utf8_len(text):
    # None when it holds half of a surrogate pair: JSON escapes can make one, and UTF-8 has no
    # form for it (0xED and then 0xA0 or more is what it would be).
    data = raw(text)
    halves = any(a == 0xED and b >= 0xA0 for a, b in zip(data, data[1:]))
    return None if halves else len(data)


def printable(text, limit):
    # A key from outside goes to a log line, to a terminal and into JSON.
    data = raw(text[:limit])[:limit]
    return bytes(b if 32 < b < 127 else 0x3F for b in data).decode() or "(empty)"
