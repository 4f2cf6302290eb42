# Checks of numbers and of the name of a sensor, in the manner of rules.py.

from firmware.core.words import made_of

SENSORS = ("bme280", "bmp280", "sht3x", "mcp9808")

_SENSOR_CHARS = 32
_HEX = b"0123456789abcdefABCDEF"


def whole(low, high):
    def check(value):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            return "must be a whole number from {} to {}".format(low, high)
        return None

    return check


def zero_or(low, high):
    within = whole(low, high)

    def check(value):
        if within(value) and whole(0, 0)(value):
            return "must be 0 or a whole number from {} to {}".format(low, high)
        return None

    return check


def sensor(value):
    if isinstance(value, str) and len(value) <= _SENSOR_CHARS:
        name, address = split_sensor(value)
        if name == "auto" and address is None:
            return None
        if name in SENSORS and address != -1:
            return None
    return 'must be "auto" or one of {}, with "@0x76" after it for an address'.format(
        " ".join(SENSORS)
    )


def split_sensor(text):
    # "bme280@0x76" -> ("bme280", 0x76); no address -> None; an impossible one -> -1.
    if "@" not in text:
        return text, None
    name, address = text.split("@", 1)
    if len(address) == 4 and address.startswith("0x") and made_of(address[2:], _HEX):
        number = int(address[2:], 16)
        if 0x08 <= number <= 0x77:  # the rest is reserved by the I2C bus
            return name, number
    return name, -1
