# Small files that survive a power cut, on LittleFS and POSIX, with the old content or the new. One
# has the settings, with a CRC-16 of the text of `data`. To mend by hand: delete it. On demand.
#
#   {"crc": "29b1", "data": {"values": {…}, "state": {…}}}
#
# "values" has the overrides: what counts instead of config.json. In "state", besides what others
# note: "config", where config.json differs from the defaults; "trial", key: [override before, or
# null; whether a sensor was found before]; "rejected", key: [override that was taken out, why].

import json
import os
from micropython import const

from firmware.core.telemetry import crc16

_PATH = const("data/settings.json")
_HEAD = const('{{"crc": "{:04x}", "data": ')
_HEAD_BYTES = const(24)
_ENOENT = const(2)
_MAX_BYTES = const(3072)  # what an ESP8266 can still take apart; larger is not ours


def load_settings():
    # (values, state) as saved, both {} when there is no file; None when it is damaged. One that
    # cannot be read now stays what it is: save_settings() does not write over it in this run.
    try:
        raw = read(_PATH, _MAX_BYTES + 1, True)
        if raw is None:
            return {}, {}
        if raw[:_HEAD_BYTES] == _HEAD.format(crc16(raw, _HEAD_BYTES, len(raw) - 1)).encode():
            data = json.loads(raw)["data"]
            return dict(data["values"]), dict(data["state"])
    except (ValueError, TypeError, KeyError):
        pass
    except (OSError, MemoryError):
        return {}, {"unread": True}


def save_settings(values, state):
    if "unread" in state:
        raise OSError("settings: could not be read at the start")
    data = memoryview(json.dumps({"values": values, "state": state}))  # of its UTF-8
    if len(data) >= _MAX_BYTES - _HEAD_BYTES:
        raise OSError("settings: too large")
    replace(_PATH, _HEAD.format(crc16(data, 0, len(data))), data, "}")


def replace(path, *args):
    parts = path.split("/")
    for i in range(1, len(parts)):
        attempt(os.mkdir, "/".join(parts[:i]))  # should it fail, open() says so
    with open(path + ".new", "wb") as f:
        for data in args:
            f.write(data)
    os.rename(path + ".new", path)


def attempt(call, path):
    try:
        return call(path)
    except OSError:
        return None


def read(path, limit, strict=False):
    # The content, or so much of its end; None when there is none. strict: OSError when it cannot
    # be read.
    try:
        with open(path, "rb") as f:
            size = min(f.seek(0, 2), limit)
            f.seek(-size, 2)
            return f.read(size)
    except OSError as e:
        if strict and e.errno != _ENOENT:
            raise
        return None
