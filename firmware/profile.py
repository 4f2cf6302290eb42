# config.json on the board: read, checked by the same table as on the host, and made the best of.
# A bad optional key costs that key its value, not the device its connection: it runs with the
# default and says so. Without thing name, endpoint or Wi-Fi there is nothing to run.

import json
import os

from firmware.core import config as schema

PATH = "config.json"
_ESSENTIAL = ("thing_name", "endpoint", "wifi")
_MAX_BYTES = 8192


def load(path=PATH):
    # (config, problems): config is None when the essential part is bad.
    try:
        size = os.stat(path)[6]
        if size > _MAX_BYTES:
            return None, ["{}: is larger than {} bytes".format(path, _MAX_BYTES)]
        with open(path) as f:
            text = f.read(size)  # not more: read() takes all it is allowed at once
    except OSError:
        return None, [path + ": is missing"]
    except UnicodeError:
        return None, [path + ": is no text"]
    try:
        raw = json.loads(text)
    except ValueError:
        return None, [path + ": is no JSON"]
    config, problems = schema.check(raw)
    if config is None and isinstance(raw, dict):
        config = _salvage(raw, problems)
    return config, problems


def stamp():
    # Changes when somebody writes a new file.
    try:
        return os.stat(PATH)[6:9]
    except OSError:
        return None


def _salvage(raw, problems):
    # Leaves out every top-level key that a problem names; what is left must be flawless.
    bad = {_top(problem) for problem in problems}
    if any(key in bad for key in _ESSENTIAL):
        return None
    config, _ = schema.check({key: raw[key] for key in raw if key not in bad})
    return config


def _top(problem):
    end = len(problem)
    for mark in ":.[":
        at = problem.find(mark)
        if 0 <= at < end:
            end = at
    return problem[:end]
