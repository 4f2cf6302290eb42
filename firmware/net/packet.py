# MQTT 3.1.1 packets as bytes: one buffer that grows, and a reader that takes them as they come.
# "MQTT" below = OASIS MQTT 3.1.1. Pure: no socket, no clock.

from micropython import const

from firmware.core import errors
from firmware.core.errors import LinkError

CONNACK = const(0x20)
PUBLISH = const(0x30)
PUBACK = const(0x40)
SUBACK = const(0x90)
PINGRESP = const(0xD0)

_LOOP_BYTES = const(512)  # up to here bytes are copied one by one, which costs time but no heap
_ACK_BYTES = const(64)  # the longest packet that is not a PUBLISH: a SUBACK of 8 filters has 10
_KEEP_BYTES = const(264)  # AWS: a topic has at most 256 bytes; before it 2, after it the packet id
_GROW_BYTES = const(64)

_OP = const(0)  # waiting for the first byte of a packet
_LENGTH = const(1)  # inside the remaining length
_BODY = const(2)


def as_bytes(text):
    # umqtt counts characters where MQTT counts bytes, so text is encoded before it gets there.
    return text.encode() if isinstance(text, str) else text


def copy(target, at, source, start, size):
    # A slice allocates (the slice itself, and a view each side); a short loop does not.
    if size > _LOOP_BYTES:
        memoryview(target)[at : at + size] = memoryview(source)[start : start + size]
        return
    for i in range(size):
        target[at + i] = source[start + i]


class Packet:
    # Bytes on their way out. It stands where umqtt expects its socket: what the base class
    # writes in five pieces leaves as one record. The buffer grows and is kept.
    def __init__(self):
        self.buf = bytearray(_GROW_BYTES)
        self.size = 0  # bytes to send
        self.at = 0  # bytes sent

    def reset(self):
        self.size = self.at = 0

    def reserve(self, size):
        if size <= len(self.buf):
            return
        try:
            buf = bytearray((size + _GROW_BYTES - 1) // _GROW_BYTES * _GROW_BYTES)
        except MemoryError:
            raise LinkError(errors.MEMORY, "packet of {} bytes".format(size))
        copy(buf, 0, self.buf, 0, self.size)
        self.buf = buf

    def write(self, data, size=-1):
        if size < 0:
            size = len(data)
        self.reserve(self.size + size)
        copy(self.buf, self.size, data, 0, size)
        self.size += size

    def byte(self, value):
        self.reserve(self.size + 1)
        self.buf[self.size] = value
        self.size += 1

    def word(self, value):
        self.byte(value >> 8)
        self.byte(value & 0xFF)

    def head(self, op, size):
        # MQTT 2.2.3: seven bits a byte, low ones first, at most four bytes.
        self.byte(op)
        while size > 0x7F:
            self.byte(size & 0x7F | 0x80)
            size >>= 7
        self.byte(size)


class Reader:
    # Takes bytes in pieces of any size. `ready` says a whole packet is in op, size and body;
    # after next_packet() it is gone. A PUBLISH above the limit is not kept: only its first
    # bytes are, enough to acknowledge it, and `oversized` is set.
    def __init__(self, limit_bytes):
        self._limit = limit_bytes
        self.body = bytearray(_GROW_BYTES)
        self.next_packet()

    def next_packet(self):
        self.op = self.size = 0
        self.ready = self.oversized = False
        self._state = _OP
        self._shift = self._got = self._keep = 0

    def begun(self):
        return self._state != _OP

    def need(self):
        # Bytes that surely belong to this packet: all that may be read where reading blocks.
        if self._state == _BODY:
            return self.size - self._got
        return 2 if self._state == _OP else 1

    def feed(self, chunk, at, end):
        # Takes chunk[at:end] up to the end of one packet, gives back where it stopped.
        while at < end and not self.ready:
            if self._state == _BODY:
                at = self._take(chunk, at, end)
            else:
                self._header(chunk[at])
                at += 1
        return at

    def _header(self, byte):
        if self._state == _OP:
            self.op = byte
            self._state = _LENGTH
            return
        self.size |= (byte & 0x7F) << self._shift
        self._shift += 7
        if not byte & 0x80:
            self._begin()
        elif self._shift > 21:
            raise LinkError(errors.PROTOCOL, "length")

    def _begin(self):
        self._state = _BODY
        publish = self.op & 0xF0 == PUBLISH
        if not publish and self.size > _ACK_BYTES:
            raise LinkError(errors.PROTOCOL, "length")
        self.oversized = publish and self.size > self._limit + _KEEP_BYTES
        self._keep = _KEEP_BYTES if self.oversized else self.size
        if self._keep > len(self.body):
            self._grow()
        self.ready = self.size == 0

    def _grow(self):
        # A message there is no room for is as good as one above the limit: asking for it again
        # in every session would keep the device off line for ever.
        try:
            self.body = bytearray(self._keep)
        except MemoryError:
            self.oversized = True
            self._keep = min(_KEEP_BYTES, len(self.body))

    def _take(self, chunk, at, end):
        count = min(self.size - self._got, end - at)
        keep = min(self._keep - self._got, count)
        if keep > 0:
            copy(self.body, self._got, chunk, at, keep)
        self._got += count
        self.ready = self._got == self.size
        return at + count

    def word(self, at):
        return self.body[at] << 8 | self.body[at + 1]

    def publish_at(self):
        # Where the payload of a PUBLISH begins. MQTT 3.3: QoS 3 does not exist, AWS has no QoS 2,
        # a topic is not empty, packet id 0 is none.
        qos = self.op >> 1 & 3
        topic = self.word(0) if self.size >= 2 else 0
        start = 2 + topic + (2 if qos else 0)
        if qos > 1 or topic == 0 or start > self.size:
            raise LinkError(errors.PROTOCOL, "publish")
        if start > self._keep:
            raise LinkError(errors.TOO_LARGE, "topic")
        if qos and self.word(start - 2) == 0:
            raise LinkError(errors.PROTOCOL, "packet id 0")
        return start
