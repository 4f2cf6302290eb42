# MQTT 3.1.1 packets on their way out: one buffer, sent in one write. It also stands where umqtt
# expects its socket, so that what the base class writes in pieces leaves as one TLS record.

from micropython import const

_LOOP_BYTES = const(64)  # up to here bytes are copied one by one: a slice allocates


class Packet:
    def __init__(self, size=64):
        self.buf = bytearray(size)
        self.size = self.at = 0  # bytes to send; where to begin

    def write(self, data, size=-1):
        if size < 0:
            size = len(data)
        end = self.size + size
        self.reserve(end)
        if size > _LOOP_BYTES:
            self.buf[self.size : end] = data
        else:
            for i in range(size):
                self.buf[self.size + i] = data[i]
        self.size = end

    def word(self, value):
        self.reserve(self.size + 2)
        self.buf[self.size] = value >> 8
        self.buf[self.size + 1] = value & 0xFF
        self.size += 2

    def head(self, op, size):
        # MQTT 2.2.3: the remaining length has seven bits a byte, low ones first.
        self.reserve(self.size + 5)
        self.buf[self.size] = op
        self.size += 1
        while True:
            self.buf[self.size] = size & 0x7F | (0x80 if size > 0x7F else 0)
            self.size += 1
            size >>= 7
            if not size:
                return

    def reserve(self, size):
        if size > len(self.buf):
            buf = bytearray(size)
            buf[: self.size] = memoryview(self.buf)[: self.size]
            self.buf = buf
