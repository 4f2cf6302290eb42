# What the outbox and the settings need of a file's bytes, without allocating.


def crc16(buf, start, end):
    # CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF). The ESP8266 build has no
    # binascii.crc32. Without a table, eight bits at a time; nothing here leaves 25 bits.
    crc = 0xFFFF
    for i in range(start, end):
        x = (crc >> 8) ^ buf[i]
        x ^= x >> 4
        crc = ((crc << 8) ^ (x << 12) ^ (x << 5) ^ x) & 0xFFFF
    return crc


def u32(buf, at):
    # Little-endian. -1 where the value would leave the small ints of a 32-bit port: nothing of
    # ours is so big.
    if buf[at + 3] > 0x3F:
        return -1
    return buf[at] | buf[at + 1] << 8 | buf[at + 2] << 16 | buf[at + 3] << 24
