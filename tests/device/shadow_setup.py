# A board's ShadowSync between fakes, a shadow service, and what carries the messages to and fro.

import json

from fakes import Clock, Log, opened
from firmware.core import shadow
from firmware.core.text import RARE
from firmware.shadow_sync import ShadowSync

SETTINGS = {"interval_s": 60, "sensor": "auto", "i2c": {"sda": 21, "scl": 22}, "drain_per_s": 20}
BAD = "must be a whole number above 0"
PREFIX = b"$aws/things/t-1/shadow/"
STATUS = b"devices/t-1/status"


def check(key, value, values):
    # A table of its own, so that the tests fit the heap of the smallest board beside it.
    if key == "i2c" and isinstance(value, dict):
        value = merged(values[key], value)
        good = _above_0(value.get("sda")) and _above_0(value.get("scl"))
        return value, None if good else "sda: no pin"
    if key == "i2c":
        return value, "must be an object"
    if key == "sensor":
        return value, None if isinstance(value, str) else "must be text"
    if key not in SETTINGS and key != "samples":
        return value, "unknown setting"
    return value, None if _above_0(value) else BAD


def _above_0(value):
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


class Settings:
    # As firmware/settings.py, without flash. refuse(key): why a good value cannot be put in force.
    def __init__(self, values, state, table):
        self.values = dict(values)
        self.config = dict(values)  # what config.json has
        self.saved = {}
        self.state = json.loads(json.dumps(state))
        self.refuse = None
        self.given = []  # (key, value) of each set()
        self._check = table
        self.unloaded = 0

    def unload(self):
        self.unloaded += 1

    def known(self, key):
        return key in SETTINGS or key in RARE.split()

    def set(self, key, value):
        if value is None:
            return self.release(key)
        self.given.append((key, value))
        value, problem = self._check(key, value, self.values)
        if problem or value == self.values.get(key):
            return problem
        problem = self.refuse and self.refuse(key)
        if not problem:
            self.values[key] = self.saved[key] = value
        return problem

    def release(self, key):
        self.given.append((key, None))
        self.values[key] = self.config.get(key)
        if self.values[key] is None:
            del self.values[key]
        del self.saved[key]

    def note(self, key, value):
        if self.state.get(key) == value:
            return
        self.state[key] = json.loads(json.dumps(value))
        if value is None:
            del self.state[key]


class Sampler:
    def __init__(self):
        self.sensor = "bme280@0x76"
        self.fault = None
        self.driver, self.due = 1, False

    def release(self):
        self.driver = None


class Session:
    lw_topic = STATUS  # the birth message takes the last will's place

    def __init__(self):
        self.waiting = ()  # a document is not acknowledged yet
        self.pid = 0
        self.sent = []  # (topic, payload, retain)
        self.subscribed = 0
        self.rival = None
        self.mute = False  # without SUBSCRIBE

    def take(self, tag, packet, at, more):
        assert tag == -1 and not self.waiting
        self.sent.append(opened(packet + more, at))
        self.pid += 1

    @property
    def doubt(self):
        return self.mute

    @doubt.setter
    def doubt(self, value):
        # The connection subscribes again, in its next step.
        self.subscribed += value


class Board:
    def __init__(self, values=SETTINGS, state=(), token="boot1", table=check):
        self.settings = Settings(values, dict(state), table)
        self.sampler = Sampler()
        self.session = Session()
        self.clock = Clock()
        self.log = self.settings.log = Log()
        self.facts = {}  # what reported carries besides the settings
        # The board is its own Connection: session, clock, log.
        self.sync = ShadowSync(self, self.settings, self.sampler, PREFIX, self._facts, token)

    def _facts(self, full):
        facts = dict(self.facts)
        if full:
            facts["full"] = True
        return facts

    def report(self, **facts):
        # Something of the facts has changed that matters.
        self.facts.update(facts)
        self.sync.update_due = True

    def command(self, key, value):
        from firmware.command_runner import change

        assert change(self.sync, key, value) is None

    def receive(self, kind, payload):
        # As app.py does it: what the session has received may be written to.
        shadow.receive(self.sync, kind, bytearray(payload))
        if self.sync.message:
            self.sync.step()

    def hear(self, service, count=1 << 29):
        while service.out and count:
            count -= 1
            kind, payload = service.out.pop(0)
            self.receive(kind, payload)

    def step(self):
        # As the loop does: at once again while there is more to do.
        while self.sync.step():
            pass

    def send(self, service):
        # One step, or as many as come at once, and what is published; whether there was anything.
        self.step()
        sent = self.session.sent
        self.session.sent = []
        for topic, payload, retain in sent:
            if topic == PREFIX + b"get":
                service.get(payload)
            elif topic == PREFIX + b"update":
                service.update(payload)
            else:
                service.births.append((topic, json.loads(payload), retain))
        return bool(sent)

    def pass_s(self, seconds):
        # What is sent stays in session.sent.
        for _ in range(seconds):
            self.clock.pass_ms(1000)
            self.step()
        return self

    def connected(self):
        self.sync.connected()
        return self

    def said(self, topic):
        # The documents sent and not taken away, of one topic.
        return [
            json.loads(text) for where, text, _ in self.session.sent if where == PREFIX + topic
        ]


def in_step(desired=None):
    # A device and its cloud after the first birth, and after these desired values.
    board, service = Board(), ShadowService()
    connect(board, service)
    del service.updates[:]
    service.asked = 0
    if desired:
        desire(board, service, desired)
    return board, service


def desire(board, service, desired):
    service.desire(desired)
    settle(board, service)


def connect(board, service):
    board.sync.connected()
    settle(board, service)


def message(**fields):
    return json.dumps(fields).encode()


def settle(board, service, limit=40):
    # Until nobody has anything to say, and no answer is waited for.
    for _ in range(limit):
        quiet = not service.out
        board.hear(service)
        if board.send(service) or not quiet or service.out:
            continue
        left_ms = board.sync.wait.left_ms()
        if not left_ms:
            return
        board.clock.pass_ms(left_ms)
    raise AssertionError("does not settle")


class ShadowService:
    # Small enough to read: merge, delta and versions as aws-facts 4.2 to 4.5 say. Everything for
    # the device lands in .out as (topic after ".../shadow/", payload).
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
