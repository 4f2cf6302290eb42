# All that a reading may hold, in the order of a record (telemetry.py) and of a driver's `values`.
# A new quantity is a driver that measures it and a row at the end: records from before end earlier
# and stay readable. What can be negative is in every reading; anything else may be missing.

# name, unit, decimals, lowest and highest that a chip here can measure, bytes in a record (at most
# 3, so that no value is a heap object). Whole numbers: 2137 with 2 decimals is 21.37.
QUANTITIES = (
    (b"temperature", "°C", 2, -4000, 12500, 3),
    (b"humidity", "%RH", 2, 0, 10000, 2),
    (b"pressure", "hPa", 2, 30000, 110000, 3),
)
