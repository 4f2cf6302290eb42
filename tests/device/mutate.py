# Documents made wrong on purpose: mutate(random, payload) -> another payload, most often not
# far from the first, so that the damage gets past the first check.

_MAX_BYTES = 1200
LEFT_BYTES = 2048  # the collector takes stale words on the stack for pointers: a payload may stay
_TOKENS = (b"null", b"true", b"false", b"0", b"-1", b"1.5", b"1e999", b"-", b"9" * 40, b'""', b",")
_TOKENS += (b"[]", b"{}", b"[[[[", b"]]]]", b'{"a":', b"}", b'"\\ud800"', b'"\\u0000\\n"', b'\\"')
_TOKENS += (b'"x"', b'"', b":", b"\xff\xfe", b"\xed\xa0\x80", b"\x00", b'"i2c"', b'"interval_s"')


def mutate(random, payload):
    for _ in range(1 + random(3)):
        payload = _STEPS[random(len(_STEPS))](random, payload)[:_MAX_BYTES]
    return payload


def _flip(random, payload):
    if not payload:
        return payload
    changed = bytearray(payload)
    changed[random(len(changed))] ^= 1 << random(8)
    return bytes(changed)


def _cut(random, payload):
    start, end = _span(random, payload)
    return payload[:start] + payload[end:]


def _truncate(random, payload):
    return payload[: random(len(payload) + 1)]


def _double(random, payload):
    start, end = _span(random, payload)
    return payload[:end] + payload[start:]


def _insert(random, payload):
    at = random(len(payload) + 1)
    return payload[:at] + _TOKENS[random(len(_TOKENS))] + payload[at:]


def _replace_value(random, payload):
    # From a colon to the next comma or bracket: the document stays JSON, the type changes.
    start = payload.find(b":", random(len(payload) + 1)) + 1
    if not start:
        return payload
    end = start
    while end < len(payload) and payload[end] not in b",}]":
        end += 1
    return payload[:start] + _TOKENS[random(len(_TOKENS))] + payload[end:]


def _nest(random, payload):
    start, end = _span(random, payload)
    depth = 1 + random(20)
    return payload[:start] + b"[" * depth + payload[start:end] + b"]" * depth + payload[end:]


def _span(random, payload):
    start = random(len(payload) + 1)
    return start, min(len(payload), start + random(40))


_STEPS = (_flip, _cut, _truncate, _double, _insert, _replace_value, _replace_value, _nest)
