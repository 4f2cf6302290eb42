# What the cloud may change: `values` is the one dictionary in force. set() checks, applies, and
# writes to flash; the caller reports. The whole file is written anew and put in the place of the
# old one in one step. A file whose CRC does not fit counts as none.
#
#   {"crc": "29b1", "data": {"values": {…}, "state": {…}}}
#
# In `values` of the file stands what counts instead of config.json. The CRC-16 is that of the text
# of `data`, so the file stays JSON that a person can read. To mend a board by hand, delete the
# file.

import json

from micropython import const

from firmware.core.frame import crc16

PATH = "data/settings.json"

_HEAD = '{{"crc": "{:04x}", "data": '
_HEAD_BYTES = const(24)
_MAX_BYTES = const(3072)  # what an ESP8266 can still take apart; larger is not ours


def load(path=PATH):
    # (values, state) as saved, both {} when there is no file; None when it is damaged.
    from firmware import files

    try:
        raw = files.read(path, _MAX_BYTES + 1)
        if raw is None:
            return {}, {}
        crc = crc16(raw, _HEAD_BYTES, len(raw) - 1)
        if raw[:_HEAD_BYTES] == _HEAD.format(crc).encode():
            data = json.loads(raw)["data"]
            return dict(data["values"]), dict(data["state"])
    except (ValueError, KeyError, TypeError, MemoryError):
        pass
    return None


class Settings:
    def __init__(self, values, saved, state, log, path=PATH):
        self.values = values  # in force; everybody reads it when needed
        self.state = state  # small things to remember that are no settings
        self.apply = None  # (key): puts values[key] in force; raises when that cannot be
        self._saved = saved  # setting: value that counts instead of the one in config.json
        self._log = log
        self._path = path

    def set(self, key, value):
        # None, or why it was not done: then all is as it was.
        from firmware.core import schema

        value, problem = schema.check(key, value, self.values)
        old = self.values.get(key)
        if problem or value == old:
            return problem
        saved = dict(self._saved)
        saved[key] = value
        try:
            self.values[key] = value
            self.apply(key)
            self._save(saved, self.state)
        except (OSError, ValueError, MemoryError) as e:
            self.values[key] = old
            self.apply(key)
            return "not done: " + (str(e) or "no memory")
        self._saved = saved
        return None

    def note(self, key, value):
        # Never raises: a full flash must not end the program. What could not be written counts until
        # the restart. None forgets. The caller does not change `value` any more.
        if self.state.get(key) == value:
            return
        state = dict(self.state)
        state[key] = value
        if value is None:
            del state[key]
        self.state = state
        try:
            self._save(self._saved, state)
        except (OSError, MemoryError) as e:
            self._log("settings: {} not saved, {}".format(key, e))

    def _save(self, saved, state):
        from firmware import files

        data = json.dumps({"values": saved, "state": state}).encode()
        head = _HEAD.format(crc16(data, 0, len(data))).encode()
        if len(head) + len(data) >= _MAX_BYTES:
            raise OSError("settings: too large")
        files.replace(self._path, head, data, b"}")
