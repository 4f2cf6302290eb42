# What the virtual board's outside world says: one JSON file, named by the environment variable
# FIELDMOUSE_SIM, re-read whenever it changes. Beside it lies <file>.state: what a chip keeps
# through a reset but loses with its power (the RTC's time and memory). The parent, which is
# tools/sim/board.py, writes the first, deletes the second on a power cut, and reads in it how
# long a deep sleep shall be.

import json
import math
import os
import sys

import utime

S2000 = 946684800  # 2000-01-01T00:00:00Z in Unix seconds
_POLL_MS = 50

EXIT_RESET = 71  # exit codes the parent understands
EXIT_SOFT_RESET = 72
EXIT_DEEPSLEEP = 73
EXIT_MAIN_ENDED = 74

_path = os.getenv("FIELDMOUSE_SIM")
_settings = {}
_seen = None  # (inode, size, mtime) of the settings last read
_asked_ms = None
_state = None
_expressions = {}
_born_ms = utime.ticks_ms()


def settings():
    # Polled, because the unix port has nothing to wait on a file with; the inode is
    # compared as well, as mtime has whole seconds here and the parent replaces the file.
    global _settings, _seen, _asked_ms
    now = utime.ticks_ms()
    if _path and (_asked_ms is None or utime.ticks_diff(now, _asked_ms) >= _POLL_MS):
        _asked_ms = now
        try:
            st = os.stat(_path)
            stamp = (st[1], st[6], st[8])
            if stamp != _seen:
                with open(_path) as f:
                    _settings = json.load(f)
                _seen = stamp
        except (OSError, ValueError) as e:
            if _seen != (0, 0, 0):
                print("sim: cannot read the settings:", e)
            _seen = (0, 0, 0)
    return _settings


def get(name, default=None):
    return settings().get(name, default)


def number(name, default):
    # A setting that is a number or an expression in t = seconds since boot. The host has checked
    # the expression (tools/sim/expression.py) before it gets here.
    value = get(name, default)
    if not isinstance(value, str):
        return value
    try:
        if value not in _expressions:
            _expressions.clear()
            _expressions[value] = compile(value, name, "eval")
        names = {"t": uptime_ms() / 1000, "abs": abs, "min": min, "max": max}
        for key in ("sin", "cos", "tan", "sqrt", "exp", "log", "floor", "ceil", "pi"):
            names[key] = getattr(math, key)
        return eval(_expressions[value], names)
    except Exception as e:
        print("sim: {} = {!r}: {}".format(name, value, e))
        return default if not isinstance(default, str) else 0


def born_now():
    # Also after the clock was exchanged: marks of the old one mean nothing.
    global _born_ms, _asked_ms
    _born_ms = utime.ticks_ms()
    _asked_ms = None


def uptime_ms():
    return utime.ticks_diff(utime.ticks_ms(), _born_ms)


def state():
    global _state
    if _state is None:
        try:
            with open(_path + ".state") as f:
                _state = json.load(f)
        except (OSError, ValueError, TypeError):
            # Power-on: an RTC starts at 2000-01-01, whatever the host's clock says.
            _state = {"clock_ms": S2000 * 1000 - host_ms(), "memory": ""}
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


def unix_ms():
    # The virtual board's own idea of Unix time; right only after the RTC has been set.
    return host_ms() + state()["clock_ms"]


def set_unix_ms(ms):
    state()["clock_ms"] = ms - host_ms()
    save()


def _libc():
    import ffi

    return ffi.open(None if sys.platform == "linux" else "libSystem.dylib")


def die(code):
    # A reset does not run "finally" blocks, so neither does this.
    _libc().func("v", "_exit", "i")(code)


def die_with_parent():
    # A board must not outlive the tool that runs it, not even one that was killed with SIGKILL.
    libc = _libc()
    if sys.platform == "linux":
        libc.func("i", "prctl", "iiiii")(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
    if libc.func("i", "getppid", "")() == 1:
        die(EXIT_MAIN_ENDED)


def alarm_ms(ms):
    # The kernel ends this process (SIGALRM) unless called again in time: works even when the
    # interpreter hangs inside C. Returns a callable that starts the period anew.
    import struct

    setitimer = _libc().func("i", "setitimer", "ipp")
    value = struct.pack("llll", 0, 0, ms // 1000, ms % 1000 * 1000)
    return lambda: setitimer(0, value, None)
