# Keeps the board and its shadow in step: asks for the document after every connect, applies what
# is desired in it, and reports. What the messages mean is core/shadow.py, loaded when one comes;
# here is what must stay, and what puts a value in force: the two are too large for one moment.

from micropython import const

from firmware.core.timing import Deadline

_ANSWER_MS = const(10_000)
_LATER_MS = const(30_000)  # another try when AWS is busy or memory was short
_TRIES = const(3)
_TAG = const(-1)  # of our documents in the session
_HOUR_S = const(3600)
_SENSOR_S = const(5)  # at least, between two reports: a sensor has come or gone
_FAILING_S = const(60)  # readings begin to fail, or are good again


class ShadowSync:
    def __init__(self, settings, sampler, session, prefix, topic, clock, facts, log, token):
        # prefix, topic: of the shadow, of the birth message
        # facts(full) -> a new dict: for the birth message, or at most ten for the shadow
        # token: text of at most 40 characters, another one at each boot
        self.settings = settings
        self.sampler = sampler
        self.session = session
        self.prefix = prefix
        self.topic = topic
        self.clock = clock
        self.facts = facts
        self.log = log
        self.token = token
        self.serial = 0  # of the last get or update
        self.wait = Deadline(clock)  # for the answer; or until another try
        self.seen = -1  # twice the newest version; 1 more once its desired values are noted
        self.desired = {}  # still to be applied
        self.rejected = {}  # name: why; or None, to be taken out of AWS's reported
        # key: the value before a change by command that AWS has not accepted. The desired value
        # that it replaced is still in the cloud and must not win.
        local = settings.state.get("local")
        self.local = dict(local) if isinstance(local, dict) else {}
        self.bare = False  # the update goes without facts: it was too large
        self.junk = 0
        self.out = None  # (topic, payload, retained?) to be sent
        self.since_s = 0  # of the last report, and what the sampler was like in it
        self.sensor = self.failing = None
        self.connected()

    def connected(self, present=None):
        # A delta is not repeated for a client that was away.
        self.out = None
        self.birth_due = True
        self.unanswered = 0  # in a row
        self.failed = {}  # key: (value as text, why) of what could not be applied
        self.lost()
        self.wait.start(0)

    def lost(self):
        # An answer, or a message that there was no memory for: ask for everything, later.
        self.asked = None  # token of the get that is not answered
        self.pending = None  # (token, desired) of the update that is not answered
        self.get_due = self.update_due = True
        self.wait.start(_LATER_MS)

    def receive(self, kind, payload):
        # Inside the MQTT callback. kind: bytes, the topic after the prefix.
        from firmware.core import shadow

        shadow.receive(self, kind, payload)

    def changed(self, key, old):
        # A setting was changed at the device; a desired value for the same key is older.
        if self.settings.values[key] != old:
            self.local.setdefault(key, old)
            self.settings.note("local", dict(self.local))
            if key in self.rejected:
                self.rejected[key] = None
            self.desired.pop(key, None)
            self.failed.pop(key, None)
            self.update_due = True

    def forget(self, key):
        # What was changed at the device has arrived, or is older than what is desired.
        if key in self.local:
            del self.local[key]
            self.settings.note("local", dict(self.local) or None)

    def step(self):
        # While there is a session. True when there is more to do at once.
        if self.desired:
            self._apply()
            return True
        if self.out:
            (topic, payload, retain), self.out = self.out, None
            self.session.document(topic, payload, _TAG, retain)
            return False
        asking = self.asked or self.pending
        if asking and _TAG in self.session.waiting:
            self.wait.start(_ANSWER_MS)
        if self.wait.left_ms() or _TAG in self.session.waiting:
            return False
        if asking:
            # A broker may keep a session and lose what it is subscribed to, as when one connection
            # takes over from another that is just ending: then nothing ever arrives, in this
            # session or a later one. A SUBSCRIBE too many does no harm. After three times do
            # without the answer: it may be larger than the session takes.
            self.log("shadow: no answer, subscribing again")
            self.session.doubt = True
            self.lost()
            self.unanswered = (self.unanswered + 1) % _TRIES
            self.get_due = self.unanswered > 0
        sampler, age_s = self.sampler, self.clock.s - self.since_s
        if age_s >= _SENSOR_S and sampler.sensor != self.sensor:
            self.update_due = True
        elif age_s >= _FAILING_S and (sampler.failing() != self.failing or age_s >= _HOUR_S):
            self.update_due = True
        if self.birth_due or self.get_due or self.update_due:
            # The facts first: what makes them has left the heap again when shadow.py comes.
            facts = self.facts(self.birth_due)
            from firmware.core import shadow

            # Sent in the next step, when shadow.py has left the heap as well.
            self.out = shadow.document(self, facts)
            self.wait.start(_ANSWER_MS if self.asked or self.pending else 0)
            return True
        return False

    def _apply(self):
        # Each desired value is put in force and saved by settings.set(), and only then reported.
        # One that is not is named in reported.rejected with the reason, until it goes away.
        import json

        values, rejected = self.settings.values, self.rejected
        desired, self.desired = self.desired, {}
        for key in sorted(desired):
            value = desired[key]
            old = values.get(key)
            why = None
            if key not in self.local or value != self.local[key]:  # else a command has replaced it
                self.forget(key)
                why = self.settings.set(key, value)
            why = why and why[:96]
            if values.get(key) != old:
                self.log("shadow: {} is now {}".format(key, json.dumps(values[key])))
                self.update_due = True
            text = json.dumps(value)
            self.failed.pop(key, None)
            if why and key in values and len(text) <= 96:
                self.failed[key] = text, why
            if why != rejected.get(key):
                rejected[key] = why
                self.update_due = True
                if why:
                    self.log("shadow: {} rejected: {}".format(key, why))
