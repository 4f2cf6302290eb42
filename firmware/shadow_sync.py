# Keeps the board and its shadow in step. What must stay, and what puts a desired value in force;
# what the messages mean is core/shadow.py, what is sent device_info.py, both on demand.

import json
from micropython import const

from firmware.core.timing import Deadline

_ANSWER_MS = const(10_000)
_LATER_MS = const(30_000)  # another try when AWS is busy or memory was short
_TRIES = const(3)
_SHORT = const(5)  # passes without memory, in a row
_TAG = const(-1)  # of our documents in the session
_HOUR_S = const(3600)
_SENSOR_S = const(5)  # at least, between two reports: a sensor has come or gone
_FAILING_S = const(60)  # readings begin to fail, or are good again


class ShadowSync:
    def __init__(self, link, settings, sampler, prefix, facts, token):
        # link: a Connection. prefix: of the shadow's topics. facts(full) -> a new dict, for the
        # birth message or for the shadow. token: up to 40 characters, others at each boot.
        self.session, self.clock = link.session, link.clock
        self.settings, self.sampler = settings, sampler
        self.prefix, self.facts, self.token = prefix, facts, token
        self.wait = Deadline(link.clock)  # for the answer; or until another try
        self.seen = -1  # twice the newest version; 1 more once its desired values are noted
        self.desired = None  # still to be applied: all that differs from reported
        # key: the value before a change by command, or in config.json, that AWS has not accepted.
        # The desired value that it replaced is still in the cloud and must not win.
        local = settings.state.get("local")
        self.local = dict(local) if isinstance(local, dict) else {}
        self.ask_s = 0  # of the next get, should nothing happen
        self.doubt = False  # whether reported has our board_id
        self.bare = False  # the update goes without facts: it was too large
        self.junk = 0
        self.since_s = 0  # of the last report, and what the sampler was like in it
        self.sensor = self.fault = None
        self.short = 0  # passes without memory, in a row
        self.gone = ()  # settings that reported has, and that count no more
        self.connected()

    def connected(self, present=None):
        # A delta is not repeated for a client that was away.
        self.out = None  # (topic, text, retained?) to be sent
        self.birth_s = 0  # clock.s from which a birth message is due
        self.failures = 0  # answers that did not come, in a row
        self.wrong, self.tried = {}, {}  # key: why it is not applied; value, as text, not again
        self.rejected = {}  # `wrong` as AWS has it
        self.lost()
        self.wait.start(0)

    def lost(self):
        # An answer, or a message that there was no memory for: ask for everything, later.
        # (token, desired, clock.s, board_id) that is not answered; desired: None in a get. And
        # (kind, document) that has come, and is still to be interpreted.
        self.pending = self.message = None
        self.get_due = self.update_due = True
        self.wait.start(_LATER_MS)

    def forget(self, key):
        # What was changed at the device has arrived, or is older than what is desired.
        self.local.pop(key, None)
        self.settings.note("local", dict(self.local) or None)

    def step(self):
        # While there is a session. True when there is more to do at once.
        message, sampler = self.message, self.sampler
        if not message and self.desired is None and not self.out and self._waits():
            return False
        try:
            more = self._go_on()
            self.short = 0
            return more
        except MemoryError:
            self.short += 1
            if message is not self.message or self.short > _SHORT:
                self.short = 0
                raise
            if not sampler.due:
                sampler.release()  # the next reading finds it again
            return False  # when the reading that is due, or what is under way, has gone

    def _waits(self):
        unsent = _TAG in self.session.waiting
        if unsent and self.pending:
            self.wait.start(_ANSWER_MS)
        if unsent or self.wait.left_ms():
            return True
        if self.pending:
            # A broker may keep a session and lose what it is subscribed to, as when one connection
            # takes over from another: then nothing ever arrives. A SUBSCRIBE too many does no
            # harm. After three times do without: the answer may be larger than the session takes.
            self.settings.log("shadow: no answer, subscribing again")
            self.session.doubt = True
            self.lost()
            self.failures = (self.failures + 1) % _TRIES
            self.get_due = self.failures > 0
        return self.clock.s < self.birth_s and not self._due()

    def _go_on(self):
        # One after the other, too: what makes the document, in the next step what sends it.
        if self.message:
            from firmware.core import shadow

            ours = shadow.heard(self)
            if ours:
                del shadow  # there is no room for a file beside it
                self.settings.unload()
                self.settings.note("board_id", ours)
            return True
        if self.desired is not None:
            if not self.sampler.due:
                self.sampler.release()
            self._apply()
            return True
        if self.out:
            from firmware.net import packets

            topic, text, retain = self.out
            packets.document(self.session, topic, text, _TAG, retain)
            self.out = None
            return False
        facts = self.facts(self.clock.s >= self.birth_s)
        from firmware import device_info

        self.out = device_info.document(self, facts)
        self.wait.start(_ANSWER_MS if self.pending else 0)
        return True

    def _due(self):
        # A get or an update. Not while sessions go without SUBSCRIBE: its tag is 0.
        if self.session.doubt and 0 not in self.session.waiting:
            return False
        age_s = self.clock.s - self.since_s
        self.get_due |= self.clock.s >= self.ask_s
        due = self.get_due or self.update_due or age_s >= _HOUR_S
        due = due or (age_s >= _SENSOR_S and self.sampler.sensor != self.sensor)
        return due or (age_s >= _FAILING_S and self.sampler.fault != self.fault)

    def _apply(self):
        # All in one step: reasons kept between the modules that come and go with each would break
        # up the heap (1 KB more on an ESP8266).
        values, desired, wrong, tried = self.settings.values, self.desired, {}, {}
        for key in sorted(desired):
            value, old, why = desired[key], values.get(key), None
            text = json.dumps(value)[:96]  # what is longer cannot be right
            if text == self.tried.get(key):
                why = self.wrong[key]
            elif value is None or not _same(value, self.local.get(key)):  # else a newer one counts
                self.forget(key)
                why = self.settings.set(key, value)
                why = why[:96] if why and len(why) > 96 else why  # else no copy
            if values.get(key) != old:
                self.settings.log("shadow: {} is now {}".format(key, json.dumps(values.get(key))))
                self.update_due = True
                self.gone += () if key in values else (key,)
            if why:
                wrong[key] = why
                if key in values:
                    tried[key] = text
                if why not in (self.wrong.get(key), self.rejected.get(key)):
                    self.settings.log("shadow: {} rejected: {}".format(key, why))
        bad = self.settings.state.get("rejected", {})  # a command's perhaps, that nobody desires
        for key in bad:
            wrong.setdefault(key, bad[key][1])
        self.update_due |= wrong != self.rejected
        self.wrong, self.tried, self.desired = wrong, tried, None


def _same(value, old):
    # A desired object may be a part of the whole one.
    if isinstance(value, dict) and isinstance(old, dict):
        whole = dict(old)
        whole.update(value)
        value = whole
    return value == old
