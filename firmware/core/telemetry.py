# A reading as it lies in the outbox, and as AWS gets it.
#
#   bytes   record, little-endian
#   0..3    s2000, seconds since 2000-01-01 UTC, unsigned
#   4..6    temperature_cdeg, hundredths of a degree Celsius, signed
#   7..8    humidity_cpct, hundredths of a percent; 65535: none
#   9..11   pressure_pa; 16777215: none
#
# Neither pack() nor write_json() allocates while s2000 and seq are small ints, which on 32-bit
# boards is until 2034 and up to seq 2^30 - 1; beyond that they are right, and allocate.
# Every number is printed from halves, because 946684800 + s2000 is no small int there today.

RECORD_BYTES = 12

_NO_HUMIDITY = 0xFFFF
_NO_PRESSURE = 0xFFFFFF
_TEXT_BYTES = 144  # the longest JSON without the thing name is 126

# 1970-01-01 to 2000-01-01 is 946684800 s: kept as 94668 * 10000 + 4800.
_UNIX_HIGH = 94668
_UNIX_LOW = 4800


def text_bytes(thing):
    # The size of buffer that write_json() needs.
    return _TEXT_BYTES + len(thing)


def pack(buf, s2000, temperature_cdeg, humidity_cpct=None, pressure_pa=None):
    # Fills the first RECORD_BYTES of buf and gives their number back.
    if humidity_cpct is None:
        humidity_cpct = _NO_HUMIDITY
    if pressure_pa is None:
        pressure_pa = _NO_PRESSURE
    _put(buf, 0, s2000, 4)
    _put(buf, 4, temperature_cdeg, 3)
    _put(buf, 7, humidity_cpct, 2)
    _put(buf, 9, pressure_pa, 3)
    return RECORD_BYTES


def _put(buf, at, value, size):
    for i in range(at, at + size):
        buf[i] = value & 0xFF
        value >>= 8


def write_json(buf, record, seq, thing):
    # Writes the payload for the data topic into buf and gives its length back.
    # thing: bytes; text works too, but is encoded anew each time. A thing name needs no JSON
    # escapes, by its alphabet (core/rules.py).
    if isinstance(thing, str):
        thing = thing.encode()
    at = _literal(buf, 0, b'{"device_id": "')
    at = _literal(buf, at, thing)
    at = _literal(buf, at, b'", "timestamp": ')
    at = _unix(buf, at, record[2] | record[3] << 8, record[0] | record[1] << 8)
    at = _literal(buf, at, b', "temperature": ')
    temperature_cdeg = record[4] | record[5] << 8 | record[6] << 16
    if temperature_cdeg & 0x800000:
        temperature_cdeg -= 0x1000000
    at = _hundredths(buf, at, temperature_cdeg)
    at = _literal(buf, at, b', "seq": ')
    at = _halves(buf, at, seq >> 16, seq & 0xFFFF)
    at = _optional(buf, at, record)
    return _literal(buf, at, b"}")


def _optional(buf, at, record):
    humidity_cpct = record[7] | record[8] << 8
    if humidity_cpct != _NO_HUMIDITY:
        at = _hundredths(buf, _literal(buf, at, b', "humidity": '), humidity_cpct)
    pressure_pa = record[9] | record[10] << 8 | record[11] << 16
    if pressure_pa != _NO_PRESSURE:
        at = _hundredths(buf, _literal(buf, at, b', "pressure": '), pressure_pa)
    return at


def _literal(buf, at, text):
    for byte in text:
        buf[at] = byte
        at += 1
    return at


def _unix(buf, at, high, low):
    # high * 65536 + low + 946684800, in base 10000.
    low = high * 5536 + low + _UNIX_LOW
    return _base10000(buf, at, high * 6 + _UNIX_HIGH + low // 10000, low % 10000)


def _halves(buf, at, high, low):
    # high * 65536 + low; high up to 2^16 - 1, so that the products stay small ints.
    low = high * 5536 + low
    return _base10000(buf, at, high * 6 + low // 10000, low % 10000)


def _base10000(buf, at, high, low):
    if not high:
        return _digits(buf, at, low, 1)
    return _digits(buf, _digits(buf, at, high, 1), low, 4)


def _hundredths(buf, at, value):
    if value < 0:
        buf[at] = 0x2D  # the sign apart: -5 // 100 is -1
        at += 1
        value = -value
    at = _digits(buf, at, value // 100, 1)
    buf[at] = 0x2E
    return _digits(buf, at + 1, value % 100, 2)


def _digits(buf, at, value, width):
    # At least width digits, most significant first.
    rest = value // 10
    end = at + 1
    while rest or end < at + width:
        rest //= 10
        end += 1
    for i in range(end - 1, at - 1, -1):
        buf[i] = 0x30 + value % 10
        value //= 10
    return end
