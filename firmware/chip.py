# What the loop needs of the chip all the time; the rest is board.py, loaded on demand.

from micropython import const
from os import urandom
from sys import platform as CHIP
from time import sleep_ms, ticks_diff, ticks_ms  # noqa: F401

VERIFIED = CHIP != "esp8266"  # its axTLS cannot check a server
LED_PIN = const(2)  # the blue LED of most ESP32 and ESP8266 boards

# The last lines of the log, for the command get_log: a ring, the next byte goes to buf[at].
buf, at = bytearray(1024 if VERIFIED else 256), 0


def log(text):
    global at
    ms = ticks_ms()
    line = "[{:6d}.{:03d}] {}\n".format(ms // 1000, ms % 1000, text)
    print(line, end="")
    for byte in memoryview(line):  # of its UTF-8; the ring itself takes no memory
        buf[at] = byte
        at = (at + 1) % len(buf)


def random(limit):
    # 0 to limit - 1. urandom is the hardware source on ESP; 3 bytes keep it a small int.
    return int.from_bytes(urandom(3), "little") % limit
