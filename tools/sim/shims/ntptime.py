# `ntptime` with MicroPython's names. The answer is the host's clock. Setting "ntp": "up": false
# makes every server silent, "hosts" lists the only ones that answer, "offset_s" is their error.

import errno

import _sim
import utime

host = "pool.ntp.org"
timeout = 1
_ANSWER_MS = 20
_NOTHING = {}


def time():
    ntp = _sim.get("ntp", _NOTHING)
    wifi = _sim.get("wifi", _NOTHING)
    silent = not ntp.get("up", True) or not wifi.get("up", True)
    if silent or ("hosts" in ntp and host not in ntp["hosts"]):
        utime.sleep_ms(int(timeout * 1000))
        raise OSError(errno.ETIMEDOUT)
    utime.sleep_ms(_ANSWER_MS)
    now_s = _sim.host_ms() // 1000 + ntp.get("offset_s", 0)
    return now_s - (_sim.S2000 if _sim.get("epoch", 2000) == 2000 else 0)


def settime():
    import machine
    import time as board_time

    now = time()
    tm = board_time.gmtime(now)
    machine.RTC().datetime((tm[0], tm[1], tm[2], tm[6] + 1, tm[3], tm[4], tm[5], 0))
