# What the loop needs of the chip all the time; the rest is board.py, loaded on demand.

import os
import sys
import time

from micropython import const

CHIP = sys.platform
VERIFIED = CHIP != "esp8266"  # its axTLS cannot check a server
LED_PIN = const(2)  # the blue LED of most ESP32 and ESP8266 boards
# ESP8266: the largest piece that axTLS asks for is 5,368 bytes.
TLS_BYTES = const(5_500)
watchdog = None  # ESP8266: soft_watchdog.py once it runs; what it counts must outlast unload()

sleep_ms = time.sleep_ms
ticks_ms = time.ticks_ms
ticks_diff = time.ticks_diff


def log(text):
    ms = time.ticks_ms()
    print("[{:6d}.{:03d}] {}".format(ms // 1000, ms % 1000, text))


def random(limit):
    # 0 to limit - 1. os.urandom is the hardware source on ESP; 3 bytes keep it a small int.
    a, b, c = os.urandom(3)
    return (a << 16 | b << 8 | c) % limit
