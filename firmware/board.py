# The hardware, and the only file that imports it. ESP32, ESP8266 and the virtual board
# (tools/sim/shims) differ in here and nowhere else.

import gc
import os
import sys
import time

import machine
import network
import ntptime
from micropython import const

from firmware.bus import Bus

CHIP = sys.platform
MESSAGE_BYTES = 4096 if CHIP == "esp8266" else 8192  # the longest one we take in
# Longer than one pass of the loop can block: mqtt.CONNECT_MAX_MS, or two names that nobody knows
# (NTP's and the broker's). lwIP asks up to 3 servers for 7 s each, for IPv4 and then for IPv6.
WDT_MS = const(120_000)
_CHECK_MS = const(10_000)  # ESP8266: how often the timer looks whether the loop still feeds
_LED_PIN = const(2)  # the blue LED of most ESP32 and ESP8266 boards
_BITTEN = b"wdt"
_NO_ANSWER = const(71)  # EPROTO
_NTP_ZERO = const(1139293696)  # 2036-02-07, what ntptime makes of a timestamp of 0
_CAUSES = ("PWRON_RESET", "HARD_RESET", "WDT_RESET", "DEEPSLEEP_RESET", "SOFT_RESET")

reset = machine.reset
sleep_ms = time.sleep_ms


class Ticks:
    # Milliseconds that wrap at 2^30 on every 32-bit port: compare with diff() only.
    def now(self):
        return time.ticks_ms()

    def diff(self, a, b):
        return time.ticks_diff(a, b)


class SoftWatchdog:
    # ESP8266: machine.WDT there has a fixed period of seconds, shorter than one axTLS
    # handshake. A hardware timer counts instead, fed by the same progress.
    def __init__(self):
        self._left = WDT_MS // _CHECK_MS
        self._timer = machine.Timer(-1)
        repeat = machine.Timer.PERIODIC
        try:  # MicroPython >= 1.27: bites in C code too, such as a scan() that never ends
            self._timer.init(period=_CHECK_MS, mode=repeat, callback=self._check, hard=True)
        except TypeError:
            self._timer.init(period=_CHECK_MS, mode=repeat, callback=self._check)

    def feed(self):
        self._left = WDT_MS // _CHECK_MS

    def _check(self, _):
        self._left -= 1
        if self._left <= 0:
            machine.RTC().memory(_BITTEN)  # the chip would only say "soft reset"
            machine.reset()


def watchdog():
    return SoftWatchdog() if CHIP == "esp8266" else machine.WDT(timeout=WDT_MS)


def wlan():
    # A fresh ESP8266 is an access point with a password everybody knows (its inisetup.py).
    if CHIP == "esp8266" and network.WLAN(network.AP_IF).active():
        network.WLAN(network.AP_IF).active(False)
    return network.WLAN(network.STA_IF)


def i2c(settings):
    # The ESP8266 has no I2C block: there every bus is bit-banged.
    ident = -1 if CHIP == "esp8266" else settings["id"]
    pins = settings["sda"], settings["scl"]
    return Bus(machine, time.sleep_us, ident, pins[0], pins[1], settings["freq_hz"])


def reset_cause():
    if CHIP == "esp8266" and machine.RTC().memory()[: len(_BITTEN)] == _BITTEN:
        machine.RTC().memory(b"")
        return "wdt"
    cause = machine.reset_cause()
    if CHIP == "esp8266" and cause in (2, 3):
        return "wdt"  # a fault in C, and the SDK's own watchdog: user_interface.h, no names here
    for name in _CAUSES:
        if getattr(machine, name, None) == cause:
            return name[:-6].lower()
    return "unknown {}".format(cause)


def led(on):
    # The ESP8266's LED lies between the pin and 3.3 V.
    machine.Pin(_LED_PIN, machine.Pin.OUT).value(on != (CHIP == "esp8266"))


def random(limit):
    # 0 to limit - 1. os.urandom is the hardware source on ESP; 3 bytes keep it a small int.
    a, b, c = os.urandom(3)
    return (a << 16 | b << 8 | c) % limit


def unique_id():
    return "".join("{:02x}".format(b) for b in machine.unique_id())


def micropython_version():
    return "{}.{}.{}".format(*sys.implementation[1][:3])


def free_heap_bytes():
    gc.collect()
    return gc.mem_free()


def ntp_s2000(host):
    # Asks one NTP server; blocks for its name and 2 s. OSError when nobody answers, or with what
    # is no time: ntptime takes any packet, a kiss of death (RFC 5905, 7.4) for the year 2036, and
    # fails with other errors on a short one or an IPv6 address.
    ntptime.host = host
    ntptime.timeout = 2
    try:
        s2000 = ntptime.time() - (946684800 if epoch_year() == 1970 else 0)
    except (ValueError, IndexError):
        raise OSError(_NO_ANSWER)
    if s2000 == _NTP_ZERO:
        raise OSError(_NO_ANSWER)
    return s2000


def epoch_year():
    return time.gmtime(0)[0]


def rtc_s2000():
    return int(time.time()) - (946684800 if epoch_year() == 1970 else 0)


def set_rtc(s2000):
    t = time.gmtime(s2000 + (946684800 if epoch_year() == 1970 else 0))
    machine.RTC().datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0))


def read_file(path):
    with open(path, "rb") as f:
        return f.read()


def log(text):
    ms = time.ticks_ms()
    print("[{:6d}.{:03d}] {}".format(ms // 1000, ms % 1000, text))
