# Run by MicroPython: the firmware's Session, Tls and Link against the broker of
# tests/e2e/server.py, for as many sessions or QoS 1 publishes as wanted.
#
#   micropython upy_soak.py '{"port": 8883, "certs": DIR, ...}'
#
# With "sessions": each sends a window full, and once all is acknowledged, in this session or a
# later one, its number and the free heap after gc.collect() are a line of JSON; then the parent
# ends it. With "publishes": as fast as the window lets them, numbered in the payload.

import gc
import json
import sys
import time

from firmware.core.errors import LinkError
from firmware.net.link import Link
from firmware.net.mqtt import Session
from firmware.net.tls import Tls
from tests.e2e.upy_tools import Clock, say

GIVEN = {
    "thing": "t-1",
    "host": "localhost",
    "keepalive_s": 30,
    "window": 8,
    "limit_bytes": 8192,
    "sessions": 0,
    "publishes": 0,
    "first_pid": 0,  # the packet id before the first
    "seconds": 600,
    "speed": 20,  # how much faster the firmware's clock runs than the broker's
}

REASONS = ("dns", "tcp", "tls", "no_connack", "refused", "closed", "timeout", "no_puback")
REASONS += ("no_suback", "no_pingresp", "protocol", "too_large", "memory")


class Soak:
    def __init__(self, given):
        self.given = given
        thing = given["thing"]
        self.clock = Clock(given["speed"])
        self.session = Session(
            thing,
            given["host"],
            given["port"],
            given["keepalive_s"],
            Tls(self._read),
            self.clock,
            given["window"],
            given["limit_bytes"],
            self._message,
            self._acked,
        )
        self.session.will("devices/" + thing + "/status", b'{"online": false}', True)
        topics = ["devices/" + thing + "/commands"]
        self.link = Link(self.session, self.clock, lambda _: 0, self._log, lambda: True, topics, 0)
        self.link.on_up = self._up
        self.topic = ("devices/" + thing + "/data").encode()
        self.payload = bytearray(b"0000000000 " + b"x" * 69)
        self.sessions = self.new = self.sent = self.acked = self.messages = 0
        self.quiet = self.told = 0  # how often all was acknowledged; in which session last
        self.in_order = True
        self.wraps = 0
        self.reasons = {reason: 0 for reason in REASONS}

    def _read(self, path):
        with open(self.given["certs"] + "/" + path.split("/")[-1], "rb") as file:
            return file.read()

    def _log(self, text):
        # Why connections fail or end, in a word; a word of its own would be a KeyError.
        if "next try" in text:
            reason = text.replace(",", "").split(" ")[1]
            self.reasons[reason] += 1

    def _message(self, topic, payload):
        self.messages += 1

    def _acked(self, tag):
        self.in_order = self.in_order and tag == self.acked
        self.acked += 1

    def _up(self, present):
        self.sessions += 1
        self.new += not present

    def _quiet(self):
        # The same place in the program every time: what the stack holds is not collected.
        gc.collect()
        gc.collect()
        free = gc.mem_free()
        self.told = self.sessions
        say("quiet", number=self.quiet, free=free)

    def _publish(self, most):
        while self.link.up and self.sent < most and self.session.can_send():
            number, pid = self.sent, self.session.pid
            for i in range(9, -1, -1):
                self.payload[i] = 48 + number % 10
                number //= 10
            if not self.session.publish1(self.topic, self.payload, self.sent):
                return
            self.wraps += self.session.pid < pid
            self.sent += 1

    def _settled(self):
        return self.told != self.sessions and self.acked == self.sent

    def run(self):
        given = self.given
        if given["first_pid"]:
            self.session.pid = given["first_pid"]
        start = time.ticks_ms()
        wanted = given["publishes"]
        while time.ticks_diff(time.ticks_ms(), start) < given["seconds"] * 1000:
            self.link.step()
            self._publish(wanted or self.sessions * given["window"])
            if wanted and self.acked == wanted:
                break
            if not wanted and self.link.up and self._settled():
                self.quiet += 1
                self._quiet()
                if self.quiet > given["sessions"]:  # one more, so that the last can be looked at
                    break
            if self.link.state:
                self.session.poll_ms(20)
            else:
                time.sleep_ms(1)
        took_ms = time.ticks_diff(time.ticks_ms(), start)
        gc.collect()
        gc.collect()
        free = gc.mem_free()
        self.session.disconnect()
        say(
            "end",
            sent=self.sent,
            acked=self.acked,
            in_order=self.in_order,
            wraps=self.wraps,
            resent=self.session.resent,
            sessions=self.sessions,
            new=self.new,
            messages=self.messages,
            free=free,
            ms=took_ms,
            reasons={reason: count for reason, count in self.reasons.items() if count},
        )


given = dict(GIVEN)
given.update(json.loads(sys.argv[1]))
try:
    Soak(given).run()
except LinkError as e:
    say("escaped", reason=e.reason)
    sys.exit(1)
