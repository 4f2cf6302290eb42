# The schema of config.json, and the only home of the defaults. Pure: the board and tools/ run it.
#
#   config, problems = check(raw)                        raw: whatever json.loads gave
#   value, problem = check_setting(key, value, config)   one wish of the shadow; config in force
#
# Every problem is reported at once, by key and never by value: some values are secret.

from firmware.core import rules, words
from firmware.core.topics import RESULT_SUFFIX, fill, status

# What the cloud may change; the rest decides whether the cloud can be reached at all.
SETTABLE = ("interval_s", "sensor", "i2c", "drain_per_s", "offline_reboot_s")

_REQUIRED = object()
_MAX_PROBLEMS = 20  # a file of garbage must not fill the heap with complaints
_KEY_CHARS = 40


# Readers: read(path, value, problems) appends what is wrong and returns a clean copy.


def _value(rule):
    def read(path, value, problems):
        _add(problems, path, rule(value))
        return value

    return read


def _text(path, value, problems):
    # Topics: checked in _topics(), once the thing name is known.
    return value


def _object(table):
    def read(path, value, problems):
        if not isinstance(value, dict):
            return _add(problems, path, "must be an object")
        return _fields(path, value, table, problems)

    return read


def _list(high, read_item):
    def read(path, value, problems):
        if not isinstance(value, list) or not 1 <= len(value) <= high:
            return _add(problems, path, "must be a list of 1 to {}".format(high))
        return [
            read_item("{}[{}]".format(path, i), item, problems) for i, item in enumerate(value)
        ]

    return read


def _pins(path, value, problems):
    pins = _object(_I2C)(path, value, problems)
    if pins is not None and pins["sda"] == pins["scl"]:
        _add(problems, _join(path, "scl"), "must not be the pin of sda")
    return pins


# Tables: (key, default, reader). A default is read like a given value, and so copied.

_NETWORK = (
    ("ssid", _REQUIRED, _value(rules.ssid)),
    ("password", "", _value(rules.password)),
)

_I2C = (
    ("id", 0, _value(rules.whole(-1, 1))),  # -1: bit-banged, all the ESP8266 has
    ("sda", 21, _value(rules.whole(0, 48))),
    ("scl", 22, _value(rules.whole(0, 48))),
    ("freq_hz", 100000, _value(rules.whole(1000, 1000000))),
)

_CONFIG = (
    ("thing_name", _REQUIRED, _value(rules.thing_name)),
    ("endpoint", _REQUIRED, _value(rules.host)),
    ("port", 8883, _value(rules.whole(1, 65535))),
    # Device Advisor wants a ping within 230 s; below 30 AWS waits 30 all the same (aws-facts 1.3).
    ("keepalive_s", 60, _value(rules.whole(1, 230))),
    ("interval_s", 60, _value(rules.whole(1, 86400))),
    ("wifi", _REQUIRED, _list(8, _object(_NETWORK))),
    ("i2c", {}, _pins),
    ("sensor", "auto", _value(rules.sensor)),
    ("ntp", ["pool.ntp.org"], _list(4, _value(rules.host))),
    ("telemetry_topic", "devices/{thing}/data", _text),
    ("command_topic", "devices/{thing}/commands", _text),
    ("offline_reboot_s", 3600, _value(rules.zero_or(10, 604800))),
    ("drain_per_s", 20, _value(rules.whole(1, 100))),
    ("window", 8, _value(rules.whole(1, 100))),  # AWS takes 100 unacknowledged (aws-facts 1.2)
    ("outbox_bytes", 98304, _value(rules.whole(8192, 2097152))),
)


def check(raw):
    # (config with every default filled in, []) or (None, problems).
    if not isinstance(raw, dict):
        return None, ["top level: must be an object"]
    problems = []
    config = _fields("", raw, _CONFIG, problems)
    _topics(config, problems)
    if len(problems) > _MAX_PROBLEMS:
        problems[_MAX_PROBLEMS:] = ["and {} more".format(len(problems) - _MAX_PROBLEMS)]
    return (None if problems else config), problems


def check_setting(key, value, config):
    # (the value to use, None) or (value, what is wrong). A wish for i2c may be a part of it.
    if key not in SETTABLE:
        for known, _, _ in _CONFIG:
            if key == known:
                return value, "cannot be changed from the cloud"
        return value, "unknown setting" + words.did_you_mean(str(key), SETTABLE)
    if key == "i2c" and isinstance(value, dict):
        value = _merged(config.get("i2c", {}), value)
    problems = []
    for known, _, read in _CONFIG:
        if key == known:
            value = read("", value, problems)
    return value, "; ".join(problems) or None


def _fields(path, given, table, problems):
    clean = {}
    for key, default, read in table:
        value = given.get(key, default)
        if value is _REQUIRED:
            clean[key] = _add(problems, _join(path, key), "is missing")
        else:
            clean[key] = read(_join(path, key), value, problems)
    _strangers(path, given, clean, problems)
    return clean


def _strangers(path, given, known, problems):
    # Stops early: comparing words is slow, and nobody reads more.
    if len(given) > _MAX_PROBLEMS + len(known):
        return _add(problems, path or "top level", "has far too many keys")
    for key in sorted(str(key) for key in given if key not in known):
        guess = words.did_you_mean(key, known)
        _add(problems, _join(path, words.printable(key, _KEY_CHARS)), "unknown key" + guess)


def _topics(config, problems):
    thing = config["thing_name"]
    if rules.thing_name(thing):
        thing = "x"  # reported already; the topics may have faults of their own
    data, command = config["telemetry_topic"], config["command_topic"]
    wrong_data = rules.telemetry_topic(data, thing)
    wrong_command = rules.command_topic(command, thing)
    _add(problems, "telemetry_topic", wrong_data)
    _add(problems, "command_topic", wrong_command)
    if wrong_data or wrong_command:
        return
    command = fill(command, thing)
    taken = (command, command + RESULT_SUFFIX, status(thing))
    # A board that listens where it talks would obey its own words.
    if fill(data, thing) in taken:
        _add(problems, "telemetry_topic", "is the topic of commands, results or status")
    if taken[2] in taken[:2]:
        _add(problems, "command_topic", "is the topic of status")


def _merged(current, wish):
    merged = dict(current)
    merged.update(wish)
    return merged


def _add(problems, path, wrong):
    # Gives None back, for readers that have no value to return.
    if wrong:
        problems.append("{}: {}".format(path, wrong) if path else wrong)


def _join(path, key):
    return "{}.{}".format(path, key) if path else key
