# Keeps the board and its shadow in step: asks for the document after every connect, applies what
# is desired in it, and reports. Here are the state, the deadlines and the publishing; what the
# messages mean is core/shadow.py, loaded when there is one.

from micropython import const

from firmware.core.timing import Deadline

_ANSWER_MS = const(10_000)
_LATER_MS = const(30_000)  # another try when memory was short
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
        self._session = session
        self._prefix = prefix
        self._topic = topic
        self._clock = clock
        self._facts = facts
        self.log = log
        self.token = token
        self.serial = 0  # of the last get or update
        self.asked = None  # token of the get that is not answered
        self.pending = None  # (token, desired) of the update that is not answered
        self.unanswered = 0  # in a row
        self.wait = Deadline(clock)  # for the answer; or until another try
        self.birth_due = self.get_due = self.update_due = False
        self.bare = False  # the update goes without facts: it was too large
        self.seen = -1  # twice the newest version; 1 more once its desired values are noted
        self.desired = None  # (values, AWS's reported ones are not ours), still to be applied
        self.rejected = {}  # name: why; or None, to be taken out of AWS's reported
        self.failed = {}  # key: (value as text, why) of what could not be applied
        # key: the value before a change by command that AWS has not accepted. The desired value
        # that it replaced is still in the cloud and must not win.
        local = settings.state.get("local")
        self.local = dict(local) if isinstance(local, dict) else {}
        self.junk = 0
        self._since_s = 0  # of the last report, and what the sampler was like in it
        self._sensor = self.failing = None

    def connected(self, present=None):
        # A delta is not repeated for a client that was away.
        self.birth_due = self.get_due = self.update_due = True
        self.asked = self.pending = None
        self.unanswered = 0
        self.failed = {}
        self.wait.start(0)

    def receive(self, kind, payload):
        # Inside the MQTT callback. kind: bytes, the topic after the prefix.
        from firmware.core import shadow

        shadow.receive(self, kind, payload)

    def lost(self):
        # A message that there was no memory for: its content is asked for, later.
        self.asked = self.pending = None
        self.get_due = self.update_due = True
        self.wait.start(_LATER_MS)

    def changed(self, key, old):
        # A setting was changed at the device; a desired value for the same key is older.
        if self.settings.values[key] != old:
            self.local.setdefault(key, old)
            self.settings.note("local", dict(self.local))
            if key in self.rejected:
                self.rejected[key] = None
            if self.desired:
                self.desired[0].pop(key, None)
            self.update_due = True

    def step(self):
        # While there is a session.
        if self.desired:
            from firmware.core import shadow

            shadow.desire(self)
            return
        if self._session.waiting(_TAG):
            if self.asked or self.pending:
                self.wait.start(_ANSWER_MS)
            return
        if self.wait.left_ms():
            return
        if self.asked or self.pending:
            # A broker may keep a session and lose what it is subscribed to, as when one connection
            # takes over from another that is just ending: then nothing ever arrives, in this
            # session or a later one. A SUBSCRIBE too many does no harm. After three times do
            # without the answer: it may be larger than the session takes.
            self.log("shadow: no answer, subscribing again")
            self._session.subscribe()
            self.asked = self.pending = None
            self.unanswered = (self.unanswered + 1) % _TRIES
            self.get_due = self.unanswered > 0
            self.update_due = True
        age_s = self._clock.s - self._since_s
        if age_s >= _SENSOR_S:
            sampler = self.sampler
            if sampler.sensor != self._sensor or age_s >= _HOUR_S:
                self.update_due = True
            elif age_s >= _FAILING_S and sampler.failing() != self.failing:
                self.update_due = True
        if self.birth_due or self.get_due or self.update_due:
            self._publish()

    def _publish(self):
        # The facts first: what makes them has left the heap again when shadow.py comes.
        if self.birth_due:
            import json

            self.birth_due = False
            facts = self._facts(True)
            facts["online"] = True
            self._session.document(self._topic, json.dumps(facts).encode(), _TAG, True)
            return
        facts = None if self.get_due else self._facts(False)
        from firmware.core import shadow

        if self.get_due:
            topic = self._prefix + b"get"
            document = shadow.get(self)
        else:
            topic = self._prefix + b"update"
            self._since_s = self._clock.s
            self._sensor = self.sampler.sensor
            self.failing = self.sampler.failing()
            document = shadow.update(self, facts)
        facts = None
        self.wait.start(_ANSWER_MS)
        self._session.document(topic, document, _TAG)
