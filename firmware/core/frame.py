# How one record lies on flash: length (1), seq (4, little-endian), the record, CRC-16 (2).
# The CRC covers everything before it. A reader that has lost its place finds the next record by
# trying every byte: length and seq must be plausible before the CRC is worth its time.

MAX_BYTES = 96  # the longest record
EXTRA_BYTES = 7  # what a frame adds to its record
DATA = 5  # where the record starts within its frame


def crc16(buf, start, end):
    # CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF). The ESP8266 build has no
    # binascii.crc32. Without a table, eight bits at a time; nothing here leaves 25 bits.
    crc = 0xFFFF
    for i in range(start, end):
        x = (crc >> 8) ^ buf[i]
        x ^= x >> 4
        crc = ((crc << 8) ^ (x << 12) ^ (x << 5) ^ x) & 0xFFFF
    return crc


def put_u32(buf, at, value):
    for i in range(at, at + 4):
        buf[i] = value & 0xFF
        value >>= 8


def get_u32(buf, at):
    # -1 where the value would leave the small ints of a 32-bit port: nothing of ours is so big.
    if buf[at + 3] > 0x3F:
        return -1
    return buf[at] | buf[at + 1] << 8 | buf[at + 2] << 16 | buf[at + 3] << 24


def write(buf, at, seq, record, size):
    # Returns where the next frame goes.
    buf[at] = size
    put_u32(buf, at + 1, seq)
    at += DATA
    for i in range(size):
        buf[at + i] = record[i]
    return seal(buf, at - DATA, at + size)


def seal(buf, start, end):
    crc = crc16(buf, start, end)
    buf[end] = crc & 0xFF
    buf[end + 1] = crc >> 8
    return end + 2


def sealed(buf, start, end):
    crc = crc16(buf, start, end)
    return buf[end] == crc & 0xFF and buf[end + 1] == crc >> 8


def check(buf, at, end, low, high):
    # The size of the good frame at `at` whose seq is within low..high - 1; 0 when there is
    # none; -1 when one may be there, but goes on beyond `end`.
    if at >= end:
        return -1
    size = buf[at]
    if not 1 <= size <= MAX_BYTES:
        return 0
    if at + DATA > end:
        return -1
    if not low <= get_u32(buf, at + 1) < high:
        return 0
    if at + size + EXTRA_BYTES > end:
        return -1
    return size + EXTRA_BYTES if sealed(buf, at, at + DATA + size) else 0
