# What follows a record of full length (core/telemetry.py): blocks, for several sensors and for
# alarms. On demand.
#   n, name, mask, …    a sensor: n bytes of its name, which rows it measured, those values
#   n, name, 0          the first sensor: its values are those of the record itself
#   0, what             an alarm: four times the row of QUANTITIES, and 0 ended, 1 high, 2 low

from firmware.core.telemetry import DECIMALS, NAMES, RECORD_BYTES, SIZES

STATES = "normal high low"
# Where they begin; what is before, and not of the record, has all bits set: not measured. So there
# is room for one quantity more, and what was stored before there was one is still read.
BLOCKS_AT = max(19, RECORD_BYTES)


def sensor(buf, at, name, values):
    # Writes a block and gives its end; none where it does not fit. values: None for the first one.
    mask, data = 0, bytearray()
    for row, value in enumerate(values or ()):
        if value is not None:
            mask |= 1 << row
            for _ in range(SIZES[row]):
                data.append(value & 0xFF)
                value >>= 8
    data = bytes([len(name)]) + name + bytes([mask]) + data
    if at + len(data) <= len(buf):
        buf[at : at + len(data)] = data
        at += len(data)
    return at


def text(frame, i, alarms=False):
    # What the payload has besides what telemetry.write_json() writes: of the data, `, "sensors":
    # {…}`; of an alarm, `, "alarms": {…}`. Empty when there is nothing, or what a version
    # that knew more has written: it must not end each session.
    try:
        found = _blocks(frame, i, alarms)
    except (IndexError, ValueError):
        return ""
    kind = "alarms" if alarms else "sensors"
    return ', "{}": {{{}}}'.format(kind, ", ".join(found)) if found else ""


def _blocks(frame, i, alarms):
    at, end, found = i + 5 + BLOCKS_AT, i + 5 + frame[i], []
    while at < end:
        name, what = bytes(frame[at + 1 : at + 1 + frame[at]]).decode(), frame[at + 1 + frame[at]]
        at += 2 + len(name)
        if not name:
            if alarms:
                row = NAMES.split()[what >> 2].decode()
                found.append('"{}": "{}"'.format(row, STATES.split()[what & 3]))
            continue
        values, at = _values(frame, at, what) if what else (_values(frame, i + 9, 0)[0], at)
        if not alarms:
            found.append('"{}": {{{}}}'.format(name, ", ".join(values)))
    return found


def add(buf, end, text):
    # Puts it into the payload that ends at buf[end]; gives the new end.
    if text:
        data = text.encode() + b"}"
        while len(buf) < end + len(data):
            buf.extend(bytes(64))
        buf[end - 1 : end - 1 + len(data)] = data
        end += len(data) - 1
    return end


def _values(frame, at, mask):
    # ('"temperature": 21.37' and so on, where they end). mask 0: all rows but the board's own.
    found = []
    for row, name in enumerate(NAMES.split()):
        if mask >> row & 1 or not mask:
            bits, value = 8 * SIZES[row], 0
            for i in range(SIZES[row]):
                value |= frame[at + i] << 8 * i
            if row == 0 and value >> bits - 1:
                value -= 1 << bits
            none = value == (-1 << bits - 1 if row == 0 else (1 << bits) - 1)
            if not none and name != b"battery_v":
                found.append('"{}": {}'.format(name.decode(), decimal(value, DECIMALS[row])))
            at += SIZES[row]
    return found, at


def decimal(value, decimals):
    # 2137 with 2 decimals is "21.37". A float would be rounded on a board.
    if not decimals:
        return str(value)
    whole, part = divmod(abs(value), 10**decimals)
    return "{}{}.{:0{}d}".format("-" * (value < 0), whole, part, decimals)
