# What the cloud may change: each value, what is wrong with it, and what the board can rely on.

import harness
from firmware.core import schema


def problem(key, value):
    return schema.check(key, value, {})[1]


def test_the_defaults_are_sound():
    for key in schema.DEFAULTS:
        value = schema.DEFAULTS[key]
        harness.equal(schema.check(key, value, {}), (value, None))
        assert key not in schema.KEYS.split(), key  # settable, or not


def test_numbers():
    for key, low, high in (("interval_s", 1, 86400), ("drain_per_s", 1, 100)):
        wrong = "must be a whole number from {} to {}".format(low, high)
        for value in (low, high):
            harness.equal(schema.check(key, value, {}), (value, None))
        for value in (low - 1, high + 1, True, 1.5, "5", None, [], {}, 1 << 70):
            harness.equal(schema.check(key, value, {}), (value, wrong))


def test_an_offline_reboot_may_be_switched_off():
    for value in (0, 10, 604800):
        harness.equal(problem("offline_reboot_s", value), None)
    for value in (-1, 1, 9, 604801, False, 0.0, None):
        wrong = "must be 0 or a whole number from 10 to 604800"
        harness.equal(problem("offline_reboot_s", value), wrong)


def test_levels_of_the_log():
    for value in ("info", "debug"):
        harness.equal(schema.check("log_level", value, {}), (value, None))
    for value in ("", "DEBUG", "warn", None, 1, True, [], {}, ["info"], "\ud800"):
        harness.equal(problem("log_level", value), 'must be "info" or "debug"')


def test_sensors():
    for value in ("auto", "bme280", "bmp280@0x77", "sht3x@0x44", "mcp9808@0x1F", "bme280@0x08"):
        harness.equal(schema.check("sensor", value, {}), (value, None))
    wrong = 'must be "auto", one of {}, with "@0x76" after it for an address, or a list of them'
    wrong = wrong.format(schema.SENSORS)
    for value in ("", "bme", "auto@0x76", "bme280@", "bme280@76", "bme280@0x00", "bme280@0x78"):
        harness.equal(problem("sensor", value), wrong)
    for value in ("bme280@0x7g", "bme280@0x+8", "BME280", "bme280@0x76@0x77", "x" * 500, "\ud800"):
        harness.equal(problem("sensor", value), wrong)
    for value in (None, 7, True, {}):
        harness.equal(problem("sensor", value), wrong)


def test_lists_of_sensors():
    air = {"chip": "bme280", "address": 0x76, "name": "air"}
    soil = {"chip": "sht3x", "address": 0x45, "name": "soil_2"}
    for value in ([air], [air, soil], [{"chip": "sht3x"}], [air, {"chip": "bme280"}]):
        harness.equal(schema.check("sensor", value, {}), (value, None))
    for value, wrong in (
        ([], "must be a list of 1 to 4 sensors"),
        ([air] * 5, "must be a list of 1 to 4 sensors"),
        (["bme280"], "each must be an object of chip, address and name"),
        ([{"chip": "sht3x", "pin": 4}], "each must be an object of chip, address and name"),
        ([{}], "chip must be one of " + schema.SENSORS),
        ([{"chip": "auto"}], "chip must be one of " + schema.SENSORS),
        ([{"chip": ["sht3x"]}], "chip must be one of " + schema.SENSORS),
        ([{"chip": "sht3x", "address": 7}], "address must be a whole number from 8 to 119"),
        ([{"chip": "sht3x", "address": "0x44"}], "address must be a whole number from 8 to 119"),
        ([{"chip": "sht3x", "address": True}], "address must be a whole number from 8 to 119"),
        ([air, air], "two have one name"),
    ):
        harness.equal(problem("sensor", value), wrong)
    text = "name must be 1 to 12 of a-z, 0-9 and _, first a letter"
    for name in ("", "a" * 13, "Air", "1st", "_a", "a b", "\xe4", "\ud800", 7, None, ["a"]):
        harness.equal(problem("sensor", [{"chip": "sht3x", "name": name}]), text)


def test_limits_by_quantity():
    for key, good, low in (
        ("alarm_high", {"temperature": 30, "humidity": 0, "co2": 40000}, "-55"),
        ("alarm_low", {"temperature": -54.5, "battery_v": 3.3}, "-55"),
        ("deadband", {"temperature": 0.25, "pressure": 1100}, "0"),
        ("hysteresis", {"temperature": False}, "0"),
    ):
        harness.equal(schema.check(key, good, {}), (good, None))
        harness.equal(schema.check(key, {}, {}), ({}, None))
        wrong = "temperature: must be a number from {} to 150, or false".format(low)
        for value in (151, -56, True, None, "30", [30], {}, 1e30):
            harness.equal(problem(key, {"temperature": value}), wrong)
        harness.equal(problem(key, {"wind": 1}), "wind: is no quantity")
        harness.equal(problem(key, 30), "must be an object of at most 8 keys")
    # A delta has only what differs; false takes one out.
    now = {"alarm_high": {"temperature": 30, "humidity": 90}}
    value, wrong = schema.check("alarm_high", {"temperature": False}, now)
    harness.equal((value, wrong), ({"temperature": False, "humidity": 90}, None))


def test_offsets_by_sensor():
    good = {"bme280": -35, "soil_2": 2000, "air": False}
    harness.equal(schema.check("offset_cdeg", good, {}), (good, None))
    wrong = "air: must be a whole number from -2000 to 2000"
    for value in (0.5, 2001, "1", None, True, {}):
        harness.equal(problem("offset_cdeg", {"air": value}), wrong)
    text = "must be 1 to 12 of a-z, 0-9 and _, first a letter"
    harness.equal(problem("offset_cdeg", {"Air": 1}), "Air: " + text)
    many = {"a%d" % n: 1 for n in range(5)}
    more = {"b%d" % n: 1 for n in range(5)}
    wrong = schema.check("offset_cdeg", more, {"offset_cdeg": many})[1]
    harness.equal(wrong, "has more than 8 keys")


def test_a_part_of_i2c_goes_over_what_is_in_force():
    now = {"i2c": {"id": 0, "sda": 4, "scl": 5, "freq_hz": 100000}}
    value, wrong = schema.check("i2c", {"freq_hz": 400000}, now)
    harness.equal((value, wrong), ({"id": 0, "sda": 4, "scl": 5, "freq_hz": 400000}, None))
    harness.equal(now["i2c"]["freq_hz"], 100000)
    harness.equal(schema.check("i2c", {"id": -1}, {})[0]["sda"], 21)
    harness.equal(schema.DEFAULTS["i2c"]["id"], 0)


def test_every_problem_of_i2c_is_named():
    wrong = problem("i2c", {"scl": 21, "x": 1})
    harness.equal(wrong, "x: unknown setting; scl: must not be the pin of sda")
    wrong = problem("i2c", {"sclk": 4, "freq_hz": 0, "id": 2})
    harness.equal(
        wrong,
        "freq_hz: must be a whole number from 1000 to 1000000; "
        "id: must be a whole number from -1 to 1; "
        'sclk: unknown setting, did you mean "scl"?',
    )
    for value in (None, [], "x", 3):
        harness.equal(problem("i2c", value), "must be an object of at most 8 keys")


def test_pins_that_a_chip_cannot_use():
    # (name of the chip, taken, free): docs/wiring.md. What stands before is the name of the board.
    for chip, taken, free in (
        ("Generic ESP32 module with ESP32", (1, 3, 6, 11, 24, 28, 34, 39, 48), (0, 5, 21, 33)),
        ("ESP module with ESP8266", (1, 3, 6, 11, 16, 17, 48), (0, 2, 4, 5, 12, 15)),
        ("Generic ESP32S2 module with ESP32S2", (19, 20, 22, 32, 43, 44, 46, 48), (8, 21, 45)),
        ("LILYGO T-Relay S3 with ESP32-S3", (19, 20, 22, 32, 43, 44), (1, 8, 9, 21, 33, 48)),
        ("X with ESP32-S3FN8", (19, 26), (8, 48)),
        ("ESP32C3 module with ESP32C3", (12, 17, 18, 19, 20, 21, 22, 48), (0, 6, 8, 9, 11)),
        ("esp32c6", (12, 13, 16, 17, 24, 30, 31, 48), (0, 6, 7, 14, 15, 18, 23)),
    ):
        for pin in taken + free:
            other = free[0] if pin != free[0] else free[1]
            for name, beside in (("sda", "scl"), ("scl", "sda")):
                value = {name: pin, beside: other}
                wrong = schema.check("i2c", value, {}, chip)[1]
                why = name + ": is not free on this chip, see docs/wiring.md"
                harness.equal((chip, pin, wrong), (chip, pin, why if pin in taken else None))
    for chip in ("", " ", "linux [GCC 14.2.0] version", "with ESP32P4", "x with ESP32-PICO-D4"):
        harness.equal(schema.check("i2c", {"sda": 6, "scl": 48}, {}, chip)[1], None)


def test_a_flood_of_keys_in_i2c_is_one_short_problem():
    harness.equal(
        problem("i2c", {str(i): i for i in range(9)}), "must be an object of at most 8 keys"
    )
    assert len(problem("i2c", {"\n" * 90 + str(i): 1 for i in range(8)})) < 700
    harness.equal(problem("i2c", {"\n\x1b[2J": 1}), "??[2J: unknown setting")


def test_keys_that_are_no_text():
    # MicroPython's json takes them.
    assert problem("i2c", {1: 1, "a": 2, None: 3})
    harness.equal(problem(7, 1), "unknown setting")


def test_what_the_cloud_may_not_change():
    for key in schema.KEYS.split():
        harness.equal(problem(key, None), "cannot be changed from the cloud")
    wrong = problem("intervall_s", 1)
    harness.equal(wrong, 'unknown setting, did you mean "interval_s"?')
    for key in ("x" * 500, "", "sda", "freq_hz", "thing_name endpoint"):
        harness.equal(problem(key, 1), "unknown setting")
    harness.equal(problem("id", 0), "unknown setting")
