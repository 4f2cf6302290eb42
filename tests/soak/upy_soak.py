# Run by MicroPython: the firmware's Session and Connection against the broker of
# tests/e2e/server.py, for as many sessions or QoS 1 publishes as wanted.
#
#   micropython upy_soak.py '{"port": 8883, "folder": DIR, ...}'
#
# DIR/certs holds ca.pem, cert.pem, key.pem. With "sessions": each sends a window full, and once
# all is acknowledged, in this session or a later one, its number and the free heap after
# gc.collect() are a line of JSON; then the parent ends it. With "publishes": as fast as the window
# lets them, numbered in the payload. As on a board, what is needed only to connect is loaded for
# each connect.

import gc
import sys
import time

from firmware import loading
from firmware.core.errors import LinkError
from firmware.net import packets, tls
from tests.e2e import upy_tools
from tests.e2e.upy_tools import say

REASONS = ("dns", "tcp", "tls", "no_connack", "refused", "closed", "timeout", "no_puback")
REASONS += ("no_suback", "no_pingresp", "protocol", "memory")


def scrub(depth):
    # Writes over what earlier calls left on the C stack: the collector takes it for pointers, and
    # one of them may hold a whole module.
    a = b = c = d = e = f = g = h = depth
    return depth and scrub(depth - 1) + (a - b + c - d + e - f + g - h)


class Soak(upy_tools.Device):
    def __init__(self, given):
        self.text = bytearray(b"0000000000 " + b"x" * 69)
        upy_tools.Device.__init__(self, given, len(self.text))
        self.link = self.connect(tls.context(), lambda _: 0)
        self.new = self.messages = 0
        self.quiet = self.told = 0  # how often all was acknowledged; in which session last
        self.wraps = 0
        self.reasons = {reason: 0 for reason in REASONS}

    def _encode(self, seq, buf, at):
        self.made += 1
        text = self.text
        number = seq - 1
        for i in range(9, -1, -1):
            text[i] = 48 + number % 10
            number //= 10
        for i in range(len(text)):
            buf[at + i] = text[i]
        return at + len(text)

    def _log(self, text):
        # Why connections fail or end, in a word; a word of its own would be a KeyError.
        if "next try" in text:
            reason = text.replace(",", "").split(" ")[1]
            self.reasons[reason] += 1

    def _message(self, topic, payload):
        self.messages += 1

    def _up(self, present):
        self.new += not present

    def _quiet(self):
        # The same place in the program every time: what the stack holds is not collected.
        loading.unload()
        scrub(20)
        gc.collect()
        gc.collect()
        free = gc.mem_free()
        self.told = self.link.sessions
        say("quiet", number=self.quiet, free=free)

    def _publish(self, most):
        session = self.session
        while self.link.up and self.sent < most and session.used < self.given["window"]:
            pid = session.pid
            self.sent += 1
            session.take(self.sent)
            self.wraps += session.pid < pid

    def _settled(self):
        # SUBACK counts, too: without it the session is not what it is to be.
        return (
            self.told != self.link.sessions and self.acked == self.sent and not self.session.used
        )

    def run(self):
        given = self.given
        if given["first_pid"]:
            self.session.pid = given["first_pid"]
        start = time.ticks_ms()
        wanted = given["publishes"]
        while time.ticks_diff(time.ticks_ms(), start) < given["seconds"] * 1000:
            self.clock.step()
            self.link.step(True)
            self._publish(wanted or self.link.sessions * given["window"])
            if wanted and self.acked == wanted:
                break
            if not wanted and self.link.up and self._settled():
                self.quiet += 1
                self._quiet()
                if self.quiet > given["sessions"]:  # one more, so that the last can be looked at
                    break
            if self.session.due() < 0 and not self.link.wait(20):
                time.sleep_ms(1)
        took_ms = time.ticks_diff(time.ticks_ms(), start)
        gc.collect()
        gc.collect()
        free = gc.mem_free()
        packets.disconnect(self.session)
        say(
            "end",
            sent=self.sent,
            acked=self.acked,
            in_order=self.in_order,
            wraps=self.wraps,
            resent=self.made - self.sent,
            sessions=self.link.sessions,
            new=self.new,
            messages=self.messages,
            free=free,
            ms=took_ms,
            reasons={reason: count for reason, count in self.reasons.items() if count},
        )


given = upy_tools.asked(
    keepalive_s=30,
    speed=20,
    sessions=0,
    publishes=0,
    first_pid=0,  # the packet id before the first
    seconds=600,
)
loading.keep()
try:
    Soak(given).run()
except LinkError as e:
    say("escaped", reason=e.args[0])
    sys.exit(1)
