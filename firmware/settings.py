# What the cloud may change: `values` is the one dictionary in force. set() checks, applies, and
# writes to flash (files.py has the format); the caller reports.


class Settings:
    def __init__(self, values, saved, state, log):
        self.values = values  # in force; everybody reads it when needed
        self.state = state  # small things to remember that are no settings
        self.seen = []  # ids of commands that this boot has done; the newest, as in the state
        self.apply = None  # (key): puts values[key] in force; raises when that cannot be
        self.unload = None  # of loading.py
        self.since_s = 0  # of the last change, as upkeep.check() has seen it
        self.saved = saved  # setting: value that counts instead of the one in config.json
        self.log = log

    def set(self, key, value):
        # None, or why it was not done: then all is as it was. None takes an override back.
        try:
            from firmware import overrides

            return overrides.accept(self, key, value)
        except MemoryError:
            return "not done: no memory"

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
