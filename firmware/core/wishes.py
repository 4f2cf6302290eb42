# What the cloud wants of the board, weighed by the table of the config.

_MAX_NAMED = 8  # in reported.rejected; the rest of a flood is only hinted at
_MAX_NULLS = 4 * _MAX_NAMED
_REASON_CHARS = 96
_NAME_CHARS = 40
_MORE = "..."


class Wishes:
    def __init__(self, check, reported):
        self._check = check  # check(key, value) -> (value to use, problem or None)
        self._true = reported.true
        self._local = reported.local
        self._failed = {}  # key: (value, why), good wishes that could not be met
        self.good = {}  # not met yet
        self.bad = {}  # {name: why} as reported.rejected ought to be

    def weigh(self, desired):
        # desired: every wish that is open; what was open and is not in it has gone away.
        self.good, self.bad = {}, {}
        self._failed = {key: self._failed[key] for key in self._failed if key in desired}
        for key in self._in_order(desired):
            if len(self.bad) == _MAX_NAMED and key not in self._true:
                self.bad[_MORE] = "and more"
                break
            if desired[key] is not None:
                self._weigh_one(key, desired[key])

    def weigh_anew(self, desired, reported):
        # After a get: the whole document. A strange key that stands in reported as well is no
        # open wish; the AWS console makes new shadows with one.
        self.weigh({k: v for k, v in desired.items() if k in self._true or reported.get(k) != v})

    def first(self):
        for key in self.good:
            return key, self.good[key]
        return None

    def fail(self, key, value, why):
        self.done(key)
        self._failed[key] = (value, why)
        self.bad[key] = why[:_REASON_CHARS]

    def done(self, key):
        for table in (self.good, self.bad, self._failed):
            table.pop(key, None)

    def may_lapse(self, state):
        # After another client's update: a wish that goes away brings no delta when nothing else
        # is out of step. MiniStack leaves a section set to null out of its answer, AWS does not.
        if not self.bad and not self.good:
            return False
        return state is None or "desired" in state or "reported" not in state

    def _weigh_one(self, key, value):
        value, why = self._check(key, value)
        failed = self._failed.get(key)
        if not why and failed and failed[0] == value:
            why = failed[1]
        if why:
            from firmware.core import words

            self.bad[words.printable(key, _NAME_CHARS)] = why[:_REASON_CHARS]
        elif key in self._local and value == self._local[key]:
            return  # what a change at the device replaced; the cloud will hear of that
        elif value != self._true.get(key):
            self._local.pop(key, None)  # wished since that change
            self.good[key] = value

    def _in_order(self, desired):
        # The keys that mean something first, so that no flood of others can hide them.
        true = self._true
        known = sorted(key for key in true if key in desired)
        return known + sorted(key for key in desired if isinstance(key, str) and key not in true)


def difference(told, now):
    # The patch that turns the object told into now, by the rules of a shadow: null deletes.
    # An object is emptied by deleting it whole; so is one full of strange names, and what is
    # no object (told None).
    if told is None or not now or len(told) > _MAX_NULLS:
        return None
    patch = {key: now[key] for key in now if told.get(key) != now[key]}
    for key in told:
        if key not in now:
            patch[key] = None
    return patch
