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
_REPL_MS = const(3_600_000)
_CHECK_MS = const(10_000)  # ESP8266: how often the timer looks whether the loop still feeds
LED_PIN = const(2)  # the blue LED of most ESP32 and ESP8266 boards
# What a run leaves in the RTC's memory for the next: nothing if it ended on purpose. Some builds
# for the ESP32 have no such memory.
_BITTEN = b"wdt"  # ESP8266: by our own watchdog
_RUNNING = b"run"
_STOPPED = b"repl"  # by a person at the serial port
_TIME = b"t"  # ESP8266: and the time
_NO_ANSWER = const(71)  # EPROTO
_NTP_ZERO = const(1139293696)  # 2036-02-07, what ntptime makes of a timestamp of 0
_CAUSES = ("PWRON_RESET", "HARD_RESET", "WDT_RESET", "DEEPSLEEP_RESET", "SOFT_RESET")

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
    left = 0  # checks until it bites

    def __init__(self):
        self.feed()
        self._timer = machine.Timer(-1)
        repeat = machine.Timer.PERIODIC
        try:  # MicroPython >= 1.27: bites in C code too, such as a scan() that never ends
            self._timer.init(period=_CHECK_MS, mode=repeat, callback=self._check, hard=True)
        except TypeError:
            self._timer.init(period=_CHECK_MS, mode=repeat, callback=self._check)

    def feed(self):
        SoftWatchdog.left = WDT_MS // _CHECK_MS

    def _check(self, _):
        SoftWatchdog.left -= 1
        if SoftWatchdog.left <= 0:
            machine.RTC().memory(_BITTEN)  # the chip would only say "soft reset"
            machine.reset()


def watchdog():
    # From here on a restart is ours, or a crash.
    _memory(_RUNNING)
    return SoftWatchdog() if CHIP == "esp8266" else machine.WDT(timeout=WDT_MS)


def reset():
    # Setting it gives the ESP8266's RTC an offset, which a reset takes away (its machine_rtc.c).
    _memory(_TIME + str(_rtc()).encode() if CHIP == "esp8266" else b"")
    machine.reset()


def stopped():
    # The REPL has the board now: a reset from there is no crash, and copying files takes longer
    # than the watchdog waits. An ESP32's cannot be stopped, only set anew.
    _memory(_STOPPED)
    if CHIP == "esp8266":
        SoftWatchdog.left = _REPL_MS // _CHECK_MS
    else:
        machine.WDT(timeout=_REPL_MS)


def _memory(*mark):
    return machine.RTC().memory(*mark) if hasattr(machine.RTC, "memory") else b""


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
    left = _memory()
    cause = machine.reset_cause()
    found = "unknown {}".format(cause)
    for name in _CAUSES:
        if getattr(machine, name, None) == cause:
            found = name[:-6].lower()
    if CHIP == "esp8266":
        if left == _BITTEN or cause == 3:  # 3: the SDK's own watchdog (user_interface.h)
            found = "wdt"
        elif cause == 2:
            found = "fault"  # an exception in C
    elif found == "hard" and left == _RUNNING:
        found = "fault"  # ESP-IDF's panic; to esp32/modmachine.c the same as machine.reset()
    return "repl" if left == _STOPPED and found in ("hard", "wdt", "fault") else found


def led(on):
    # The ESP8266's LED lies between the pin and 3.3 V.
    machine.Pin(LED_PIN, machine.Pin.OUT).value(on != (CHIP == "esp8266"))


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
    # What the RTC says at the start.
    if CHIP != "esp8266":
        return _rtc()
    left = _memory()
    try:
        return int(left[1:]) + 1 if left[:1] == _TIME else 0
    except ValueError:
        return 0


def _rtc():
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
