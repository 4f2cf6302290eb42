# What happens once, before there is a loop: the TLS context first, while there is a large piece of
# memory, then the crash log, config.json and the saved settings. On demand.
#
# config.json is complete: `python -m tools stage` has checked it and filled in the defaults. Here it is
# only looked at whether it is whole; and the values that the cloud may change are checked like a
# change. One of those that is wrong costs itself; without any other key there is nothing to run.

import json
import os

from micropython import const

from firmware import board, chip, crash, settings, version
from firmware.core import schema
from firmware.core.errors import LinkError
from firmware.net import tls

PATH = "config.json"
_MAX_BYTES = const(8192)
_PARKED_MS = const(10_000)
_LAST_BYTES = const(300)  # enough for the last line of the crash log


def prepare():
    # [config, settings in force, settings as saved, state, problems, TLS context, (reset cause,
    # safe mode, crashes are counted, last line of the crash log)]
    context = None
    if tls.VERIFIED:
        try:
            context = tls.context()
        except LinkError as e:  # each connect tries again
            chip.log("tls: {}".format(e))
    else:
        chip.log("tls: server NOT verified, this port cannot; see docs/security.md")
    cause = board.reset_cause()
    chip.log("app: fieldmouse {}, reset by {}".format(version.VERSION, cause))
    safe, counted = crash.boot(cause, chip.log)
    if safe:
        chip.log("app: SAFE MODE after repeated crashes, see get_log")
    lines = [line for line in crash.read(_LAST_BYTES).split("\n") if line]
    problems = []
    config = _config(problems)
    found = settings.load()
    saved, state = found or ({}, {})
    if found is None:
        problems.append("settings: file damaged, config.json alone counts")
    values = _values(config or {}, saved, problems)
    for problem in problems:
        chip.log("config: PROBLEM " + problem)
    if config is None:
        _park()
    before = cause, safe, counted, lines[-1] if lines else None
    return [config, values, saved, state, problems, context, before]


def _config(problems):
    config = None
    try:
        if os.stat(PATH)[6] > _MAX_BYTES:
            problems.append("{}: is larger than {} bytes".format(PATH, _MAX_BYTES))
            return None
        with open(PATH) as f:
            config = json.load(f)
    except OSError:
        problems.append(PATH + ": is missing")
    except ValueError:  # UnicodeError is one
        problems.append(PATH + ": is no JSON")
    if config is not None:
        missing = [key for key in schema.KEYS.split() if not isinstance(config, dict) or not config.get(key)]
        if missing:
            problems.append("{}: missing: {}".format(PATH, ", ".join(missing)))
            return None
    return config


def _values(config, saved, problems):
    # What the cloud has changed counts more than config.json, as long as it is sound.
    values = dict(schema.DEFAULTS)
    for found, where in ((config, ""), (saved, "settings: ")):
        for key in found:
            if key in values:
                value, problem = schema.check(key, found[key], values)
                if problem:
                    problems.append("{}{}: {}".format(where, key, problem))
                else:
                    values[key] = value
    return values


def _park():
    # Nothing to run: wait for a person at the serial port, who stops this with Ctrl-C, or for a new
    # config.json. No watchdog runs yet.
    before = _stamp()
    while _stamp() == before:
        chip.log("config: cannot start; send a good {} with `make deploy`".format(PATH))
        chip.sleep_ms(_PARKED_MS)
    board.reset()


def _stamp():
    try:
        return os.stat(PATH)[6:9]
    except OSError:
        return None
