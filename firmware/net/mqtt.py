# umqtt.simple made safe for years of a bad network, without a fork (versions 1.3.4 to 1.8.0).
#
# Kept of the base class: its attributes, set_callback, set_last_will, _send_str, ping and the
# QoS 0 publish. They only write, and what they write goes into a Packet in place of the socket.
# Replaced: whatever reads or waits. Only connect() waits, and that has an end; publishing only
# queues and tries. step() does the rest (flow.py), and there a LinkError comes out.

from micropython import const

from firmware.core import errors
from firmware.core.errors import LinkError
from firmware.net import hello, wire
from firmware.net.flow import Flow
from firmware.net.packet import as_bytes

CONNECT_MAX_MS = const(30_000)  # board.WDT_MS must be longer; DNS has no limit on any port

_OUT_BYTES = const(4_096)  # QoS 0 is refused while more than this waits for a slow wire
_POLL_MS = const(1_000)  # pings and repetitions are looked at this often
_FILTERS = const(8)  # AWS takes no more in one SUBSCRIBE
_PAYLOAD_BYTES = const(131_072)  # AWS ends the session above it


class Session(Flow):
    # on_message(topic, payload): bytes, and a memoryview that is good until it returns.
    # on_ack(tag): what was given to publish1() is with the broker.
    # Both run inside step(); publishing from them is safe, it only queues.
    def __init__(
        self,
        thing,
        endpoint,
        port,
        keepalive_s,
        tls,
        clock,
        window,
        limit_bytes,
        on_message,
        on_ack,
    ):
        super().__init__(as_bytes(thing), endpoint, port, keepalive_s, clock, window, limit_bytes)
        self.set_callback(on_message)
        self._on_ack = on_ack
        self._tls = tls

    def will(self, topic, payload, retain=False):
        self.set_last_will(as_bytes(topic), as_bytes(payload), retain, 1)

    def set_last_will(self, topic, msg, retain=False, qos=0):
        if not topic or not 0 <= qos <= 1:  # the base class asserts, and lets QoS 2 pass
            raise LinkError(errors.PROTOCOL, "last will")
        super().set_last_will(topic, msg, retain, qos)

    def connect(self, clean_session=False, timeout=None):
        # True when the broker still has our session. `timeout` in seconds, as umqtt has it.
        self.close()
        limit_ms = min(CONNECT_MAX_MS, int(timeout * 1000)) if timeout else CONNECT_MAX_MS
        start = self._clock.now()
        try:
            self._pipe.open(wire.dial(self.server, self.port, self._tls, self._clock, limit_ms))
            self.sock = self._out
            hello.connect_packet(self, self._out, hello.CLEAN_SESSION if clean_session else 0)
            left_ms = limit_ms - self._clock.diff(self._clock.now(), start)
            present = hello.exchange(self._pipe, self._out, self._clock, left_ms)
        except LinkError:
            self.close()
            raise
        except MemoryError:
            self.close()
            raise LinkError(errors.MEMORY, "connect")
        self._window.rewind(present)
        self._ping_mark = self._clock.now()
        return present

    def close(self):
        # What has no PUBACK stays for the next session.
        self._pipe.close()
        self._out.reset()
        self.sock = self._error = None
        self.owed = 0
        self._pinged = False

    def disconnect(self):
        # The clean end: the broker does not publish the last will.
        if self.sock is not None:
            try:
                self.sock.write(b"\xe0\x00")
                self.step()
            except LinkError:
                pass  # it ends either way
        self.close()

    def can_send(self):
        return self._window.room() if self.sock is not None else 0

    def in_flight(self):
        return self._window.used

    def publish1(self, topic, payload, tag=None, retain=False, size=-1):
        # QoS 1. The packet id, or 0 when there is no room; on_ack(tag) comes from a later step().
        # `size`: so many bytes of payload; with it and bytes as topic nothing is allocated.
        if size < 0:
            payload = as_bytes(payload)
            size = len(payload)
        if size > _PAYLOAD_BYTES:
            raise LinkError(errors.TOO_LARGE, size)
        if not self.can_send():
            return 0
        pid = self._window.next_pid(self.pid)
        try:
            slot = self._window.free_slot(self._pipe.sending())
            slot.publish(pid, as_bytes(topic), payload, size, retain)
        except (LinkError, MemoryError):  # step() ends the session, which frees some
            self._error = LinkError(errors.MEMORY, "publish")
            return 0
        self._window.take(slot, tag)
        self.pid = pid
        self._try()
        return pid

    def publish0(self, topic, payload, retain=False):
        # QoS 0. False when it could not even be queued.
        out = self._out
        size = out.size
        payload = as_bytes(payload)
        if len(payload) > _PAYLOAD_BYTES:
            raise LinkError(errors.TOO_LARGE, len(payload))
        if self.sock is None or size > _OUT_BYTES:
            return False
        try:
            super().publish(as_bytes(topic), payload, retain, 0)
        except LinkError:  # no memory for the rest of it
            out.size = size
            return False
        self._try()
        return True

    def publish(self, topic, msg, retain=False, qos=0):
        if qos > 1:
            raise LinkError(errors.PROTOCOL, "AWS has no QoS 2")
        return (
            self.publish1(topic, msg, None, retain) if qos else self.publish0(topic, msg, retain)
        )

    def subscribe1(self, topics, qos=1):
        # One SUBSCRIBE; `subscribed` turns True with its SUBACK.
        if not 0 < len(topics) <= _FILTERS:
            raise LinkError(errors.PROTOCOL, "1 to 8 filters")
        self.pid = self._window.next_pid(self.pid)
        self._window.subscribe(self.pid, [as_bytes(topic) for topic in topics], qos)
        self.subscribed = False
        self._try()

    def subscribe(self, topic, qos=0):
        self.subscribe1((topic,), qos)

    def unsubscribe(self, topic):
        raise LinkError(errors.PROTOCOL, "unsubscribe is not used")  # the base class would wait

    def check_msg(self):
        self.step()

    def wait_msg(self):
        self.poll_ms(_POLL_MS)
        self.step()

    def poll_ms(self, timeout_ms):
        # Waits until step() has something to do, a second at most.
        if self.sock is None or self._error is not None or self._due():
            return True
        try:
            return self._pipe.wait(min(timeout_ms, _POLL_MS))
        except LinkError as e:
            self._error = e
            return True
