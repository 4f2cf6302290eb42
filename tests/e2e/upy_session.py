# Run by MicroPython: Session, Tls and Link against the broker of server.py, without a board.
#
#   micropython upy_session.py '{"port": 8883, "certs": DIR, ...}'
#
# DIR holds ca.pem, cert.pem, key.pem. Every event is one line of JSON on standard output; the
# program ends by itself after "seconds", or when as many readings as "publish" are acknowledged.

import json
import sys
import time

from firmware.net.link import Link
from firmware.net.mqtt import Session
from firmware.net.tls import Tls
from tests.e2e.upy_tools import Clock, say

GIVEN = {
    "thing": "t-1",
    "host": "localhost",
    "keepalive_s": 60,
    "window": 8,
    "limit_bytes": 8192,
    "topics": ["devices/t-1/commands"],
    "publish": 0,  # how many; 0: none, and run until the time is over
    "payload_bytes": 80,
    "seconds": 20,
    "random": 0,  # share of the backoff's range: 0 floor, 1 ceiling
    "speed": 1,  # how much faster the firmware's clock runs than the broker's
}


class Device:
    def __init__(self, given):
        self.given = given
        self.clock = Clock(given["speed"])
        self.tls = Tls(self._read)
        thing, port, keepalive_s = given["thing"], given["port"], given["keepalive_s"]
        self.session = Session(
            thing,
            given["host"],
            port,
            keepalive_s,
            self.tls,
            self.clock,
            given["window"],
            given["limit_bytes"],
            self._message,
            self._acked,
        )
        self.session.will("devices/" + thing + "/status", b'{"online": false}', True)
        self.link = Link(
            self.session, self.clock, self._random, self._log, self._online, given["topics"], 0
        )
        self.link.on_up = lambda present: say("up", present=present)
        self.link.on_down = lambda error: say("down", reason=error.reason)
        self.topic = ("devices/" + thing + "/data").encode()
        self.payload = b"x" * given["payload_bytes"]
        self.sent = self.acked = 0
        self.in_order = True

    def _read(self, path):
        with open(self.given["certs"] + "/" + path.split("/")[-1], "rb") as file:
            return file.read()

    def _random(self, limit):
        return int(self.given["random"] * (limit - 1))

    def _log(self, text):
        say("log", text=text)

    def _online(self):
        return True

    def _message(self, topic, payload):
        say("message", topic=topic.decode(), size=len(payload))

    def _acked(self, tag):
        self.in_order = self.in_order and tag == self.acked
        self.acked += 1

    def run(self):
        start = time.ticks_ms()
        wanted = self.given["publish"]
        while time.ticks_diff(time.ticks_ms(), start) < self.given["seconds"] * 1000:
            self.link.step()
            while self.link.up and self.sent < wanted and self.session.can_send():
                if self.session.publish1(self.topic, self.payload, self.sent):
                    self.sent += 1
            if wanted and self.acked == wanted:
                break
            self.session.poll_ms(20) if self.link.state else time.sleep_ms(5)
        took_ms = time.ticks_diff(time.ticks_ms(), start)
        self.session.disconnect()
        counts = {"resent": self.session.resent, "oversized": self.session.oversized}
        say("end", acked=self.acked, in_order=self.in_order, ms=took_ms, **counts)


given = dict(GIVEN)
given.update(json.loads(sys.argv[1]))
Device(given).run()
