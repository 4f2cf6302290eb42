# All that can be measured: one table for the record on flash, the JSON, the limits of alarms, and
# for tools/. In the order of a record and of a driver's `values`; new ones at the end: older
# records stay readable. Name, unit, decimals, lowest and highest that is believed, bytes in a
# record (at most 3, so that no value is a heap object). Whole numbers: 2137 with 2 decimals is
# 21.37. battery_v is the board's own, of no sensor.

QUANTITIES = (
    (b"temperature", "°C", 2, -5500, 15000, 3),
    (b"humidity", "%RH", 2, 0, 10000, 2),
    (b"pressure", "hPa", 2, 30000, 110000, 3),
    (b"co2", "ppm", 0, 0, 40000, 2),
    (b"battery_v", "V", 3, 0, 60000, 2),
)
