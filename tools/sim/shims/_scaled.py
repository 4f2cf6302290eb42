# Lets the board's whole world run faster than ours: setting "time_scale": 10, read at boot only,
# and be ahead of it by the time that a deep sleep did not really take (tools/sim/worldtime.py).
#
#   faster       ticks, sleeps, the RTC, the time that NTP and the shadow service say, a chip's
#                conversion times, t in expressions, the waits of select.poll(), the watchdog's
#                period
#   as fast as   computing (a TLS handshake takes ten times as long, as the board sees it), socket
#   ever         timeouts
#
# install() puts this module in the place of `utime`, which is where all the simulated hardware
# gets its time from, and a poll() of its own into `select`. Ticks are counted in small steps:
# asking for them takes no memory, as on a board.

import json as _json
import select as _select
import sys

import utime as _real
from utime import gmtime, localtime, mktime  # noqa: F401

host_time = _real.time  # of this machine
_MASK = (1 << 30) - 1
_HALF = 1 << 29
_scale = 1
_anchor_ns = 0  # when both worlds had the same time
_ahead_ms = 0
_last_us = _real.ticks_us()
_ms = _us = 0  # the ticks
_rest_us = 0  # of a millisecond


def install(sim):
    global _scale, _anchor_ns, _ahead_ms
    _scale = sim.get("time_scale", 1)
    _anchor_ns = int(sim.get("time_anchor_s", _real.time())) * 1000000000
    _ahead_ms = sim.get("ahead_ms", 0)
    here = sys.modules[__name__]
    sys.modules["utime"] = sim.utime = here
    sim.born_now()
    sys.modules["select"] = Select
    sys.modules["json"] = Json
    alarm_ms = sim.alarm_ms
    sim.alarm_ms = lambda ms: alarm_ms(max(1, int(ms / _scale)))


def time_ns():
    return _anchor_ns + int((_real.time_ns() - _anchor_ns) * _scale) + _ahead_ms * 1000000


def time():
    return time_ns() // 1000000000


def _count():
    global _last_us, _ms, _us, _rest_us
    now = _real.ticks_us()
    us = int(_real.ticks_diff(now, _last_us) * _scale)
    _last_us = now
    _us = _us + us & _MASK
    _rest_us += us
    _ms = _ms + _rest_us // 1000 & _MASK
    _rest_us %= 1000


def ticks_ms():
    _count()
    return _ms


def ticks_us():
    _count()
    return _us


def ticks_add(ticks, delta):
    return (ticks + delta) & _MASK


def ticks_diff(end, start):
    # On a 32-bit build the intermediate sum could leave the small ints; the parts cannot.
    d = (end - start) & _MASK
    return d if d < _HALF else d - _HALF - _HALF


def sleep(s):
    _real.sleep(s / _scale)


def sleep_ms(ms):
    _real.sleep_us(int(ms * 1000 / _scale))


def sleep_us(us):
    _real.sleep_us(int(us / _scale))


class _Poll:
    def __init__(self):
        self._poll = _select.poll()
        self.register = self._poll.register
        self.unregister = self._poll.unregister
        self.modify = self._poll.modify

    def poll(self, timeout_ms=-1):
        return self._poll.poll(_scaled_ms(timeout_ms))

    def ipoll(self, timeout_ms=-1, flags=0):
        return self._poll.ipoll(_scaled_ms(timeout_ms), flags)


def _scaled_ms(ms):
    return ms if ms <= 0 else max(1, int(ms / _scale))


class Select:
    POLLIN = _select.POLLIN
    POLLOUT = _select.POLLOUT
    POLLERR = _select.POLLERR
    POLLHUP = _select.POLLHUP
    poll = _Poll


class Json:
    dump = _json.dump
    dumps = _json.dumps
    load = _json.load

    def loads(text):
        # Of an answer of the shadow service, the time.
        found = _json.loads(text)
        if isinstance(found, dict) and "clientToken" in found and "timestamp" in found:
            if type(found["timestamp"]) is int:
                since_s = found["timestamp"] - _anchor_ns // 1000000000
                found["timestamp"] += int(since_s * (_scale - 1)) + _ahead_ms // 1000
        return found
