# Whole packets over a wire: at most one on its way out, at most one on its way in, and a limit
# on how long either may stand still half done. Nothing in here waits except wait().

from micropython import const

from firmware.core import errors
from firmware.core.errors import LinkError
from firmware.net.packet import Reader

STALL_MS = const(20_000)  # from the first byte of a packet to its last, out or in; see _fill()

_CHUNK_BYTES = const(256)
_PIECES = const(32)  # chunks in one call, so that a flood does not keep the loop


class Pipe:
    def __init__(self, clock, limit_bytes):
        self._clock = clock
        self._wire = None
        self._chunk = bytearray(_CHUNK_BYTES)
        self.reader = Reader(limit_bytes)
        self._clear()

    def _clear(self):
        self._at = self._end = 0  # what of the chunk is not looked at yet
        self._out = None  # the Packet being sent
        self._out_end = 0  # stays as it was: mbedTLS wants the same bytes again after "not now"
        self._out_mark = self._in_mark = 0
        self.reader.next_packet()

    def open(self, wire):
        self._wire = wire

    def close(self):
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        self._clear()

    def is_open(self):
        return self._wire is not None

    def read(self, exact=False):
        # True when reader holds a whole packet; call next_packet() before the next read.
        # `exact`: not a byte more than that packet.
        reader = self.reader
        for _ in range(_PIECES):
            if reader.ready or (self._at == self._end and not self._fill(exact)):
                break
            self._at = reader.feed(self._chunk, self._at, self._end)
        return reader.ready

    def _fill(self, exact):
        reader = self.reader
        begun = reader.begun()
        size = reader.need() if exact or self._wire.half_duplex else _CHUNK_BYTES
        self._at, self._end = 0, self._wire.read(self._chunk, min(size, _CHUNK_BYTES))
        if not begun:
            self._in_mark = self._clock.now()
        elif self.packet_ms() > STALL_MS + reader.size:  # a byte a millisecond is slow enough
            raise LinkError(errors.TIMEOUT, "packet")
        return self._end

    def next_packet(self):
        self.reader.next_packet()
        self._in_mark = self._clock.now()

    def packet_ms(self):
        # How long the packet in the reader has taken so far.
        return self._age_ms(self._in_mark)

    def half_duplex(self):
        return self._wire is not None and self._wire.half_duplex

    def more(self):
        return self._at < self._end

    def send(self, out):
        self._out, self._out_end = out, out.size
        self._out_mark = self._clock.now()

    def push(self):
        # True when nothing is left to send.
        out = self._out
        if out is None:
            return True
        out.at += self._wire.write(out.buf, out.at, self._out_end - out.at)
        if out.at < self._out_end:
            if self._age_ms(self._out_mark) > STALL_MS:
                raise LinkError(errors.TIMEOUT, "write")
            return False
        self._out = None
        return True

    def sending(self):
        return self._out

    def wait(self, timeout_ms):
        # True at once when there is something to read, or to go on writing.
        return self.more() or self._wire.wait(timeout_ms, self._out is not None)

    def _age_ms(self, mark):
        return self._clock.diff(self._clock.now(), mark)
