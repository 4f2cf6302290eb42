# What went wrong before, on flash: the text of the last crashes, and whether they came so thick
# that the board should stay in safe mode. On demand: at boot, after a crash, and in a run that
# follows one.
#
# There is no clock to trust at that point. Three crashes came within ten minutes when the two runs
# between them lasted no longer together. A power cut ends a run, but is no crash. LOG + ".runs"
# holds, in whole seconds: how far the run under way is known to have come (-1: its crash is
# written down already), then how long the last crashed runs lasted. The file changes only around
# crashes.

import os
import sys

from micropython import const

from firmware import files

LOG = "data/crash.log"
STABLE_S = const(600)  # a run as long as this ends a row of crashes
_CRASHES = const(3)
_LOG_BYTES = const(2048)  # two files of about this size, the older one ".old"
_ENDED = {"wdt": "watchdog", "fault": "fault in C"}


def boot(reset_cause, log, path=LOG):
    # Once, at the start: (whether to stay in safe mode, whether alive() is to be called).
    known_s, runs = _runs(path)
    if reset_cause in _ENDED and known_s >= 0:
        text = "{}, after {} s or more\n".format(_ENDED[reset_cause], known_s)
        _write(path, text, None, log)
        runs.append(known_s)
        _save(path, 0, runs, log)
    elif known_s:
        _save(path, 0, runs, log)
    runs = runs[-_CRASHES:]
    return len(runs) == _CRASHES and sum(runs[1:]) <= STABLE_S, bool(runs)


def record(error, uptime_s, reset_cause, log, path=LOG):
    # Before the restart that follows. Never raises: there is nobody left to catch it.
    try:
        _write(path, "after {} s, started by {}\n".format(uptime_s, reset_cause), error, log)
        _save(path, -1, _runs(path)[1] + [uptime_s], log)
    except MemoryError:
        log("crash: no memory to write it down")


def alive(uptime_s, log, path=LOG):
    # Every minute while there are crashes to be counted. False once there are none any more.
    if uptime_s >= STABLE_S:
        _save(path, 0, [], log)
        return False
    _save(path, uptime_s, _runs(path)[1], log)
    return True


def read(limit_bytes, path=LOG):
    # The newest entries as text, of ASCII only.
    sizes = []
    for name in (path, path + ".old"):
        try:
            sizes.append((name, os.stat(name)[6]))
        except OSError:
            pass
    left = min(limit_bytes, sum(size for _, size in sizes))
    view = memoryview(bytearray(left))
    for name, size in sizes:
        size = min(size, left)
        if size:
            with open(name, "rb") as f:
                f.seek(-size, 2)
                f.readinto(view[left - size : left])
            left -= size
    for i in range(len(view)):
        if view[i] > 126:
            view[i] = 63  # a question mark
    return str(view, "ascii")


def _write(path, text, error, log):
    try:
        files.make_folder(path)
        with open(path, "a") as f:
            f.write(text)
            if error:
                sys.print_exception(error, f)
            full = f.tell() > _LOG_BYTES
        if full:
            files.move(path, path + ".old")
    except OSError as e:
        log("crash: log not written, errno {}".format(e.args[0]))


def _runs(path):
    try:
        numbers = [int(n) for n in (files.read(path + ".runs", 64) or b"0").split()]
    except ValueError:
        numbers = []
    return (numbers[0] if numbers else 0), numbers[1:]


def _save(path, known_s, runs, log):
    text = " ".join(str(n) for n in [known_s] + runs[-_CRASHES:])
    try:
        files.replace(path + ".runs", text.encode())
    except OSError as e:
        log("crash: count not written, errno {}".format(e.args[0]))
