# `machine` of an ESP32 as far as the unix port lacks it. A reset ends the process with a code that
# tools/sim/board.py understands; it starts it again with the right cause.

import _sim
import utime
from _bus import I2C, Pin, SoftI2C  # noqa: F401

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5
PIN_WAKE = 2  # values of wake_reason()
TIMER_WAKE = 4

_CAUSES = {
    "power_on": PWRON_RESET,
    "hard": HARD_RESET,
    "watchdog": WDT_RESET,
    "deepsleep": DEEPSLEEP_RESET,
    "soft": SOFT_RESET,
}
_boot_cause = _sim.get("reset_cause", "power_on")
_freq_hz = 160000000
_RTC_MEMORY_BYTES = 2048


def reset():
    _sim.die(_sim.EXIT_RESET)


def soft_reset():
    _sim.die(_sim.EXIT_SOFT_RESET)


def reset_cause():
    # esp_restart() and a panic both count as HARD_RESET on the ESP32 (ports/esp32/modmachine.c).
    return _CAUSES.get(_boot_cause, _boot_cause)


def wake_reason():
    return TIMER_WAKE if reset_cause() == DEEPSLEEP_RESET else 0


def deepsleep(time_ms=0):
    _sim.state()["sleep_ms"] = time_ms
    _sim.save()
    _sim.die(_sim.EXIT_DEEPSLEEP)


def lightsleep(time_ms=0):
    utime.sleep_ms(time_ms)


def idle():
    utime.sleep_ms(1)


def unique_id():
    text = _sim.get("unique_id", "02f1e1d00001")
    return bytes(int(text[i : i + 2], 16) for i in range(0, len(text), 2))


def freq(hz=None):
    global _freq_hz
    if hz is None:
        return _freq_hz
    if hz not in (20000000, 40000000, 80000000, 160000000, 240000000):
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    _freq_hz = hz
    return None


def disable_irq():
    return 0


def enable_irq(state):
    pass


class WDT:
    # Ended by the kernel, so that a hang inside C is caught too. There is no way to stop it.
    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        self.feed = _sim.alarm_ms(max(1, int(timeout * _sim.get("wdt_scale", 1.0))))
        self.feed()


class RTC:
    def datetime(self, when=None):
        if when is None:
            ms = _sim.unix_ms()
            y, mo, d, h, mi, s, wd, _ = utime.gmtime(ms // 1000)[:8]
            return (y, mo, d, wd, h, mi, s, ms % 1000 * 1000)
        y, mo, d, _, h, mi, s, us = when
        _sim.set_unix_ms(int(utime.mktime((y, mo, d, h, mi, s, 0, 0))) * 1000 + us // 1000)
        return None

    def init(self, when):
        y, mo, d, h, mi, s, us = (tuple(when) + (0, 0, 0, 0, 0))[:7]
        self.datetime((y, mo, d, 0, h, mi, s, us))

    def memory(self, data=None):
        if data is None:
            text = _sim.state()["memory"]
            return bytes(int(text[i : i + 2], 16) for i in range(0, len(text), 2))
        if len(data) > _RTC_MEMORY_BYTES:
            raise ValueError("buffer too long")
        _sim.state()["memory"] = "".join("{:02x}".format(b) for b in bytes(data))
        _sim.save()
        return None
