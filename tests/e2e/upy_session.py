# Run by MicroPython: Session and Connection against the broker of server.py, without a board.
#
#   micropython upy_session.py '{"port": 8883, "folder": DIR, ...}'
#
# DIR/certs holds ca.pem, cert.pem, key.pem. Every event is one line of JSON on standard output;
# the program ends by itself after "seconds", or when as many readings as "publish" are
# acknowledged.

import time

from firmware.core.errors import LinkError
from firmware.net import packets, tls
from tests.e2e import upy_tools
from tests.e2e.upy_tools import say


class Device(upy_tools.Device):
    def __init__(self, given):
        upy_tools.Device.__init__(self, given, given["payload_bytes"])
        context = None
        try:
            context = tls.context()
        except (LinkError, OSError, MemoryError) as e:
            say("log", text=" ".join([str(part) for part in e.args]))
        self.connection = self.connect(context, self._random)

    def _encode(self, seq, buf, at):
        self.made += 1
        for i in range(self.given["payload_bytes"]):
            buf[at + i] = 120
        return at + self.given["payload_bytes"]

    def _random(self, limit):
        return int(self.given["random"] * (limit - 1))

    def _log(self, text):
        if " answers, round trip " not in text:
            say("log", text=text)

    def _up(self, present):
        say("up", present=present)

    def _message(self, topic, payload):
        say("message", topic=topic.decode(), size=len(payload))

    def run(self):
        start = time.ticks_ms()
        given, session, connection = self.given, self.session, self.connection
        wanted = given["publish"]
        was_up = False
        longest_ms = 0
        while time.ticks_diff(time.ticks_ms(), start) < given["seconds"] * 1000:
            self.clock.step()
            begun = time.ticks_ms()
            connection.step(True)
            longest_ms = max(longest_ms, time.ticks_diff(time.ticks_ms(), begun))
            if was_up and not connection.up:
                say("down", reason=connection.last_reason)
            was_up = connection.up
            if was_up:
                while self.sent < wanted and session.used < given["window"]:
                    self.sent += 1
                    session.take(self.sent)
            if wanted and self.acked == wanted:
                break
            if session.due() < 0 and not connection.wait(20):
                time.sleep_ms(5)
        took_ms = time.ticks_diff(time.ticks_ms(), start)
        packets.disconnect(session)
        counts = {
            "resent": self.made - self.sent,
            "oversized": session.oversized,
            "longest_ms": longest_ms,
        }
        say("end", acked=self.acked, in_order=self.in_order, ms=took_ms, **counts)


given = upy_tools.asked(
    publish=0,  # how many; 0: none, and run until the time is over
    payload_bytes=80,
    seconds=20,
    random=0,  # share of the backoff's range: 0 floor, 1 ceiling
)
Device(given).run()
