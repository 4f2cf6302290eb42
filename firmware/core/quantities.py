# All that can be measured: one table for the record on flash, the JSON, the limits of alarms, and
# for tools/. In columns, because on a board a row takes 60 bytes; those that every reading needs
# are in core/telemetry.py, which stays in memory. On demand.

from firmware.core.telemetry import DECIMALS, NAMES, SIZES

UNITS = "°C %RH hPa ppm V"
LIMITS = (-5500, 15000, 0, 10000, 30000, 110000, 0, 40000, 0, 60000)  # what is believed
HYSTERESIS = (30, 200, 100, 50, 50)  # how far back an alarm ends, unless a setting says
BATTERY = NAMES.split().index(b"battery_v")  # the one that is of no sensor


def rows():
    # (name, unit, decimals, lowest, highest, bytes in a record) of each.
    names, units = NAMES.decode().split(), UNITS.split()
    count = range(len(SIZES))
    low, high = [LIMITS[2 * i] for i in count], [LIMITS[2 * i + 1] for i in count]
    return list(zip(names, units, DECIMALS, low, high, SIZES))
