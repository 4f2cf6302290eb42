# The traffic of an open session: what step() reads, answers, sends and sends again.
# Session (mqtt.py) adds the calls the rest of the firmware uses. Nothing in here waits.

from micropython import const
from umqtt.simple import MQTTClient

from firmware.core import errors
from firmware.core.errors import LinkError
from firmware.net import packet
from firmware.net.pipe import Pipe
from firmware.net.window import TRIES, Window

PING_MS = const(10_000)  # PINGREQ to PINGRESP

_BURST = const(16)  # packets read in one step()
_SLOW_MS = const(1_000)
_OWED = const(8)  # PUBACKs waiting for a slow wire; then reading waits too
_REFUSED = const(0x80)  # MQTT 3.9.3


class Flow(MQTTClient):
    def __init__(self, client_id, server, port, keepalive_s, clock, window, limit_bytes):
        super().__init__(client_id, server, port, keepalive=keepalive_s)
        self._clock = clock
        self._on_ack = None
        self._window = Window(window)
        self._pipe = Pipe(clock, limit_bytes)
        self._out = packet.Packet()  # all small things: CONNECT, QoS 0, PUBACK, PINGREQ
        self._error = None  # what a publish met, for the next step() to raise
        self._called = False  # inside a callback: nothing is written
        self._pinged = False  # PINGRESP is awaited
        self._ping_mark = 0  # the last PINGREQ, or CONNECT
        self.owed = 0  # PUBACKs not yet on the wire
        self.subscribed = False  # SUBACK has come, in this session or an earlier one
        self.oversized = self.resent = self.unknown_acks = 0

    def step(self):
        # At most _BURST packets in, and out whatever the wire takes. LinkError: the session is
        # over and the socket closed.
        try:
            if self._error is not None or self.sock is None:
                raise self._error or LinkError(errors.CLOSED)
            drained = self._receive()
            self._keep_alive()
            if drained or not self._pipe.half_duplex():
                self._send()
        except LinkError:
            self.close()
            raise
        except MemoryError:  # also one of the callbacks: the message will come again
            self.close()
            raise LinkError(errors.MEMORY, "step")

    def ping(self):
        super().ping()
        if not self._pinged:  # the first without an answer is the one that counts
            self._pinged = True
            self._ping_mark = self._clock.now()

    def _keep_alive(self):
        # By the clock alone: traffic in one direction says nothing about the other.
        age_ms = self._clock.diff(self._clock.now(), self._ping_mark)
        if self._pinged and age_ms > PING_MS and not self._pipe.reader.begun():
            raise LinkError(errors.NO_PINGRESP)
        if self.keepalive and not self._pinged and age_ms >= self.keepalive * 500:
            self.ping()

    def _try(self):
        # Sends at once where that is safe; a LinkError waits for step(), so that no caller of
        # publish has to know it.
        if self._called or self._error is not None or self._pipe.half_duplex():
            return
        try:
            self._send()
        except LinkError as e:
            self._error = e

    def _send(self):
        while self._pipe.push():
            following = self._following()
            if following is None:
                return
            self._pipe.send(following)

    def _due(self):
        # Something to send that is not on its way.
        if self._pipe.sending() is not None:
            return False
        small = self._out.at < self._out.size
        return small or self._window.due(self._clock, self.pid) is not None

    def _following(self):
        out = self._out
        if out.at < out.size:
            return out
        out.reset()
        self.owed = 0
        slot = self._window.due(self._clock, self.pid)
        if slot is None:
            return None
        if slot.tries == TRIES:
            subscribe = slot is self._window.subscription
            raise LinkError(errors.NO_SUBACK if subscribe else errors.NO_PUBACK)
        self.resent += slot.kept
        slot.sent(self._clock.now())
        return slot

    def _receive(self):
        # True when nothing is left to read, not even half a packet.
        reader = self._pipe.reader
        for _ in range(_BURST):
            if self.owed >= _OWED:
                return False
            if not self._pipe.read():
                return not reader.begun()
            if self._pinged and self._pipe.packet_ms() > _SLOW_MS:
                self._ping_mark = self._clock.now()  # PINGRESP had to wait behind it
            self._handle(reader)
            self._pipe.next_packet()
        return False

    def _handle(self, reader):
        kind = reader.op & 0xF0
        if kind == packet.PUBLISH:
            self._message(reader)
        elif reader.op == packet.PUBACK and reader.size == 2:
            self._puback(reader.word(0))
        elif reader.op == packet.SUBACK and reader.size > 2:
            self._suback(reader)
        elif reader.op == packet.PINGRESP and reader.size == 0:
            self._pinged = False
        else:
            raise LinkError(errors.PROTOCOL, "packet {:#04x}".format(reader.op))

    def _message(self, reader):
        # The PUBACK is written after the callback, which therefore cannot get between.
        start = reader.publish_at()
        id_bytes = reader.op & 2  # QoS 1 has two bytes of packet id, and this bit
        if reader.oversized:
            self.oversized += 1
        else:
            view = memoryview(reader.body)
            self._call(self.cb, bytes(view[2 : start - id_bytes]), view[start : reader.size])
        if id_bytes:
            self._out.head(packet.PUBACK, 2)
            self._out.word(reader.word(start - 2))
            self.owed += 1

    def _puback(self, pid):
        slot = self._window.find(pid)
        if slot is None:
            self.unknown_acks += 1
            return
        tag = slot.tag
        self._window.release(slot)
        self._called = True
        try:
            self._on_ack(tag)
        finally:
            self._called = False

    def _call(self, callback, topic, payload):
        self._called = True
        try:
            callback(topic, payload)
        finally:
            self._called = False

    def _suback(self, reader):
        slot = self._window.subscription
        if slot.pid == 0 or reader.word(0) != slot.pid:
            self.unknown_acks += 1
            return
        for i in range(2, reader.size):
            if reader.body[i] == _REFUSED:
                raise LinkError(errors.REFUSED, "filter {} of SUBSCRIBE".format(i - 1))
        slot.pid = 0
        self.subscribed = True
