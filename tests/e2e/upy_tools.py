# What the programs that MicroPython runs against server.py share: upy_session.py and
# tests/soak/upy_soak.py.

import json
import os
import sys
import time

from firmware.net.connection import Connection
from firmware.net.session import Session

_GIVEN = {
    "thing": "t-1",
    "host": "localhost",
    "keepalive_s": 60,
    "window": 8,
    "limit_bytes": 8192,
    "speed": 1,  # how much faster the firmware's clock runs than the broker's
}


class Clock:
    # Ticks that pass `speed` times as fast as the broker's.
    def __init__(self, speed):
        self._start = time.ticks_ms()
        self._speed = speed
        self.s = self.ask_s = 0
        self.offset = self.source = None

    def now(self):
        return time.ticks_diff(time.ticks_ms(), self._start) * self._speed

    def diff(self, a, b):
        return a - b

    def step(self):
        self.s = self.now() // 1000


def say(event, **what):
    # One line of JSON for the parent.
    what["event"] = event
    print(json.dumps(what))


def asked(**defaults):
    # What the parent wants, from the command line; in its folder.
    given = dict(_GIVEN)
    given.update(defaults)
    given.update(json.loads(sys.argv[1]))
    os.chdir(given["folder"])
    return given


class Device:
    # Session and Connection without a board; subclasses have _encode, _log, _message and _up.
    def __init__(self, given, payload_bytes):
        self.given = given
        self.clock = Clock(given["speed"])
        thing = given["thing"].encode()
        session = self.session = Session(
            thing,
            given["host"],
            given["port"],
            given["keepalive_s"],
            self.clock,
            given["window"],
            b"devices/" + thing + b"/data",
            payload_bytes,
            self._encode,
        )
        session.set_last_will(b"devices/" + thing + b"/status", b'{"online": false}', True, 1)
        session.set_callback(self._message)
        session.on_ack = self._acked
        session.filters = lambda: ["devices/" + given["thing"] + "/commands"]
        self.sent = self.made = self.acked = 0
        self.in_order = True

    def connect(self, context, random):
        limit_bytes = self.given["limit_bytes"]
        link = Connection(self.session, self.clock, random, self._log, context, limit_bytes)
        link.on_up = self._up
        return link

    def _acked(self, tag):
        if tag > 0:
            self.acked += 1
            self.in_order = self.in_order and tag == self.acked
