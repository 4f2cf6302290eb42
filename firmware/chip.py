# What the loop needs of the chip all the time; the rest is board.py, loaded on demand.

from micropython import const
from os import urandom
from sys import platform as CHIP
from time import sleep_ms, ticks_diff, ticks_ms  # noqa: F401

VERIFIED = CHIP != "esp8266"  # its axTLS cannot check a server
LED_PIN = const(2)  # the blue LED of most ESP32 and ESP8266 boards


def log(text):
    ms = ticks_ms()
    print("[{:6d}.{:03d}] {}".format(ms // 1000, ms % 1000, text))


def random(limit):
    # 0 to limit - 1. urandom is the hardware source on ESP; 3 bytes keep it a small int.
    return int.from_bytes(urandom(3), "little") % limit
