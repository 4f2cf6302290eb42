# Sensors, topics, and the settings that the shadow may change.

import harness
from firmware.core import config

BASE = {"thing_name": "t", "endpoint": "a.io", "wifi": [{"ssid": "home"}]}


def problems(**more):
    raw = dict(BASE)
    raw.update(more)
    return config.check(raw)[1]


def test_thing_names():
    for name in ("a", "greenhouse-1", "A:b_9-", "x" * 128):
        harness.equal(problems(thing_name=name), [])
    for name in ("", "a b", "a/b", "ü", "a+", "$a", "x" * 129, "a\n"):
        assert problems(thing_name=name), name


def test_sensors():
    for sensor in ("auto", "bme280", "bmp280@0x77", "sht3x@0x44", "mcp9808@0x1F"):
        harness.equal(problems(sensor=sensor), [])
    for sensor in ("", "bme", "auto@0x76", "bme280@", "bme280@76", "bme280@0x00", "bme280@0x78"):
        assert problems(sensor=sensor), sensor
    for sensor in ("bme280@0x7g", "BME280", "bme280@0x76@0x77", "x" * 500):
        assert problems(sensor=sensor), sensor


def test_topics_are_measured_after_filling_in_the_thing():
    for topic in ("{thing}", "a/{thing}/b", "/a//b", "ü" * 127, "a/b/c/d/e/f/g/h"):
        harness.equal(problems(telemetry_topic=topic), [])
    for topic in ("", "a/+", "#", "a\x00", "$x", "$aws/things/t", "{thing", "{x}", "ü" * 129):
        assert problems(telemetry_topic=topic), topic
    wrong = problems(telemetry_topic="a/b/c/d/e/f/g/h/i")
    harness.equal(wrong, ["telemetry_topic: has too many levels: at most 7 slashes"])
    harness.equal(problems(telemetry_topic="x" * 255 + "{thing}"), [])
    assert problems(thing_name="tt", telemetry_topic="x" * 255 + "{thing}")


def test_basic_ingest_is_for_readings_only_and_its_prefix_is_free():
    levels = "/".join("abcdefgh")
    for topic in ("$aws/rules/store", "$aws/rules/store/" + levels, "$aws/rules/s/" + "x" * 256):
        harness.equal(problems(telemetry_topic=topic), [])
    for topic in (
        "$aws/rules/",
        "$aws/rules//a",
        "$aws/rules/a b",
        "$aws/rules/s/" + levels + "/i",
    ):
        assert problems(telemetry_topic=topic), topic
    assert problems(command_topic="$aws/rules/store")


def test_the_command_topic_leaves_room_for_the_results():
    harness.equal(problems(command_topic="a/b/c/d/e/f/g"), [])
    assert problems(command_topic="a/b/c/d/e/f/g/h")
    harness.equal(problems(command_topic="x" * 249), [])
    assert problems(command_topic="x" * 250)


def test_a_board_does_not_listen_where_it_talks():
    for topic in ("devices/t/commands", "devices/{thing}/commands/result", "devices/t/status"):
        wrong = problems(telemetry_topic=topic)
        harness.equal(wrong, ["telemetry_topic: is the topic of commands, results or status"])
    wrong = problems(command_topic="devices/{thing}/status")
    harness.equal(wrong, ["command_topic: is the topic of status"])


def test_pins():
    harness.equal(problems(i2c={"id": -1, "sda": 4, "scl": 5}), [])
    harness.equal(problems(i2c={"sda": 22}), ["i2c.scl: must not be the pin of sda"])
    harness.equal(
        problems(i2c={"sad": 4, "freq_hz": 0}),
        [
            "i2c.freq_hz: must be a whole number from 1000 to 1000000",
            'i2c.sad: unknown key, did you mean "sda"?',
        ],
    )


def test_settings_follow_the_same_table():
    now = config.check(BASE)[0]
    for key, value in (("interval_s", 1), ("sensor", "sht3x"), ("offline_reboot_s", 0)):
        harness.equal(config.check_setting(key, value, now), (value, None))
    for key, value in (("interval_s", 0), ("sensor", "x"), ("offline_reboot_s", 1)):
        wrong = config.check_setting(key, value, now)[1]
        harness.equal(problems(**{key: value}), [key + ": " + wrong])


def test_a_part_of_i2c_is_merged_over_what_is_in_force():
    now = config.check(BASE)[0]
    value, wrong = config.check_setting("i2c", {"freq_hz": 400000}, now)
    harness.equal((value, wrong), ({"id": 0, "sda": 21, "scl": 22, "freq_hz": 400000}, None))
    harness.equal(now["i2c"]["freq_hz"], 100000)
    wrong = config.check_setting("i2c", {"scl": 21, "x": 1}, now)[1]
    harness.equal(wrong, "x: unknown key; scl: must not be the pin of sda")
    for value in (None, [], "x", 3):
        harness.equal(config.check_setting("i2c", value, now)[1], "must be an object")


def test_what_the_cloud_may_not_change():
    for key in config.check(BASE)[0]:
        wrong = config.check_setting(key, None, {})[1]
        harness.equal(wrong == "cannot be changed from the cloud", key not in config.SETTABLE)
    harness.equal(
        config.check_setting("intervall_s", 1, {})[1],
        'unknown setting, did you mean "interval_s"?',
    )
    harness.equal(config.check_setting("x" * 500, 1, {})[1], "unknown setting")


harness.run(globals())
