# JSON from outside, made harmless before it is looked at: bounded in depth before it is parsed
# (what walks it later may recurse), whole, and an object at the top. The session bounds its bytes.
# On demand.

import json


def load(payload, max_depth):
    # The object in payload (a memoryview, or bytes), or None for anything else. Every bracket and
    # quote must be closed again: MicroPython before 1.26 takes a document that was cut off for a
    # whole one. Of a memoryview the member "metadata" is blanked: AWS sends a timestamp for each
    # key of a shadow, and parsed they would take three times the memory of the rest.
    depth = 0
    text = escaped = False
    at = comma = name = -1  # comma: before this member of the object; name: where it begins
    blank = 0, 0
    for byte in payload:
        at += 1
        if escaped:
            escaped = False
        elif byte == 0x22:
            text = not text
            if depth == 1 and name < 0:
                name = at
        elif text:
            escaped = byte == 0x5C
        elif byte >= 0x5B or byte == 0x2C:  # no bracket has a lower code
            depth += (byte in b"{[") - (byte in b"}]")
            if not 0 <= depth <= max_depth:
                return None
            if depth == (byte == 0x2C):  # the end of a member
                if name > 0 and payload[name : name + 10] == b'"metadata"':
                    blank = (comma, at) if comma > 0 else (name, at + depth)
                comma, name = at, -1
    if depth or text:
        return None
    try:
        if isinstance(payload, memoryview):
            for i in range(*blank):
                payload[i] = 0x20
        document = json.loads(payload)
    except (ValueError, TypeError, MemoryError):
        # TypeError: a key that cannot be one. MemoryError: the same as too long, on this heap.
        return None
    return document if isinstance(document, dict) else None
