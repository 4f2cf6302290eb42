# Readings from flash to AWS: in order, as many at a time as the window has room for,
# never faster than drain_per_s. A reading leaves the outbox when its PUBACK has come.

from micropython import const

from firmware.core import telemetry

_SLICE_MS = const(1_000)  # the rate is counted in slices of a second
_TEXT_BYTES = const(320)  # 128 bytes of thing name and the numbers of one reading


class Sender:
    def __init__(self, outbox, session, topic, thing, clock, drain_per_s):
        self._outbox = outbox
        self._session = session
        self._topic = topic
        self._thing = thing
        self._clock = clock
        self._text = bytearray(_TEXT_BYTES)
        self._view = memoryview(self._text)
        self._slice = clock.now()
        self._sent = 0  # in this slice
        self.drain_per_s = drain_per_s
        self.acked = 0  # since boot

    def step(self):
        # One reading a call, so that a full outbox does not keep the loop from the watchdog.
        # Says whether there is more to send at once.
        if not self._session.can_send() or not self._allowed():
            return False
        record = self._outbox.next_unsent()
        if record is None:
            return False
        seq = self._outbox.unsent_seq
        size = telemetry.write_json(self._text, record, seq, self._thing)
        self._session.publish1(self._topic, self._view[:size], seq)
        self._sent += 1
        return True

    def acknowledged(self, seq):
        self._outbox.ack(seq)
        self.acked += 1

    def _allowed(self):
        now = self._clock.now()
        if self._clock.diff(now, self._slice) >= _SLICE_MS:
            self._slice = now
            self._sent = 0
        return self._sent < self.drain_per_s
