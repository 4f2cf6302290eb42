# JSON from outside, made harmless before anyone looks at it: bounded in bytes, bounded in depth
# before it is parsed (whatever walks it later may recurse), and an object at the top.

import json

_QUOTE = 0x22
_BACKSLASH = 0x5C
_OPEN = (0x7B, 0x5B)
_CLOSE = (0x7D, 0x5D)


def load(payload, max_bytes, max_depth):
    # The object in payload (bytes or a memoryview of them), or None for anything else.
    if len(payload) > max_bytes or too_deep(payload, max_depth):
        return None
    try:
        document = json.loads(payload)
    except (ValueError, TypeError, MemoryError):
        # TypeError: a key that cannot be one. MemoryError: the same as too long, on this heap.
        return None
    return document if isinstance(document, dict) else None


def too_deep(payload, max_depth):
    depth = 0
    inside = escaped = False
    for byte in payload:
        if inside:
            if escaped:
                escaped = False
            elif byte == _BACKSLASH:
                escaped = True
            elif byte == _QUOTE:
                inside = False
        elif byte == _QUOTE:
            inside = True
        elif byte in _OPEN:
            depth += 1
            if depth > max_depth:
                return True
        elif byte in _CLOSE:
            depth -= 1
    return False
