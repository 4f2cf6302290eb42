# What comes from outside, made harmless before it is looked at. On demand; tools/ use it as well.
# Text is worked on as bytes: MicroPython keeps every single character that text was ever indexed
# or iterated to, for good (its string intern pool), and whoever can send text could so fill it.

import json

# Settings that are about more than a plain reading (core/optional.py). Most boards have none of
# them: then there is no such key in the settings in force.
RARE = " samples deadband heartbeat_s alarm_high alarm_low hysteresis offset_cdeg batch "


def load(payload, limit, inner=b'"delta":'):
    # The object in payload, which is written to; ValueError or TypeError for anything else.
    # Depth is bounded before it is parsed: what walks it later may recurse. MicroPython before
    # 1.26 takes a document that was cut off for a whole one, so all that opens must close.
    state = [0] * 4
    end = squeeze(payload, 0, len(payload), state, inner)
    depth, text, _, deepest = state
    if depth or text or deepest > limit:
        raise ValueError
    for i in range(end, len(payload)):
        payload[i] = 0x20  # so that the same may be loaded again, with more memory
    document = json.loads(payload)
    if not isinstance(document, dict):
        raise ValueError
    return document


def squeeze(buf, at, end, state, inner=b'"delta":'):
    # Takes out of buf[at:end], the next part of a JSON document, what the members "metadata" and
    # "state.delta" (or others inside with such an end) hold; gives where the rest ends now.
    # AWS sends a timestamp for each key of a shadow, and repeats what differs: that is most of it.
    # state: 4 zeros before the first part.
    depth, text, skip, deepest = state  # text: 2 behind a backslash; skip: from that depth
    to = at
    for i in range(at, end):
        byte = buf[i]
        opens = False
        if text:
            text = 1 if text == 2 else (byte != 0x22) + (byte == 0x5C)
        elif byte == 0x22:
            text = 1
        elif byte >= 0x5B:  # no bracket has a lower code
            opens = byte in b"{["
            depth += opens - (byte in b"}]")
            deepest = max(deepest, depth)
            skip = skip if depth >= skip else 0
        if not skip:
            if to < i:
                buf[to] = byte
            to += 1
            if opens and 2 <= depth <= 3:
                before = b"".join(bytes(buf[max(0, to - 16) : to - 1]).split())
                if before.endswith((b'"metadata":', inner)[depth - 2]):
                    skip = depth
    state[:] = depth, text, skip, deepest
    return to


def among(key, words):
    # words: with a space before and after each. Without a list, which would take 30 bytes a word.
    return isinstance(key, str) and " " not in key and " {} ".format(key) in words


def printable(text, limit):
    # A key from outside goes to a log line, to a terminal and into JSON.
    data = text[:limit].encode("utf-8", "surrogatepass")[:limit]
    return bytes(b if 32 < b < 127 else 0x3F for b in data).decode() or "(empty text)"
