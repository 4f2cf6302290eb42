# A reading as it lies in the outbox, and as AWS gets it; and what outbox and settings need of a
# file's bytes. A record: s2000 (seconds since 2000-01-01 UTC, four bytes; below 2^29, or 2017, it
# is the uptime: there was no time yet), then what QUANTITIES lists, a whole number each, up to the
# last one that was measured. Not measured: all bits set, or, where numbers may be negative, the
# lowest that there is. What follows a record of full length is in core/several.py. All is unsigned
# and little-endian.
# Nothing here allocates while s2000 and seq are small ints: on 32-bit boards until 2034, seq 2^30.

from firmware.core.quantities import QUANTITIES

RECORD_BYTES = 4 + sum([row[5] for row in QUANTITIES])
# The most that write_json() writes beside the thing's name: 6 of punctuation and 12 of the number
# for each quantity, and 21 of "time".
TEXT_BYTES = 82 + sum([18 + len(row[0]) for row in QUANTITIES])


def pack(buf, at, s2000, values, battery_mv=None):
    # Writes a record and gives its end. values: a driver's, as long as it likes, with None.
    for _ in range(4):
        buf[at] = s2000 & 0xFF
        s2000 >>= 8
        at += 1
    end, last = at, len(QUANTITIES) - 1
    for i in range(last + 1):
        value = battery_mv if i == last else values[i] if i < len(values) else None
        size = QUANTITIES[i][5]
        if value is None:
            value = -1 << 8 * size - 1 if QUANTITIES[i][3] < 0 else -1
        else:
            end = at + size
        for _ in range(size):
            buf[at] = value & 0xFF
            value >>= 8
            at += 1
    return end


def time_of(frame, i, starts):
    # s2000 of the reading at frame[i]; below zero: estimated. starts: of the boots that stored
    # readings without a time, each its first seq, and s2000 when it began; below zero: not known,
    # no earlier than that. Then it was before the next that is known, too.
    seq, s2000 = u32(frame, i + 1), u32(frame, i + 5)
    if s2000 >> 29 or not starts:
        return s2000
    found = -abs(starts[1])  # of a boot that is not listed any more
    for n in range(0, len(starts), 2):
        start = starts[n + 1]
        if starts[n] <= seq:
            found = start + s2000 if start > 0 else start - s2000
        elif found < 0 < start:
            return max(found, -start)
    return found


def write_json(buf, at, frame, i, thing, starts):
    # The same with the payload for the data topic. At frame[i]: the length of the record, seq, the
    # record, CRC, as the outbox has them. thing: bytes, which need no JSON escapes.
    at = _text(buf, _text(buf, _text(buf, at, b'{"device_id": "'), thing), b'", "timestamp": ')
    # With the 946684800 s from 1970 to 2000 it is no small int today, so in two parts.
    end, seq, found = i + 5 + frame[i], u32(frame, i + 1), time_of(frame, i, starts)
    s2000 = abs(found) + 4800
    at = _number(buf, at, s2000 // 10000 + 94668, 1, 0)
    at = _number(buf, at, s2000 % 10000, 1000, 0)
    first = i = i + 9
    for name, _, decimals, lowest, _, size in QUANTITIES:
        if i + size > end:
            break  # written by a version that knew less
        value = number(frame, i, size, lowest)
        if value is not None:
            at = _text(buf, _text(buf, _text(buf, at, b', "'), name), b'": ')
            at = _number(buf, at, value, 10**decimals, decimals and 10**decimals)
        if i == first:
            at = _number(buf, _text(buf, at, b', "seq": '), seq, 1, 0)
        i += size
    return _text(buf, at, b', "time": "estimated"}' if found < 0 else b"}")


def number(frame, i, size, lowest):
    # The value at frame[i]; None: not measured.
    ones = (1 << 8 * size) - 1
    value = (frame[i] | frame[i + 1] << 8 | frame[i + 2] << 16) & ones
    if lowest < 0 and value > ones >> 1:
        value -= ones + 1
        return None if value == ~(ones >> 1) else value
    return None if value == ones else value


def _text(buf, at, text):
    for byte in text:
        buf[at] = byte
        at += 1
    return at


def _number(buf, at, value, scale, point):
    # scale: what the first digit counts at least; point: what the one before the point does.
    if value < 0:
        at = _text(buf, at, b"-")
        value = -value
    while value // scale > 9:
        scale *= 10
    while scale:
        buf[at] = 0x30 + value // scale % 10
        at += 1
        if scale == point:
            buf[at] = 0x2E
            at += 1
        scale //= 10
    return at


def crc16(buf, start, end):
    # CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF), without a table, within 25 bits.
    crc = 0xFFFF
    for i in range(start, end):
        x = (crc >> 8) ^ buf[i]
        x ^= x >> 4
        crc = ((crc << 8) ^ (x << 12) ^ (x << 5) ^ x) & 0xFFFF
    return crc


def u32(buf, at):
    return buf[at] | buf[at + 1] << 8 | buf[at + 2] << 16 | buf[at + 3] << 24
