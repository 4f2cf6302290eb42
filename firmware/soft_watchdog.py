# ESP8266: machine.WDT there has a fixed period of seconds, shorter than one axTLS handshake. A
# hardware timer counts instead, fed by the same progress.

from micropython import const

_CHECK_MS = const(10_000)  # how often the timer looks whether the loop still feeds
_BITTEN = b"wdt"  # for reset_cause() in board.py: the chip would only say "soft reset"

_left = _limit = 0  # checks until it bites
_machine = None


def start(machine, limit_ms):
    # Gives what feeds it. The module stays while the timer holds it.
    global _limit, _machine
    _limit = limit_ms // _CHECK_MS
    feed()
    if _machine is None:
        _machine = machine
        timer = machine.Timer(-1)
        repeat = machine.Timer.PERIODIC
        try:  # MicroPython >= 1.27: bites in C code too, such as a scan() that never ends
            timer.init(period=_CHECK_MS, mode=repeat, callback=_check, hard=True)
        except TypeError:
            timer.init(period=_CHECK_MS, mode=repeat, callback=_check)
    return feed


def feed():
    global _left
    _left = _limit


def _check(_):
    global _left
    _left -= 1
    if _left <= 0:
        _machine.RTC().memory(_BITTEN)
        _machine.reset()
