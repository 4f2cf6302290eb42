# A shadow service small enough to read: merge, delta and versions as aws-facts 4.2 to 4.5 say.
# Everything for the device lands in .out as (topic after ".../shadow/", payload).

import json


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
        self.births = []  # (topic, document, retained)

    def get(self, payload):
        self.asked += 1
        token = json.loads(payload).get("clientToken")
        if not self.exists:
            self._say(b"get/rejected", {"code": 404, "message": "No shadow"}, token)
            return
        state = {"desired": self.desired, "reported": self.reported}
        differing = delta(self.desired, self.reported)
        if differing:
            state["delta"] = differing
        self._say(b"get/accepted", {"state": state, "version": self.version}, token)

    def update(self, payload):
        # From the device.
        document = json.loads(payload)
        self.updates.append(document)
        if self.refuse:
            error = {"code": self.refuse.pop(0), "message": "no"}
            self._say(b"update/rejected", error, document.get("clientToken"))
            return
        self._accept(document["state"], document.get("clientToken"))

    def desire(self, desired):
        # By another client; None wipes the section.
        self._accept({"desired": desired}, "console-1")

    def tamper(self, reported):
        self._accept({"reported": reported}, "console-2")

    def delete(self):
        self.desired, self.reported, self.exists, self.version = {}, {}, False, 0

    def _accept(self, state, token):
        if "desired" in state:
            self.desired = merged(self.desired, state["desired"])
        if "reported" in state:
            self.reported = merged(self.reported, state["reported"])
        self.exists = True
        self.version += 1
        self._say(b"update/accepted", {"state": state, "version": self.version}, token)
        differing = delta(self.desired, self.reported)
        if differing:
            self._say(b"update/delta", {"state": differing, "version": self.version}, token)

    def _say(self, topic, document, token):
        if token is not None:
            document["clientToken"] = token
        self.out.append((topic, json.dumps(document).encode()))


def merged(base, patch):
    if patch is None:
        return {}
    result = dict(base)
    for key in patch:
        if isinstance(patch[key], dict):
            inner = result.get(key)
            inner = merged(inner if isinstance(inner, dict) else {}, patch[key])
            result[key] = inner or None
        else:
            result[key] = patch[key]
    return {key: result[key] for key in result if result[key] is not None}


def delta(desired, reported):
    differing = {}
    for key in desired:
        there = reported.get(key)
        if isinstance(desired[key], dict) and isinstance(there, dict):
            inner = delta(desired[key], there)
            if inner:
                differing[key] = inner
        elif key not in reported or not _same(there, desired[key]):
            differing[key] = desired[key]
    return differing


def _same(a, b):
    return a == b and isinstance(a, bool) == isinstance(b, bool)
