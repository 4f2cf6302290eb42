# JSON from outside, made harmless before anyone looks at it: bounded in bytes, bounded in depth
# before it is parsed (whatever walks it later may recurse), and an object at the top.

import json

_QUOTE = 0x22
_BACKSLASH = 0x5C
_BRACKETS = 0x5B  # no bracket has a lower code
_OPEN = (0x7B, 0x5B)
_CLOSE = (0x7D, 0x5D)


def load(payload, max_bytes, max_depth):
    # The object in payload (bytes or a memoryview of them), or None for anything else.
    if len(payload) > max_bytes or not nested_well(payload, max_depth):
        return None
    try:
        document = json.loads(payload)
    except (ValueError, TypeError, MemoryError):
        # TypeError: a key that cannot be one. MemoryError: the same as too long, on this heap.
        return None
    return document if isinstance(document, dict) else None


def nested_well(payload, max_depth):
    # No deeper than that, and every bracket and quote is closed again: MicroPython before 1.26
    # takes a document that was cut off for a whole one.
    quote, backslash, brackets = _QUOTE, _BACKSLASH, _BRACKETS  # locals: this is the hot loop
    depth = 0
    inside = escaped = False
    for byte in payload:
        if inside:
            if escaped:
                escaped = False
            elif byte == quote:
                inside = False
            elif byte == backslash:
                escaped = True
        elif byte == quote:
            inside = True
        elif byte >= brackets:
            depth += (byte in _OPEN) - (byte in _CLOSE)
            if not 0 <= depth <= max_depth:
                return False
    return depth == 0 and not inside
