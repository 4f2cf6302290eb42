# The schema of config.json, and the only home of the defaults. Pure: the board and tools/ run it.
#
#   config, problems = check(raw)                        raw: whatever json.loads gave
#   value, problem = check_setting(key, value, config)   one wish of the shadow; config in force
#
# Every problem is reported at once, by key and never by value: some values are secret.

from firmware.core import limits, rules, settable
from firmware.core.settable import MAX_PROBLEMS, REQUIRED, add, fields, object_of, value
from firmware.core.settable import SETTABLE as SETTABLE
from firmware.core.settable import check_setting as check_setting
from firmware.core.topics import RESULT_SUFFIX, fill, status

# Readers: read(path, value, problems) appends what is wrong and returns a clean copy.


def _text(path, value, problems):
    # Topics: checked in _topics(), once the thing name is known.
    return value


def _list(high, read_item):
    def read(path, value, problems):
        if not isinstance(value, list) or not 1 <= len(value) <= high:
            return add(problems, path, "must be a list of 1 to {}".format(high))
        return [
            read_item("{}[{}]".format(path, i), item, problems) for i, item in enumerate(value)
        ]

    return read


# Tables: (key, default, reader). A default is read like a given value, and so copied.

_NETWORK = (
    ("ssid", REQUIRED, value(rules.ssid)),
    ("password", "", value(rules.password)),
)

_CONFIG = (
    ("thing_name", REQUIRED, value(rules.thing_name)),
    ("endpoint", REQUIRED, value(rules.host)),
    ("port", 8883, value(limits.whole(1, 65535))),
    # Device Advisor wants a ping within 230 s; below 30 AWS waits 30 all the same (aws-facts 1.3).
    ("keepalive_s", 60, value(limits.whole(1, 230))),
    settable.INTERVAL,
    ("wifi", REQUIRED, _list(8, object_of(_NETWORK))),
    settable.I2C,
    settable.SENSOR,
    ("ntp", ["pool.ntp.org"], _list(4, value(rules.host))),
    ("telemetry_topic", "devices/{thing}/data", _text),
    ("command_topic", "devices/{thing}/commands", _text),
    settable.REBOOT,
    settable.DRAIN,
    ("window", 8, value(limits.whole(1, 100))),  # AWS takes 100 unacknowledged (aws-facts 1.2)
    ("outbox_bytes", 98304, value(limits.whole(8192, 2097152))),
)


def has(key):
    return any(key == known for known, _, _ in _CONFIG)


def check(raw):
    # (config with every default filled in, []) or (None, problems).
    if not isinstance(raw, dict):
        return None, ["top level: must be an object"]
    problems = []
    config = fields("", raw, _CONFIG, problems)
    _topics(config, problems)
    if len(problems) > MAX_PROBLEMS:
        problems[MAX_PROBLEMS:] = ["and {} more".format(len(problems) - MAX_PROBLEMS)]
    return (None if problems else config), problems


def _topics(config, problems):
    thing = config["thing_name"]
    if rules.thing_name(thing):
        thing = "x"  # reported already; the topics may have faults of their own
    data, command = config["telemetry_topic"], config["command_topic"]
    wrong_data = rules.telemetry_topic(data, thing)
    wrong_command = rules.command_topic(command, thing)
    add(problems, "telemetry_topic", wrong_data)
    add(problems, "command_topic", wrong_command)
    if wrong_data or wrong_command:
        return
    command = fill(command, thing)
    taken = (command, command + RESULT_SUFFIX, status(thing))
    # A board that listens where it talks would obey its own words.
    if fill(data, thing) in taken:
        add(problems, "telemetry_topic", "is the topic of commands, results or status")
    if taken[2] in taken[:2]:
        add(problems, "command_topic", "is the topic of status")
