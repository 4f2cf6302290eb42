# Stand-ins for machine, network and esp32 that behave as the ports' own sources say
# (ports/esp32, ports/esp8266). To be imported before firmware/board.py.

import sys
import time

import harness

EPOCH = 946684800 if time.gmtime(0)[0] == 1970 else 0


class Machine:
    # Numbers of ports/esp8266/modmachine.c and of the SDK's user_interface.h.
    PWRON_RESET = 0
    WDT_RESET = 1
    SOFT_RESET = 4
    DEEPSLEEP_RESET = 5
    HARD_RESET = 6

    def __init__(self):
        self.cause = 0
        self.resets = 0
        self.Timer = Timer
        self.RTC = Rtc

    def reset(self):
        self.resets += 1

    def reset_cause(self):
        return self.cause

    def WDT(self, timeout):
        self.patience_ms = timeout
        return Dog


class Dog:
    fed = 0

    def feed():
        Dog.fed += 1


class Rtc:
    kept = b""
    set_to = None

    def memory(self, data=None):
        if data is None:
            return Rtc.kept
        Rtc.kept = data

    def datetime(self, data):
        Rtc.set_to = data


class Timer:
    PERIODIC = 1
    all = []  # those that run
    knows_hard = True  # MicroPython >= 1.27

    def __init__(self, ident):
        harness.equal(ident, -1)

    def init(self, *, period, callback, mode=PERIODIC, **more):
        if more and not Timer.knows_hard:
            raise TypeError("extra keyword arguments given")
        harness.equal(mode, Timer.PERIODIC)
        self.hard = more.get("hard", False)
        self.callback = callback
        if self not in Timer.all:  # init() stops what runs, and starts anew
            Timer.all.append(self)


class Network:
    STA_IF, AP_IF = 0, 1

    def __init__(self):
        self.on = {0: False, 1: True}  # a fresh ESP8266 is an access point

    def WLAN(self, ident):
        return Interface(self.on, ident)


class Interface:
    joined = True
    error = None

    def __init__(self, on, ident):
        self._on = on
        self._ident = ident

    def isconnected(self):
        return self.joined

    def status(self, what):
        if self.error:
            raise self.error
        return -61 if what == "rssi" else None

    def active(self, on=None):
        if on is None:
            return self._on[self._ident]
        self._on[self._ident] = on


class Esp32:
    # ESP-IDF's heap: (total, free, largest piece, least free) of each region.
    HEAP_DATA = 4
    regions = [(100, 40_000, 30_000, 9), (100, 8_000, 7_500, 9)]

    def idf_heap_info(self, kind):
        harness.equal(kind, self.HEAP_DATA)
        return self.regions


MACHINE, NETWORK, ESP32 = Machine(), Network(), Esp32()
sys.modules["machine"], sys.modules["network"] = MACHINE, NETWORK
sys.modules["esp32"] = ESP32

from firmware import board  # noqa: E402


def on_chip(name, call, *args):
    before, board.CHIP, board.VERIFIED = board.CHIP, name, name != "esp8266"
    try:
        return call(*args)
    finally:
        board.CHIP = before
