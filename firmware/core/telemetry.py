# A reading as it lies in the outbox, and as AWS gets it; and what outbox and settings need of a
# file's bytes. A record: s2000 (seconds since 2000-01-01 UTC, four bytes; below 2^29, or 2017, it
# is the uptime: there was no time yet), then what is listed below, a whole number each,
# little-endian, up to the last one that was measured. Not measured: all bits set, or, where
# numbers may be negative, the lowest that there is. What follows a record of full length is in
# core/several.py.
# Nothing here allocates while s2000 and seq are small ints: on 32-bit boards until 2034, seq 2^30.

# What can be measured, in the order of a record and of a driver's `values`; the other columns are
# in core/quantities.py. New ones go to the end, so that older records stay readable; battery_v is
# of no sensor. Whole numbers: 2137 with 2 decimals is 21.37; only the first may be negative.
NAMES = b"temperature humidity pressure co2 battery_v "  # each with a space after it
DECIMALS = b"\x02\x02\x02\x00\x03"
SIZES = b"\x03\x02\x03\x02\x02"  # bytes; at most 3: no value is a heap object
RECORD_BYTES = 4 + sum(SIZES)
# The most that write_json() writes beside the thing's name: 6 of punctuation and 12 of the number
# for each quantity, and 21 of "time". Of the first three, which are all that most sensors measure:
TEXT_BYTES = 82 + 17 * len(SIZES) + len(NAMES)
USUAL_BYTES = TEXT_BYTES - 48


def pack(buf, at, s2000, values):
    # Writes a record and gives its end. values: a driver's, as long as it likes, with None.
    for _ in range(4):
        buf[at] = s2000 & 0xFF
        s2000 >>= 8
        at += 1
    end = at
    for i in range(len(SIZES)):
        value = values[i] if i < len(values) else None
        size = SIZES[i]
        if value is None:
            value = -1 << 8 * size - 1 if i == 0 else -1
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
    i, name = i + 9, 0
    for row in range(len(SIZES)):
        if i + SIZES[row] > end:
            break  # not measured, or written by a version that knew less
        ones = (1 << 8 * SIZES[row]) - 1
        value = (frame[i] | frame[i + 1] << 8 | frame[i + 2] << 16) & ones
        if row == 0 and value > ones >> 1:
            value -= ones + 1
        if value == (~(ones >> 1) if row == 0 else ones):
            value = None
        else:
            at = _text(buf, at, b', "')
        while NAMES[name] > 0x20:
            if value is not None:
                buf[at] = NAMES[name]
                at += 1
            name += 1
        name += 1
        if value is not None:
            scale = 10 ** DECIMALS[row]
            at = _number(buf, _text(buf, at, b'": '), value, scale, scale if scale > 1 else 0)
        if not row:
            at = _number(buf, _text(buf, at, b', "seq": '), seq, 1, 0)
        i += SIZES[row]
    return _text(buf, at, b', "time": "estimated"}' if found < 0 else b"}")


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
