# A shadow service small enough to read: merge, delta and versions as aws-facts 4.2 to 4.5 say.
# Everything for the device lands in .out as (name of the Shadow method, payload).

import json

from firmware.core.shadow import Shadow

SETTINGS = {"interval_s": 60, "sensor": "auto", "i2c": {"sda": 21, "scl": 22}, "drain_per_s": 20}
BAD = "must be a whole number above 0"


def shadow_of(settings=SETTINGS, local=None, token="boot1"):
    # With a table of its own, so that the tests fit the heap of the smallest board beside it.
    made = []

    def check(key, value):
        if key == "i2c" and isinstance(value, dict):
            value = _merged(made[0].reported.true[key], value)
            return value, _pins_wrong(value)
        if key == "sensor":
            return value, None if isinstance(value, str) else "must be text"
        if key not in settings:
            return value, "unknown setting"
        return value, BAD if isinstance(value, bool) or not _above_0(value) else None

    made.append(Shadow(check, settings, token, local))
    return made[0]


def _above_0(value):
    return isinstance(value, int) and value > 0


def _pins_wrong(pins):
    return None if _above_0(pins.get("sda")) and _above_0(pins.get("scl")) else "sda: no pin"


def in_step():
    # A device and its cloud after the first birth.
    shadow, service = shadow_of(), ShadowService()
    shadow.connected()
    settle(shadow, service)
    del service.updates[:]
    service.asked = 0
    return shadow, service


def message(**fields):
    return json.dumps(fields).encode()


class ShadowService:
    def __init__(self):
        self.desired = {}
        self.reported = {}
        self.version = 0
        self.exists = False
        self.refuse = []  # codes for the next updates of the device, first come first served
        self.asked = 0
        self.updates = []  # what the device has sent, parsed
        self.out = []

    def get(self, payload):
        self.asked += 1
        token = json.loads(payload).get("clientToken")
        if not self.exists:
            self._say("get_rejected", {"code": 404, "message": "No shadow"}, token)
            return
        state = {"desired": self.desired, "reported": self.reported}
        delta = _delta(self.desired, self.reported)
        if delta:
            state["delta"] = delta
        self._say("get_accepted", {"state": state, "version": self.version}, token)

    def update(self, payload):
        # From the device.
        document = json.loads(payload)
        self.updates.append(document)
        if self.refuse:
            error = {"code": self.refuse.pop(0), "message": "no"}
            self._say("update_rejected", error, document.get("clientToken"))
            return
        self._accept(document["state"], document.get("clientToken"))

    def wish(self, desired):
        # By another client; None wipes the section.
        self._accept({"desired": desired}, "console-1")

    def tamper(self, reported):
        self._accept({"reported": reported}, "console-2")

    def delete(self):
        self.desired, self.reported, self.exists, self.version = {}, {}, False, 0

    def _accept(self, state, token):
        if "desired" in state:
            self.desired = _merged(self.desired, state["desired"])
        if "reported" in state:
            self.reported = _merged(self.reported, state["reported"])
        self.exists = True
        self.version += 1
        self._say("update_accepted", {"state": state, "version": self.version}, token)
        delta = _delta(self.desired, self.reported)
        if delta:
            self._say("delta", {"state": delta, "version": self.version}, token)

    def _say(self, topic, document, token):
        if token is not None:
            document["clientToken"] = token
        self.out.append((topic, json.dumps(document).encode()))


def settle(shadow, service, refuse=None, limit=40):
    # Plays the caller's part until nobody has anything to say; the number of rounds it took.
    # refuse(key): why a good wish cannot be met.
    for turn in range(limit):
        quiet = not service.out
        while service.out:
            topic, payload = service.out.pop(0)
            getattr(shadow, topic)(payload)
        quiet = _act(shadow, service, refuse) and quiet
        if quiet:
            return turn
    raise AssertionError("does not settle")


def _act(shadow, service, refuse):
    quiet = True
    wish = shadow.next_wish()
    while wish:
        quiet = False
        why = refuse and refuse(wish[0])
        if why:
            shadow.refuse(wish[0], wish[1], why)
        else:
            shadow.applied(wish[0], wish[1])
        wish = shadow.next_wish()
    shadow.later = False
    if shadow.wants_get:
        service.get(shadow.get())
        return False
    document = shadow.update()
    if document is None:
        return quiet
    service.update(document)
    return False


def _merged(base, patch):
    if patch is None:
        return {}
    merged = dict(base)
    for key in patch:
        if patch[key] is None:
            merged.pop(key, None)
        elif isinstance(patch[key], dict):
            inner = merged.get(key)
            inner = _merged(inner if isinstance(inner, dict) else {}, patch[key])
            merged[key] = inner
            if not inner:
                del merged[key]
        else:
            merged[key] = patch[key]
    return merged


def _delta(desired, reported):
    delta = {}
    for key in desired:
        there = reported.get(key)
        if isinstance(desired[key], dict) and isinstance(there, dict):
            inner = _delta(desired[key], there)
            if inner:
                delta[key] = inner
        elif key not in reported or not _same(there, desired[key]):
            delta[key] = desired[key]
    return delta


def _same(a, b):
    return a == b and isinstance(a, bool) == isinstance(b, bool)
