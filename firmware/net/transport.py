# One TCP or TLS connection, and whole MQTT packets over it: one on its way out, one on its way in,
# and a limit on how long either may stand still half done. Nothing in here waits but wait().
#
# The socket never blocks. But axTLS (ESP8266) has one buffer for what it decrypts and what it
# encrypts: a write while plaintext or half a record waits in it spoils the stream
# (extmod/modtls_axtls.c, esp8266/Arduino #1935), and poll sees TCP only. There `half_duplex` is
# set: records are read whole, which blocks until READ_S at worst, and the session writes only when
# it has read all.

import select
from micropython import const

from firmware.core.errors import LinkError
from firmware.core.timing import Deadline

STALL_MS = const(20_000)  # from the first byte of a packet to its last, plus one for each byte
READ_S = const(10)  # axTLS: the rest of a record, and each flight of the handshake

_ACK_BYTES = const(64)  # the longest packet that is not a PUBLISH: a SUBACK of 8 filters has 10
_KEEP_BYTES = const(264)  # AWS: a topic has at most 256 bytes; before it 2, after it the packet id
_ROOM_BYTES = const(2_048)  # for a long message where there is no piece for all of it


class Transport:
    def __init__(self, raw, clock, limit_bytes):
        self.raw = self.sock = raw  # sock: in the end TLS over raw
        self.half_duplex = False
        self.state = 0  # 1: there is TCP; 2: the handshake is over, bytes of ours have gone
        self.poll = select.poll()
        self._limit = limit_bytes + _KEEP_BYTES
        # out[at:end] is still to be sent, and stays as it is: mbedTLS wants the same bytes again
        # after "not now". _small is made with the first read: a handshake has no memory to spare.
        self.out = self._small = None
        self._stalled, self._late = Deadline(clock), Deadline(clock)  # what goes out; comes in
        self.next()

    def begin(self, sock, half_duplex):
        # From now on through TLS.
        self.sock, self.half_duplex, self.state = sock, half_duplex, 1
        self.poll = select.poll()

    def wait(self, timeout_ms):
        # Flags of poll() when it is worth another read, or another write; else 0.
        flags = select.POLLIN | (select.POLLOUT if self.out or not self.state else 0)
        self.poll.register(self.raw if self.half_duplex else self.sock, flags)
        for found in self.poll.ipoll(timeout_ms):
            return found[1]
        return 0

    def send(self, buf, at, end):
        self.out, self.at, self.end = buf, at, end
        self._stalled.start(STALL_MS)
        self.push()

    def push(self):
        # True when nothing is left to send.
        while self.out:
            try:
                count = self.sock.write(self.out, self.at, self.end - self.at)
            except (OSError, ValueError, MemoryError) as e:
                raise self.link_error(e)
            if not count:
                if not self._stalled.left_ms():
                    raise LinkError("timeout", "write")
                return False
            self.state = 2
            self.at += count
            if self.at >= self.end:
                self.out = None
        return True

    def next(self):
        # After receive() a packet is in op, size and body; `keep` bytes of it if it is too large.
        self.op = self.size = self.keep = 0  # op: until its first byte
        self._shift = 0  # of the next 7 bits of its length; below 0: there are no more
        self._got = self._from = 0  # bytes of it in body; of those without "metadata"
        self._json = None  # of a long message
        self.body = self._small

    def receive(self):
        # True when there is a whole packet; call next() before the next one. No byte is read that
        # may belong to the one after it.
        while self._shift >= 0:
            if not self._read(0, 1):
                return False
            self._header(self.body[0])
        while self._got < self.size:
            at, count = self._got, self.keep - self._got
            if count <= 0:
                at, count = _KEEP_BYTES, min(self.size - at, len(self.body) - _KEEP_BYTES)
            count = self._read(at, count)
            if not count:
                return False
            self._got += count
            if self._json and self._got >= self.keep:
                self._squeeze()
        return True

    def _header(self, byte):
        # MQTT 2.2.3: the type, then seven bits of the length a byte, low ones first.
        if not self.op:
            self.op = byte or 1  # neither is one of MQTT
            self._late.start(STALL_MS)
            return
        self.size |= (byte & 0x7F) << self._shift
        self._shift = self._shift + 7 if byte & 0x80 else -1
        if self._shift == 28 or (self.size > _ACK_BYTES and self.op & 0xF0 != 0x30):
            raise LinkError("protocol", "length")
        self.keep = min(self.size, _KEEP_BYTES)
        if self._shift >= 0 or self.size <= _KEEP_BYTES:
            return
        self._late.start(STALL_MS + self.size)  # a byte a millisecond is slow enough
        # A message without room is as good as one above the limit: asked for again in every
        # session it would keep the board off line for ever.
        rooms = min(self.size, self._limit), _ROOM_BYTES
        for room in rooms if self.size <= 4 * self._limit else ():
            try:
                self.body, self._json = bytearray(room), [0] * 4
                self.keep = room
                return
            except MemoryError:
                pass

    def _squeeze(self):
        # A long message: what the shadow's "metadata" holds is left out while it comes, so that a
        # document with it need not fit into one piece of memory.
        from firmware.core.text import squeeze

        body, end = self.body, self._got
        start = self._from or 2 + (body[0] << 8 | body[1]) + (self.op & 2)
        if start <= end:
            self._got = self._from = squeeze(body, start, end, self._json)
            self.size -= end - self._got
            self.keep = min(self.keep, self.size)
        if self.keep <= self._got < self.size:
            self.keep, self._json = _KEEP_BYTES, None  # enough to acknowledge it

    def _read(self, at, size):
        # Bytes put into body from `at` on; 0 or None for none now.
        if not self.body:
            self.body = self._small = bytearray(_KEEP_BYTES + 64)  # 64: to skip
        target = memoryview(self.body)[at:] if at else self.body
        # With axTLS and nothing on TCP this gives what is decrypted already, or None.
        peek = self.half_duplex and not self.wait(0) & ~select.POLLOUT
        try:
            if peek:
                self.sock.setblocking(False)
            count = self.sock.readinto(target, size)
        except (OSError, ValueError, MemoryError) as e:
            raise self.link_error(e)
        finally:
            if peek:
                self.sock.setblocking(True)
                self.raw.settimeout(READ_S)  # setblocking() has taken it away
        if count == 0:
            raise LinkError("closed")
        if not count and self.op and not self._late.left_ms():
            raise LinkError("timeout", "packet")
        return count

    def close(self):
        # Both: a TLS socket whose handshake failed no longer knows the one below.
        for sock in (self.sock, self.raw):
            try:
                sock.close()
            except OSError:
                pass

    def link_error(self, error):
        from firmware.net import failure

        return failure.link_error(error, self.state > 1)
