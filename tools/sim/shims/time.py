# `time` as a board has it: an RTC that starts at 2000-01-01 until it is set, an epoch of 1970 or
# 2000 (setting "epoch"; ESP32 and ESP8266 have 2000), and ticks that wrap at 2^30 after starting
# at 0 (or at the setting "ticks_start") at boot. The built-in module is still there as `utime`.
# TLS checks certificate dates with the host's own clock: that is C code and does not see this one.

import _sim
import utime
from _scaled import ticks_add, ticks_diff  # noqa: F401
from utime import sleep, sleep_ms, sleep_us  # noqa: F401

_MASK = (1 << 30) - 1
_OFFSET_S = _sim.S2000 if _sim.get("epoch", 2000) == 2000 else 0
_start_ms = utime.ticks_diff(_sim.get("ticks_start", 0), utime.ticks_ms())
_start_us = utime.ticks_diff(0, utime.ticks_us())


def time():
    return _sim.unix_ms() // 1000 - _OFFSET_S


def gmtime(secs=None):
    return utime.gmtime((time() if secs is None else secs) + _OFFSET_S)[:8]


localtime = gmtime


def mktime(tuple8):
    return int(utime.mktime(tuple8)) - _OFFSET_S


def ticks_ms():
    return utime.ticks_add(utime.ticks_ms(), _start_ms) & _MASK


def ticks_us():
    return utime.ticks_add(utime.ticks_us(), _start_us) & _MASK
