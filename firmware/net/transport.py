# One TCP or TLS connection, and whole MQTT packets over it: one on its way out, one on its way in,
# and a limit on how long either may stand still half done. Nothing in here waits but wait().
#
# But axTLS (ESP8266) has one buffer for what it decrypts and what it encrypts: a write while
# plaintext or half a record waits in it spoils the stream (extmod/modtls_axtls.c, esp8266/Arduino
# #1935), and poll sees TCP only. There `half_duplex` is set: records are read whole, which blocks
# until READ_S at worst, and the session writes only when it has read all.

import select
from micropython import const

from firmware.core.errors import LinkError
from firmware.core.timing import Deadline

STALL_MS = const(20_000)  # from the first byte of a packet to its last, plus one for each byte
READ_S = const(10)  # axTLS: the rest of a record, and each flight of the handshake

_ACK_BYTES = const(64)  # the longest packet that is not a PUBLISH: a SUBACK of 8 filters has 10
_KEEP_BYTES = const(264)  # AWS: a topic has at most 256 bytes; before it 2, after it the packet id
_MORE_BYTES = const(64)  # the least that a long message is read in, as far as there is memory


class Transport:
    def __init__(self, raw, clock, limit_bytes, short):
        # short: makes room, should there be no memory for a message.
        self.short = short
        self.raw = self.sock = raw  # sock: in the end TLS over raw
        self.half_duplex, self.poll = False, select.poll()
        self._limit = limit_bytes + _KEEP_BYTES
        # out[at:end] is still to be sent, and stays as it is: mbedTLS wants the same bytes again
        # after "not now". True: TCP is still being made.
        self.out = True
        self._stalled, self._late = Deadline(clock), Deadline(clock)  # what goes out; comes in
        # True when there is a packet, until the next call: in op (0 between two), size, and body,
        # with `got` bytes of it: fewer than size if it was too large.
        self.receive = self._packets().__next__
        self.op, self.body = 0, None

    def wait(self, timeout_ms):
        # Flags of poll() when it is worth another read, or another write; else 0.
        flags = select.POLLIN | (select.POLLOUT if self.out else 0)
        self.poll.register(self.raw if self.half_duplex else self.sock, flags)
        for found in self.poll.ipoll(timeout_ms):
            return found[1]
        return 0

    def send(self, buf, at, end, more=None):
        self.out, self.more = buf, more
        self.at, self.end = at, end
        self._stalled.start(STALL_MS)
        self.push()

    def push(self):
        # True when nothing is left to send.
        while self.out:
            count = self.sock.write(self.out, self.at, self.end - self.at)
            if not count:
                if not self._stalled.left_ms():
                    raise LinkError("timeout", "write")
                return False
            self.at += count
            if self.at >= self.end:
                self.out, self.more = self.more, None
                self.at, self.end = 0, len(self.out or ())
        return True

    def _packets(self):
        # No byte is read that may belong to the packet after this one.
        small = bytearray(_KEEP_BYTES + 64)  # 64: to skip. Not before: a handshake needs it
        while True:
            self.body, self.op, self.size = small, 0, 0
            # MQTT 2.2.3: the type, then seven bits of the length a byte, low ones first.
            for shift in range(-7, 28, 7):
                while not self._read(0, 1):
                    yield False
                byte = small[0]
                if shift < 0:
                    self.op = byte or 1  # neither is one of MQTT
                    self._late.start(STALL_MS)
                else:
                    self.size |= (byte & 0x7F) << shift
                    if byte < 0x80:
                        break
            left, more = self.size, self._long(byte)
            got, squeezed, keep = 0, 0, min(left, _KEEP_BYTES)
            while left:
                if keep - got < min(left, _MORE_BYTES):
                    more, keep, got = self._grow(more, keep, got, left)
                count = self._read(got, min(left, keep - got or len(self.body) - keep))
                if not count:
                    yield False
                left -= count
                got = min(got + count, keep)
                if more and (got == keep or not left):
                    got = squeezed = self._squeeze(squeezed, got)
            self.got = got
            yield True

    def _long(self, byte):
        # Whether it is more than `small` has room for, and not too much. byte: the last of its
        # length.
        size = self.size
        if byte > 0x7F or (size > _ACK_BYTES and self.op & 0xF0 != 0x30):
            raise LinkError("protocol", "length")
        if size > _KEEP_BYTES:
            self._json = [0] * 4
            self._late.start(STALL_MS + size)  # a byte a millisecond is slow enough
        return _KEEP_BYTES < size <= 4 * self._limit

    def _grow(self, more, keep, got, left):
        # A larger body, for what is left after _squeeze(). A message without room is as good as
        # one above the limit: asked for again in every session it would keep the board off line
        # for ever. What follows is skipped then, with `more` False.
        for step in (max(got >> 1, 256), _MORE_BYTES) if more else ():
            room = min(got + min(left, step), self._limit)
            try:
                if room > keep:
                    body = bytearray(room)
                    body[:got] = memoryview(self.body)[:got]
                    self.body = body
                    return True, room, got
            except MemoryError:
                self.short()
        if got < keep:
            return more, keep, got
        return False, _KEEP_BYTES, _KEEP_BYTES  # enough to acknowledge it

    def _squeeze(self, start, end):
        # A long message: what core/shadow.py does not look at is left out while it comes, so that
        # a document need not fit into one piece of memory.
        from firmware.core.text import squeeze

        topic_end = 2 + (self.body[0] << 8 | self.body[1])
        ours = self.body[max(0, topic_end - 15) : topic_end] == b"update/accepted"
        start = min(start or topic_end + (self.op & 2), end)
        left = squeeze(self.body, start, end, self._json, b'"reported":' if ours else b'"delta":')
        self.size -= end - left
        return left

    def _read(self, at, size):
        # Bytes put into body from `at` on; 0 for none now.
        target = memoryview(self.body)[at:] if at else self.body
        # With axTLS and nothing on TCP this gives what is decrypted already, or None.
        peek = self.half_duplex and not self.wait(0) & ~select.POLLOUT
        try:
            if peek:
                self.sock.setblocking(False)
            count = self.sock.readinto(target, size)
        finally:
            if peek:
                self.sock.setblocking(True)
                self.raw.settimeout(READ_S)  # setblocking() has taken it away
        if count == 0:
            raise LinkError("closed")
        if not count and self.op and not self._late.left_ms():
            raise LinkError("timeout", "packet")
        return count or 0

    def close(self):
        # Both: a TLS socket whose handshake failed no longer knows the one below.
        for sock in (self.sock, self.raw):
            try:
                sock.close()
            except OSError:
                pass
