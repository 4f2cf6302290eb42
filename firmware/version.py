# What is running. `tools stage` writes the moment of the build here; the committed value is the
# day of the release. No clock that shows an earlier time is believed (net/clock.py).

VERSION = "0.2.0-dev"
BOARD = "esp32"  # the profile: "esp32" or "esp8266"
BUILD_S2000 = 848534400  # 2026-11-21, seconds since 2000-01-01 UTC
BOARD = "esp32"  # the profile: what a release must be for
