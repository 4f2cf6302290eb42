# What the virtual board's outside world says, and what the chip keeps through a reset.
#
# FIELDMOUSE_SIM names a JSON file with the settings at boot (tools/sim/world.py). Beside it lie
#   .now    the settings that have changed since, null for one that is gone; small, because what
#           is read from it lies in the memory of the firmware
#   .seq    one byte that changes with .now: mapped, so that looking at it costs no memory
#   .state  what outlives a reset, but not a power cut: the RTC's time, and for the parent, which
#           is tools/sim/board.py, how long a deep sleep shall be and when it began
#   .rtc    the same for the RTC's memory: two bytes for its length, then what it holds; mapped

import json
import os
import sys

import utime

S2000 = 946684800  # 2000-01-01T00:00:00Z in Unix seconds

EXIT_RESET = 71  # exit codes the parent understands
EXIT_SOFT_RESET = 72
EXIT_DEEPSLEEP = 73
EXIT_MAIN_ENDED = 74
EXIT_FAULT = 75

hooks = {"split_heap": None, "report_heap": None}  # what to call with a new value
watched = [False]  # whether the watchdog runs
_path = os.getenv("FIELDMOUSE_SIM")
_settings = {}
_changes = bytearray(1)
_seen = -1
_state = None
_last_ms = _age_ms = 0


def _read(path):
    try:
        with open(path) as f:
            return json.load(f)
    except (OSError, ValueError) as e:
        if path == _path:
            print("sim: cannot read the settings:", e)
        return {}


def get(name, default=None):
    if _changes[0] != _seen:
        _apply()
    return _settings.get(name, default)


def _apply():
    global _seen
    _seen = _changes[0]
    for name, value in _read(_path + ".now").items():
        if value is None:
            _settings.pop(name, None)
        elif _settings.get(name) != value:
            _settings[name] = value
            if hooks.get(name):
                hooks[name](value)


def born_now():
    # Also after the clock was exchanged: marks of the old one mean nothing. "boot_ms" is when the
    # chip came out of reset: starting this process took some time since.
    global _last_ms, _age_ms
    _last_ms = utime.ticks_ms()
    now = host_ms()
    _age_ms = max(0, now - _settings.get("boot_ms", now))


def uptime_ms():
    # Does not wrap with the ticks.
    global _last_ms, _age_ms
    now = utime.ticks_ms()
    _age_ms += utime.ticks_diff(now, _last_ms)
    _last_ms = now
    return _age_ms


def world_s():
    # Seconds since power-on: `t` in expressions. The air does not start anew with the board.
    return _settings.get("boot_t_s", 0) + uptime_ms() / 1000


def state():
    global _state
    if _state is None:
        try:
            with open(_path + ".state") as f:
                _state = json.load(f)
        except (OSError, ValueError, TypeError):
            # Power-on: an RTC starts at 2000-01-01, whatever the host's clock says.
            _state = {"clock_ms": S2000 * 1000 - _rtc_ms()}
            save()
    return _state


def save():
    if not _path:
        return
    with open(_path + ".state.new", "w") as f:
        json.dump(_state, f)
    os.rename(_path + ".state.new", _path + ".state")


def host_ms():
    return utime.time_ns() // 1000000


def _rtc_ms():
    # What the RTC counts: on an ESP8266 from 0 after every reset (its machine_rtc.c), so that the
    # time since it was set is lost.
    return uptime_ms() if ESP8266 else host_ms()


def unix_ms():
    # The virtual board's own idea of Unix time; right only after the RTC has been set.
    clock_ms = state()["clock_ms"]  # first: it may begin only now
    return _rtc_ms() + clock_ms


def set_unix_ms(ms):
    state()["clock_ms"] = ms - _rtc_ms()
    save()


def libc():
    import ffi

    return ffi.open(None if sys.platform == "linux" else "libSystem.dylib")


def mapped(path, write=False):
    # A file as memory; not a byte of it is on the heap.
    import uctypes

    with open(path, "r+b" if write else "rb") as f:
        size = f.seek(0, 2)
        place = libc().func("P", "mmap", "PLiiil")(0, size, 3 if write else 1, 1, f.fileno(), 0)
        return uctypes.bytearray_at(place, size)


def die(code):
    # A reset does not run "finally" blocks, so neither does this.
    _exit(code)


def die_with_parent():
    # A board must not outlive the tool that runs it, not even one that was killed with SIGKILL.
    c = libc()
    if sys.platform == "linux":
        c.func("i", "prctl", "iiiii")(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
    if c.func("i", "getppid", "")() == 1:
        die(EXIT_MAIN_ENDED)


def alarm_ms(ms):
    # The kernel ends this process (SIGALRM) unless called again in time: works even when the
    # interpreter hangs inside C. Returns a callable that starts the period anew.
    import struct

    value = struct.pack("llll", 0, 0, ms // 1000, ms % 1000 * 1000)
    return lambda: _setitimer(0, value, None)


_exit = libc().func("v", "_exit", "i")
_setitimer = libc().func("i", "setitimer", "ipp")
_settings = _read(_path) if _path else {}
ESP8266 = _settings.get("profile") == "esp8266"
born_now()
try:
    _changes = mapped(_path + ".seq")
except (OSError, TypeError):
    _seen = 0  # settings that never change
try:
    rtc_memory = memoryview(mapped(_path + ".rtc", True))
except (OSError, TypeError):
    rtc_memory = memoryview(bytearray(2050))
