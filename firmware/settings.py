# What the cloud may change: `values` is the one dictionary in force. set() checks, applies, and
# writes to flash (files.py has the format); the caller reports.

import sys


class Settings:
    def __init__(self, values, saved, state, log):
        self.values = values  # in force; everybody reads it when needed
        self.state = state  # small things to remember that are no settings
        self.seen = []  # ids of commands that this boot has done; the newest, as in the state
        self.apply = None  # (key): puts values[key] in force; raises when that cannot be
        self.saved = saved  # setting: value that counts instead of the one in config.json
        self.log = log

    def set(self, key, value):
        # None, or why it was not done: then all is as it was.
        from firmware.core import schema

        value, problem = schema.check(key, value, self.values, sys.implementation[2])
        # A value that the board has come back from is not tried again, until another one is.
        bad, why = self.state.get("rejected", {}).get(key, (None, None))
        problem = problem or (value == bad and why) or None
        if problem or value == self.values.get(key):
            return problem
        return self.put(key, value, value)

    def release(self, key, override=None, why=None):
        # To an override that was good; None: to config.json. why: what was wrong with the value.
        value = override
        if value is None:
            from firmware.core import schema

            value = self.state.get("config", {}).get(key, schema.DEFAULTS[key])
        return self.put(key, value, override, why)

    def put(self, key, value, override, why=None):
        old = self.values.get(key)
        try:
            from firmware import files

            self.values[key] = value
            found = self.apply(key)
            trial = None if why or override is None else bool(found)
            saved, state = files.change(self.saved, self.state, key, override, trial, why)
            files.save_settings(saved, state)
        except (OSError, ValueError, MemoryError) as e:
            self.values[key] = old
            self.apply(key)
            return "not done: " + (str(e) or "no memory")
        self.saved, self.state = saved, state

    def note(self, key, value):
        # None forgets. What could not be written counts until the restart: a full flash must not
        # end the program. The caller does not change `value` any more.
        if self.state.get(key) == value:
            return
        self.state[key] = value
        if value is None:
            del self.state[key]
        try:
            from firmware import files

            files.save_settings(self.saved, self.state)
        except (OSError, MemoryError) as e:
            self.log("settings: {} not saved, {}".format(key, e))
