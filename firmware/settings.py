# What the shadow and commands have changed, on flash: the whole file is written anew and put in
# the place of the old one in one step. A file whose CRC does not fit counts as none.
#
#   {"crc": "29b1", "data": {"values": {…}, "state": {…}}}
#
# The CRC-16 is that of the text of `data`, so the file stays JSON that a person can read. To
# mend a board by hand, delete the file: then config.json alone counts.

import json

from micropython import const

from firmware import files
from firmware.core import frame
from firmware.core.errors import StoreError

_HEAD = '{{"crc": "{:04x}", "data": '
_HEAD_BYTES = const(24)
_MAX_BYTES = const(3072)  # what an ESP8266 can still take apart; larger is not ours


class Settings:
    def __init__(self, path, log):
        self._path = path
        self._log = log
        self.damaged = False  # a file was there, but could not be used
        self.values = {}  # setting -> value that counts instead of the one in config.json
        self.state = {}  # small things to remember that are no settings
        self._load()

    def set(self, key, value):
        # None takes a setting back. StoreError, and nothing changed, when it could not be
        # written; no write when nothing is new.
        self._change("values", key, value)

    def note(self, key, value):
        # The same for `state`, but never raises: a full flash must not end the program. What
        # could not be written is not remembered.
        try:
            self._change("state", key, value)
        except StoreError as e:
            self._log(str(e))

    def _change(self, part, key, value):
        old = getattr(self, part)
        # As text: 1 == True, and a list or object of the caller must not become ours.
        text = json.dumps(value)
        if json.dumps(old.get(key)) == text:
            return
        new = dict(old)
        new[key] = json.loads(text)
        if value is None:
            del new[key]
        setattr(self, part, new)
        try:
            self._save()
        except StoreError:
            setattr(self, part, old)
            raise

    def _save(self):
        try:
            data = json.dumps({"values": self.values, "state": self.state}).encode()
            head = _HEAD.format(frame.crc16(data, 0, len(data))).encode()
            if len(head) + len(data) + 1 > _MAX_BYTES:
                raise StoreError("settings: too large")
            files.replace(self._path, head, data, b"}")
        except OSError as e:
            raise StoreError("settings: errno {}".format(e.args[0]))
        except MemoryError:
            raise StoreError("settings: no memory")

    def _load(self):
        raw = files.read(self._path, _MAX_BYTES + 1)
        if raw is None:
            return
        try:
            self._take(raw)
        except (ValueError, KeyError, TypeError, MemoryError):
            self.damaged = True
            self._log("settings: file damaged, config.json alone counts")

    def _take(self, raw):
        crc = frame.crc16(raw, _HEAD_BYTES, len(raw) - 1)
        if raw[:_HEAD_BYTES] != _HEAD.format(crc).encode():
            raise ValueError
        data = json.loads(raw)["data"]
        values, state = dict(data["values"]), dict(data["state"])
        self.values, self.state = values, state
