# Settings that most boards do not have, and lists of sensors: what they may be. On demand, from
# schema.check().

from firmware.core.quantities import rows
from firmware.core.text import printable

DEFAULTS = {
    "samples": 1,  # of which a reading is the median
    "deadband": {},  # quantity: change that is worth a reading, 0: any; else after heartbeat_s
    "heartbeat_s": 3600,
    "alarm_high": {},  # quantity: limit
    "alarm_low": {},
    "hysteresis": {},  # quantity: how far back from its limit an alarm ends
    "offset_cdeg": {},  # chip, or name in a list of sensors: hundredths of a degree to be added
    "batch": 12,  # readings between two connects of a board that sleeps
}
_LIMITS = {"samples": (1, 9), "heartbeat_s": (60, 604800), "batch": (1, 500)}
_OFFSET = -2000, 2000


def check(key, value, values, chips):
    # As schema.check(). chips: all there are.
    if key == "sensor":
        return value, _sensors(value, chips)
    if key in _LIMITS:
        return value, _number(value, *_LIMITS[key])
    if not isinstance(value, dict) or len(value) > 8:  # a flood of unknown keys, each to be named
        return value, "must be an object of at most 8 keys"
    # A delta has only what differs; false takes a part out, as null does not get here.
    made = dict(values.get(key) or {})
    made.update(value)
    problems = []
    for name in sorted(map(str, made)):
        why = None if made.get(name) is False else _part(key, name, made.get(name))
        if why:
            problems.append(printable(name, 40) + ": " + why)
    if len(made) > 8:
        problems.append("has more than 8 keys")
    return (value, "; ".join(problems)) if problems else (made, None)


def _number(value, low, high):
    if type(value) is int and low <= value <= high:
        return None
    return "must be a whole number from {} to {}".format(low, high)


def _part(key, name, value):
    if key == "offset_cdeg":
        return _name(name) or _number(value, *_OFFSET)
    for known, _, decimals, low, high, _ in rows():
        if name == known:
            low, high = low / 10**decimals, high / 10**decimals
            low = low if key.startswith("alarm") else 0
            if type(value) in (int, float) and low <= value <= high:
                return None
            return "must be a number from {:g} to {:g}, or false".format(low, high)
    return "is no quantity"


def _name(name):
    data = name.encode() if isinstance(name, str) else b""
    good = 1 <= len(data) <= 12 and 0x61 <= data[0] <= 0x7A
    for byte in data:
        good = good and (0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39 or byte == 0x5F)
    return None if good else "must be 1 to 12 of a-z, 0-9 and _, first a letter"


def _sensors(rows, chips):
    if not 1 <= len(rows) <= 4:
        return "must be a list of 1 to 4 sensors"
    names = []
    for row in rows:
        if not isinstance(row, dict) or set(row) - {"chip", "address", "name"}:
            return "each must be an object of chip, address and name"
        chip, at, name = row.get("chip"), row.get("address"), row.get("name", row.get("chip"))
        if not isinstance(chip, str) or chip not in chips.split():
            return "chip must be one of " + chips
        if at is not None and not (type(at) is int and 0x08 <= at <= 0x77):
            return "address must be a whole number from 8 to 119"
        if _name(name):
            return "name " + _name(name)
        names.append(name)
    if len(set(names)) < len(names):
        return "two have one name"
