# The text of the last crashes, and whether they came so thick that the board should stay in safe
# mode. On demand. There is no clock to trust then: three came within ten minutes when the two runs
# between them lasted no longer together. A power cut is no crash. _RUNS has, in whole seconds, how
# far the run under way is known to have come (-1: its crash is written down), then how long the
# last crashed runs lasted: the crash of one below 0 (-1 less the seconds) came from the sampler or
# the outbox, as app.py has it, or from safe mode. It changes only around crashes.

import json
import os
import sys
from micropython import const

from firmware import chip, files

STABLE_S = const(600)  # a run as long as this ends a row of crashes
_SAFE_MS = const(1_800_000)  # asleep
_PATH = const("data/crash.log")
_OLD = const("data/crash.log.old")
_RUNS = const("data/crash.log.runs")
_CRASHES = const(3)
_LOG_BYTES = const(2048)  # _PATH has at most one entry more, and so has _OLD


def boot(reset_cause, log):
    # Once, at the start: (False, or safe mode: 1, and 2 without sampling; whether alive() is
    # to be called).
    known_s, *runs = _runs()
    ended = {"wdt": "watchdog", "fault": "a fault in C"}.get(reset_cause)
    if ended and known_s >= 0:
        _count(runs, known_s, False)
        _save(0, runs, log, "{}, after {} s or more\n".format(ended, known_s))
    elif known_s:
        _save(0, runs, log)
    return _safe(runs) and (2 if runs[-1] < 0 else 1), bool(runs)


def ended(reset_cause):
    # Whether the last run ended in a crash. Before boot().
    return _runs()[0] < 0 or reset_cause in ("wdt", "fault")


def end(app, error, board):
    # Of the program, before the restart; by whatever else crashes in here, too.
    try:
        record(error, chip.ticks_ms() // 1000, app.cause, chip.log, app.fault)
        chip.log("crash: {} {}".format(type(error).__name__, error))
        app.upkeep("flush")
    finally:
        wait(app.safe, board)  # no tight circle
        board.reset()


def record(error, uptime_s, reset_cause, log, sampling=False):
    # Before the restart that follows. Never raises: there is nobody left to catch it. sampling: it
    # came from the sampler or the outbox. The traceback cannot tell: on a board the files that
    # stay in memory are one, with short names.
    try:
        text = ", sampling or storing" if sampling else ""
        text = "after {} s, started by {}{}\n".format(uptime_s, reset_cause, text)
        runs = _runs()[1:]
        _count(runs, uptime_s, sampling)
        _save(-1, runs, log, text, error)
    except MemoryError:
        log("crash: no memory to write it down")


def _safe(runs):
    runs = [max(run, -1 - run) for run in runs]
    return len(runs) >= _CRASHES and sum(runs[1 - _CRASHES :]) <= STABLE_S


def _count(runs, run_s, sampling):
    # What crashes in safe mode, too, has only sampler and outbox left to leave out.
    runs.append(-1 - run_s if sampling or _safe(runs) else run_s)


def alive(uptime_s, log):
    # Every minute while there are crashes to be counted. False once there are none any more.
    stable = uptime_s >= STABLE_S
    _save(0 if stable else uptime_s, [] if stable else _runs()[1:], log)
    return not stable


def wait(safe, board):
    # Between two crashes in safe mode. No battery would last for long: the usual start follows.
    config = (safe and files.read("config.json", 4096)) or b""
    if b'"power":"battery"' in config:  # as tools/ write it
        board.machine.deepsleep(_SAFE_MS)
    chip.sleep_ms(30_000 if safe else 0)


def read(limit):
    # The newest entries as text, of ASCII only.
    new = files.read(_PATH, limit) or b""
    text = (files.read(_OLD, limit - len(new)) or b"") + new
    return bytes(byte if byte < 127 else 63 for byte in text).decode()  # 63: a question mark


def logs(ident):
    # The result of get_log: what chip.log() has kept, but the line that the newest has cut into,
    # and the last crashes. Where both are too much the oldest lines go, of the crashes first.
    limit = 2560 if chip.VERIFIED else 1024
    data = bytes(chip.buf[chip.at :]) + bytes(chip.buf[: chip.at])
    data = data[data.find(b"\n") + 1 :] if data[:1] > b"\0" else data.lstrip(b"\0")
    document = {"id": ident, "action": "get_log", "ok": True, "reason": None}
    document["log"], document["crash"] = data.decode(), read(limit // 2)
    for name in ("crash", "log"):
        over = len(memoryview(json.dumps(document))) - limit  # of its UTF-8
        if over > 0:
            document[name] = "".join(document[name][over:].split("\n", 1)[1:])
    return document


def _runs():
    try:
        return [int(n) for n in (files.read(_RUNS, 64) or b"").split()] or [0]
    except ValueError:
        return [0]


def _save(known_s, runs, log, text="", error=None):
    # What counts for safe mode first.
    try:
        files.replace(_RUNS, " ".join(str(n) for n in [known_s] + runs[-_CRASHES:]))
        if text:
            with open(_PATH, "a") as f:
                f.write(text)
                if error:
                    sys.print_exception(error, f)
                full = f.tell() > _LOG_BYTES
            if full:
                os.rename(_PATH, _OLD)
    except OSError as e:
        log("crash: not written down, errno {}".format((e.args or "?")[0]))
