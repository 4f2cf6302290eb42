# Readings from flash to AWS: in order, as many at a time as the window has room for,
# never faster than drain_per_s. A reading leaves the outbox when its PUBACK has come; what is in
# flight when a session breaks is sent again by the session itself, under the same packet id.

from micropython import const

from firmware.core import telemetry

_SLICE_MS = const(1_000)  # the rate is counted in slices of a second


class Sender:
    def __init__(self, outbox, session, topic, thing, clock, drain_per_s):
        self._outbox = outbox
        self._session = session
        self._topic = topic  # bytes, as thing
        self._thing = thing
        self._clock = clock
        self._text = bytearray(telemetry.text_bytes(thing))
        self._size = 0  # of a reading in _text that the session has not taken yet
        self._seq = 0  # its seq
        self._slice = clock.now()
        self._sent = 0  # in this slice
        self.drain_per_s = drain_per_s

    def step(self):
        # One reading a call, so that a full outbox does not keep the loop from the watchdog.
        # Says whether there is more to send at once.
        if not self._session.can_send() or not self._allowed():
            return False
        if not self._size and not self._fetch():
            return False
        if self._session.publish1(self._topic, self._text, self._seq, False, self._size):
            self._size = 0
            self._sent += 1
        return not self._size

    def acknowledged(self, seq):
        self._outbox.ack(seq)

    def _fetch(self):
        record = self._outbox.next_unsent()
        if record is None:
            return False
        self._seq = self._outbox.unsent_seq
        self._size = telemetry.write_json(self._text, record, self._seq, self._thing)
        return True

    def _allowed(self):
        # After 6.2 days without a session the slice seems to be yet to come.
        now = self._clock.now()
        if not 0 <= self._clock.diff(now, self._slice) < _SLICE_MS:
            self._slice = now
            self._sent = 0
        return self._sent < self.drain_per_s
