# Small files that survive a power cut: the whole of the old content or the whole of the new. On
# demand. One holds the settings, under a CRC; a file whose CRC does not fit counts as none:
#
#   {"crc": "29b1", "data": {"values": {…}, "state": {…}}}
#
# `values` counts instead of config.json. The CRC-16 is that of the text of `data`, so the file
# stays JSON that a person can read. To mend a board by hand, delete the file.

import json
import os

from micropython import const

from firmware.core.frame import crc16

SETTINGS = "data/settings.json"

_EEXIST = const(17)
_HEAD = '{{"crc": "{:04x}", "data": '
_HEAD_BYTES = const(24)
_MAX_BYTES = const(3072)  # what an ESP8266 can still take apart; larger is not ours


def load_settings(path=SETTINGS):
    # (values, state) as saved, both {} when there is no file; None when it is damaged.
    try:
        raw = read(path, _MAX_BYTES + 1)
        if raw is None:
            return {}, {}
        crc = crc16(raw, _HEAD_BYTES, len(raw) - 1)
        if raw[:_HEAD_BYTES] == _HEAD.format(crc).encode():
            data = json.loads(raw)["data"]
            return dict(data["values"]), dict(data["state"])
    except (ValueError, KeyError, TypeError, MemoryError):
        pass
    return None


def save_settings(values, state, path=SETTINGS):
    data = json.dumps({"values": values, "state": state}).encode()
    head = _HEAD.format(crc16(data, 0, len(data))).encode()
    if len(head) + len(data) >= _MAX_BYTES:
        raise OSError("settings: too large")
    replace(path, head, data, b"}")


def replace(path, *parts):
    # LittleFS and POSIX rename over an existing file in one step. FAT does not: there the old
    # file goes first, and read() finds the new one under its first name.
    make_folder(path)
    new = path + ".new"
    with open(new, "wb") as f:
        for part in parts:
            f.write(part)
    move(new, path)


def move(path, to):
    try:
        os.rename(path, to)
    except OSError as e:
        if e.args[0] != _EEXIST:
            raise
        os.remove(to)
        os.rename(path, to)


def read(path, limit_bytes):
    # The content, at most so much of it; None when there is none.
    for name in (path, path + ".new"):
        try:
            size = os.stat(name)[6]
            with open(name, "rb") as f:
                return f.read(min(size, limit_bytes))
        except OSError:
            pass
    return None


def make_folder(path):
    at = path.find("/")
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError:
            pass  # there already; if not, open() says so
        at = path.find("/", at + 1)
