# What the cloud may change: that part of the schema, and how a part of it is read. Apart from
# config.py because a wish of the shadow needs no more, and RAM is short (docs/memory.md).

from firmware.core import limits, words

# The rest decides whether the cloud can be reached at all.
SETTABLE = ("interval_s", "sensor", "i2c", "drain_per_s", "offline_reboot_s")

REQUIRED = object()
MAX_PROBLEMS = 20  # a file of garbage must not fill the heap with complaints
_KEY_CHARS = 40


# Readers: read(path, value, problems) appends what is wrong and returns a clean copy.


def value(rule):
    def read(path, value, problems):
        add(problems, path, rule(value))
        return value

    return read


def object_of(table):
    def read(path, value, problems):
        if not isinstance(value, dict):
            return add(problems, path, "must be an object")
        return fields(path, value, table, problems)

    return read


def _pins(path, value, problems):
    pins = object_of(_I2C)(path, value, problems)
    if pins is not None and pins["sda"] == pins["scl"]:
        add(problems, _join(path, "scl"), "must not be the pin of sda")
    return pins


# Tables: (key, default, reader). A default is read like a given value, and so copied.

_I2C = (
    ("id", 0, value(limits.whole(-1, 1))),  # -1: bit-banged, all the ESP8266 has
    ("sda", 21, value(limits.whole(0, 48))),
    ("scl", 22, value(limits.whole(0, 48))),
    ("freq_hz", 100000, value(limits.whole(1000, 1000000))),
)

INTERVAL = ("interval_s", 60, value(limits.whole(1, 86400)))
I2C = ("i2c", {}, _pins)
SENSOR = ("sensor", "auto", value(limits.sensor))
REBOOT = ("offline_reboot_s", 3600, value(limits.zero_or(10, 604800)))
DRAIN = ("drain_per_s", 20, value(limits.whole(1, 100)))


def check_setting(key, value, config):
    # (the value to use, None) or (value, what is wrong). A wish for i2c may be a part of it.
    if key not in SETTABLE:
        from firmware.core.config import has

        if has(key):
            return value, "cannot be changed from the cloud"
        return value, "unknown setting" + words.did_you_mean(str(key), SETTABLE)
    if key == "i2c" and isinstance(value, dict):
        value = _merged(config.get("i2c", {}), value)
    problems = []
    for known, _, read in (INTERVAL, I2C, SENSOR, REBOOT, DRAIN):
        if key == known:
            value = read("", value, problems)
    return value, "; ".join(problems) or None


def fields(path, given, table, problems):
    clean = {}
    for key, default, read in table:
        value = given.get(key, default)
        if value is REQUIRED:
            clean[key] = add(problems, _join(path, key), "is missing")
        else:
            clean[key] = read(_join(path, key), value, problems)
    _strangers(path, given, clean, problems)
    return clean


def _strangers(path, given, known, problems):
    # Stops early: comparing words is slow, and nobody reads more.
    if len(given) > MAX_PROBLEMS + len(known):
        return add(problems, path or "top level", "has far too many keys")
    for key in sorted(str(key) for key in given if key not in known):
        guess = words.did_you_mean(key, known)
        add(problems, _join(path, words.printable(key, _KEY_CHARS)), "unknown key" + guess)


def _merged(current, wish):
    merged = dict(current)
    merged.update(wish)
    return merged


def add(problems, path, wrong):
    # Gives None back, for readers that have no value to return.
    if wrong:
        problems.append("{}: {}".format(path, wrong) if path else wrong)


def _join(path, key):
    return "{}.{}".format(path, key) if path else key
