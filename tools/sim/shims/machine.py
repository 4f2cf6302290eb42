# `machine` of an ESP32 or ESP8266 as far as the unix port lacks it. A reset ends the process with
# a code that tools/sim/board.py understands; it starts it again with the right cause. There is one
# object of each kind, made before the firmware starts, as the chips have it.

import binascii

import _sim
import utime
from _adc import Adcs, Inputs
from _bus import Buses, pins

_ESP8266 = _sim.ESP8266
if _ESP8266:  # user_interface.h, ports/esp8266/modmachine.c
    PWRON_RESET, WDT_RESET, _FAULT, SOFT_RESET, DEEPSLEEP_RESET, HARD_RESET = 0, 1, 2, 4, 5, 6
    _BY_US = SOFT_RESET
else:
    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
    # esp_restart() and a panic both count as HARD_RESET (ports/esp32/modmachine.c).
    _BY_US = _FAULT = HARD_RESET

_CAUSES = {
    "power_on": PWRON_RESET,
    "hard": _BY_US,
    "watchdog": WDT_RESET,
    "deepsleep": DEEPSLEEP_RESET,
    "soft": SOFT_RESET,
    "fault": _FAULT,
}
_boot_cause = _sim.get("reset_cause", "power_on")
_slept = _boot_cause == "deepsleep"
_RTC_MEMORY_BYTES = 492 if _ESP8266 else 2048
_PIN_WAKE, _TIMER_WAKE = 2, 4
_WDT_MS = 3200  # ESP8266: fixed
_MOST_INT = 0x7FFFFFFF  # mp_int_t of a chip
_MASK_US = 0xFFFFFFFF  # ESP8266: microseconds of a sleep, 71 minutes

Pin = pins
I2C = Buses(not _ESP8266)
SoftI2C = Buses(False)
ADC = Inputs() if _ESP8266 else Adcs()


def reset():
    _sim.die(_sim.EXIT_RESET)


def soft_reset():
    _sim.die(_sim.EXIT_SOFT_RESET)


def reset_cause():
    return _CAUSES.get(_boot_cause, _boot_cause)


def deepsleep(*args):
    time_us = _sleep_us(*args)
    state = _sim.state()
    state["sleep_us"] = time_us
    state["asleep_ms"] = _sim.host_ms()
    if _ESP8266:  # its RTC is set for the time after the sleep, whenever that ends
        import network

        state["radio"] = network.station.radio_channel()
        state["clock_ms"] += _sim.uptime_ms() + time_us // 1000
    _sim.save()
    _sim.die(_sim.EXIT_DEEPSLEEP)


def _sleep_us(time_ms=...):
    # 0 is for ever. As mp_machine_deepsleep() of both ports: the ESP8266's time wraps; less than 0
    # is more than an ESP32's timer can hold, so that it is not set.
    if time_ms is ...:
        return 0
    if not isinstance(time_ms, int):
        raise TypeError("can't convert {} to int".format(type(time_ms).__name__))
    if not -_MOST_INT - 1 <= time_ms <= _MOST_INT:
        raise OverflowError("overflow converting long int to machine word")
    if _ESP8266:
        return max(time_ms, 1) * 1000 & _MASK_US
    return 0 if time_ms < 0 else time_ms * 1000 or 1


def _wake_reason():
    # ESP_SLEEP_WAKEUP_TIMER or _EXT0; 0 after any other reset.
    return (_PIN_WAKE if _sim.get("woken_by") == "pin" else _TIMER_WAKE) if _slept else 0


def unique_id():
    found = binascii.unhexlify(_sim.get("unique_id", "02f1e1d00001"))
    if _ESP8266:  # its chip id: the last three bytes of the MAC as a number
        return bytes((found[5], found[4], found[3], 0))
    return found


class _Wdt:
    # Ended by the kernel, so that a hang inside C is caught too. There is no way to stop it.
    def __call__(self, id=0, timeout=5000):
        if id != 0 or (_ESP8266 and timeout != 5000):
            raise ValueError
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        period = _WDT_MS if _ESP8266 else timeout
        self.feed = _sim.alarm_ms(max(1, int(period * _sim.get("wdt_scale", 1.0))))
        self.feed()
        _sim.watched[0] = True
        return self


class _Timer:
    # A virtual timer of the ESP8266; its callback comes from a thread of its own.
    ONE_SHOT = 0
    PERIODIC = 1
    _turn = 0

    def __call__(self, id=-1):
        if id != -1:
            raise ValueError("no such timer")
        return self

    def init(self, *, period, mode=1, callback=None, hard=False):
        import _thread

        self._turn += 1
        _thread.start_new_thread(self._run, (self._turn, period / 1000, mode, callback))

    def deinit(self):
        self._turn += 1

    def _run(self, turn, period_s, mode, callback):
        while True:
            utime.sleep(period_s)
            if turn != self._turn:
                return
            callback(self)
            if mode == self.ONE_SHOT:
                return


class _HardwareTimer:
    # One of an ESP32's, by its number; the constructor starts it (ports/esp32/machine_timer.c).
    ONE_SHOT = 0
    PERIODIC = 1
    _running = ()

    def __call__(self, id, *, mode=1, period=None, callback=None):
        import _thread

        if not 0 <= id <= 1:  # an ESP32-C3 has no more
            raise ValueError("invalid Timer number")
        if period is None or not 0 < period <= 0xFFFFFFFF or callback is None:
            raise ValueError("period")
        if id in self._running:
            raise ValueError("in use: the simulated timer is set once")
        self._running += (id,)
        period_s = period / 1000 * _sim.get("timer_scale", 1.0)
        _thread.start_new_thread(self._run, (period_s, mode, callback))
        return self

    def _run(self, period_s, mode, callback):
        while True:
            utime.sleep(period_s)
            callback(self)
            if mode == self.ONE_SHOT:
                return


class _Rtc:
    def __call__(self):
        return self

    def datetime(self, when=None):
        unit = 1 if _ESP8266 else 1000  # its last part is milliseconds, the ESP32's microseconds
        if when is None:
            ms = _sim.unix_ms()
            y, mo, d, h, mi, s, wd, _ = utime.gmtime(ms // 1000)[:8]
            return (y, mo, d, wd, h, mi, s, ms % 1000 * unit)
        y, mo, d, _, h, mi, s, part = when
        _sim.set_unix_ms(int(utime.mktime((y, mo, d, h, mi, s, 0, 0))) * 1000 + part // unit)
        return None

    def memory(self, data=None):
        kept = _sim.rtc_memory
        if data is None:
            return bytes(kept[2 : 2 + (kept[0] | kept[1] << 8)])
        size = len(data)
        if size > _RTC_MEMORY_BYTES:
            raise ValueError("buffer too long")
        for i in range(size):  # a slice would take memory
            kept[2 + i] = data[i]
        kept[0] = size & 0xFF
        kept[1] = size >> 8
        return None


WDT = _Wdt()
RTC = _Rtc()
if _ESP8266:
    Timer = _Timer()
else:
    Timer = _HardwareTimer()
    PIN_WAKE, TIMER_WAKE, wake_reason = _PIN_WAKE, _TIMER_WAKE, _wake_reason
