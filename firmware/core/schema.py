# What the cloud may change, and what it may be: one table for the board, which loads it on demand,
# and for tools/things, which checks all of config.json before a board gets it.

from firmware.core.text import RARE, among, printable

DEFAULTS = {
    "interval_s": 60,
    "sensor": "auto",
    "i2c": {"id": 0, "sda": 21, "scl": 22, "freq_hz": 100000},
    "drain_per_s": 90,  # AWS takes 100 publishes a second (aws-facts 1.2): some are the shadow's
    "offline_reboot_s": 3600,
    "log_level": "info",  # not in config.json, and forgotten at each start
}
# The other keys of a complete config.json: they decide whether the cloud can be reached at all.
KEYS = (
    " thing_name endpoint port keepalive_s wifi ntp telemetry_topic command_topic"
    " window window_max message_bytes outbox_bytes "
)
LATER = " power battery updates "  # keys that a config.json of an older version does not have
SENSORS = (
    "bme280 bmp280 sht4x sht3x htu21d si7021 sht2x mcp9808 tmp117 hdc1080 aht20 aht10"
    " scd40 scd41 scd43 lm75 tmp102"
)
# Name, lowest, highest of all numbers; one tuple, because each takes memory of its own.
LIMITS = (
    "interval_s", 1, 86400,
    "drain_per_s", 1, 100,
    "offline_reboot_s", 10, 604800,  # or 0: never
    "id", -1, 1,  # of the bus; -1: bit-banged, all the ESP8266 has
    "sda", 0, 48,
    "scl", 0, 48,
    "freq_hz", 1000, 1000000,
)  # fmt: skip
# Pins, from and to, that belong to the flash, the console (UART0) or the USB port, that cannot be
# open drain, or that there are not. ESP-IDF, API reference, GPIO of each chip; datasheets, "Pin
# Overview"; ESP8266EX datasheet 2: 16 belongs to its RTC. docs/wiring.md says which is which.
TAKEN = (
    b"esp8266\x01\x01\x03\x03\x06\x0b\x10\x30"
    b"esp32\x01\x01\x03\x03\x06\x0b\x18\x18\x1c\x1f\x22\x30"
    b"esp32s2\x13\x14\x16\x20\x2b\x2c\x2e\x30"
    b"esp32s3\x13\x14\x16\x20\x2b\x2c"
    b"esp32c3\x0c\x30"
    b"esp32c6\x0c\x0d\x10\x11\x18\x30?"
)


def check(key, value, values, chip=""):
    # (the value to use, None), or (value, what is wrong with it). values: the settings in force;
    # an i2c may be a part, which goes over the one in there. chip: text that ends with its name
    # ("Generic ESP32S3 module with ESP32S3"); on another one Pin() decides.
    if among(key, KEYS) or among(key, LATER):
        return value, "cannot be changed from the cloud"
    if among(key, RARE) or (key == "sensor" and isinstance(value, list)):
        from firmware.core import optional

        return optional.check(key, value, values, SENSORS)
    if key != "i2c":
        return value, _wrong(key, value, DEFAULTS)
    if not isinstance(value, dict) or len(value) > 8:  # a flood of unknown keys, each to be named
        return value, "must be an object of at most 8 keys"
    made = dict(values.get(key) or DEFAULTS[key])
    made.update(value)
    problems = []
    for name in sorted(map(str, made)):
        why = _wrong(name, made.get(name), DEFAULTS[key])
        if not why and name in ("sda", "scl") and _taken(made[name], chip):
            why = "is not free on this chip, see docs/wiring.md"
        if why:
            problems.append(printable(name, 40) + ": " + why)
    if made["sda"] == made["scl"]:
        problems.append("scl: must not be the pin of sda")
    return (value, "; ".join(problems)) if problems else (made, None)


def _taken(pin, chip):
    # Pins are below all characters of names: the next name ends the pairs, and what is not found
    # comes out inside the first one.
    name = (chip.lower().replace("-", "").encode().split() or [b"e"])[-1][:7]
    at = TAKEN.find(name) + len(name)
    while TAKEN[at] <= 48:
        if TAKEN[at] <= pin <= TAKEN[at + 1]:
            return True
        at += 2
    return False


def _wrong(key, value, known):
    if key not in known:
        near = [name for name in sorted(known) if name.startswith(str(key)[:3] or " ")]
        return "unknown setting" + (', did you mean "{}"?'.format(near[0]) if near else "")
    if key == "sensor":
        # An address may follow the name of a chip. Those outside 0x08 to 0x77 are reserved
        # (I2C-bus specification UM10204, 3.1.12).
        try:
            chip, at = (value.split("@0x") + ["76"])[:2]
            full = "{}@0x{:02x}".format(chip, min(max(0x08, int(at, 16)), 0x77))
            if value == "auto" or (chip in SENSORS.split() and value.lower() in (chip, full)):
                return None
        except (AttributeError, ValueError):  # no text, no number
            pass
        text = 'must be "auto", one of {}, with "@0x76" after it for an address, or a list of them'
        return text.format(SENSORS)
    if key == "log_level":
        return None if value in ("info", "debug") else 'must be "info" or "debug"'
    at = LIMITS.index(key)
    low, high = LIMITS[at + 1 : at + 3]
    zero = "0 or " if key == "offline_reboot_s" else ""
    if type(value) is int and (low <= value <= high or (zero and value == 0)):
        return None
    return "must be {}a whole number from {} to {}".format(zero, low, high)
