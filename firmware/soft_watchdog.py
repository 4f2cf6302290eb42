# ESP8266: machine.WDT there has a fixed period of seconds, shorter than one axTLS handshake. A
# hardware timer counts instead, fed by the same progress.

import machine
from micropython import const

_CHECK_MS = const(10_000)  # how often the timer looks whether the loop still feeds

_left = _limit = 0  # checks until it bites
_timer = None  # kept: else the collector takes it while it runs (issue micropython 4458)


def start(timeout):
    global _left, _limit, _timer
    _left = _limit = timeout // _CHECK_MS
    _timer = _timer or machine.Timer(-1)
    try:  # MicroPython >= 1.27: bites in C code too, such as a scan() that never ends
        _timer.init(period=_CHECK_MS, callback=_check, hard=True)
    except TypeError:
        _timer.init(period=_CHECK_MS, callback=_check)
    return feed


def feed():
    global _left
    _left = _limit


def _check(timer):
    global _left
    _left -= 1
    if _left <= 0:
        machine.RTC().memory(b"wdt")  # for board.reset_cause(): the chip only says "soft reset"
        machine.reset()
