# One TCP or TLS connection, and whole MQTT packets over it: one on its way out, one on its way in,
# and a limit on how long either may stand still half done. Nothing in here waits but wait().
#
# The socket never blocks, so nothing depends on a socket timeout: umqtt's setblocking(True) takes
# it away on ESP32 and ESP8266 (ports/esp32/modsocket.c, extmod/modlwip.c) and leaves it on unix,
# and a TLS socket has no settimeout() to bring it back (micropython #18531).
#
# axTLS (ESP8266) keeps what it decrypts and what it encrypts in one buffer: a write while
# plaintext or half a record waits in it spoils the stream (extmod/modtls_axtls.c, esp8266/Arduino
# #1935), and poll sees TCP only. There `half_duplex` is set: records are read whole, which blocks
# until READ_S at worst, and the session writes only when it has read everything.

import select

from micropython import const

from firmware.core.errors import LinkError
from firmware.core.timing import Deadline

STALL_MS = const(20_000)  # from the first byte of a packet to its last, plus one for each byte
READ_S = const(10)  # axTLS: the rest of a record, and each flight of the handshake

_PUBLISH = const(0x30)
_ACK_BYTES = const(64)  # the longest packet that is not a PUBLISH: a SUBACK of 8 filters has 10
_KEEP_BYTES = const(264)  # AWS: a topic has at most 256 bytes; before it 2, after it the packet id
_SKIP_BYTES = const(64)
_ROOM_BYTES = const(2_048)  # for a long message where there is no piece for all of it
_LIBRARY = const(-256)  # below: an error of mbedTLS, else an errno (extmod/modtls_mbedtls.c)
_EOF = const(-0x7280)  # MBEDTLS_ERR_SSL_CONN_EOF: TCP ended without a TLS goodbye


class Transport:
    def __init__(self, raw, clock, limit_bytes):
        self.raw = raw
        self._sock = raw  # raw itself, or TLS over it
        self._tcp = True  # TCP is not up yet
        self._limit = limit_bytes
        self._poll = select.poll()
        self._poll.register(raw, select.POLLOUT)
        self._polled = raw  # with axTLS not the TLS socket
        self.half_duplex = False
        self._secure = False  # the handshake is over: the server has taken bytes of ours
        self._heard = False
        # Out: _buf[_at : _end] is being sent. It stays as it is until then: mbedTLS wants the same
        # bytes again after "not now".
        self.out = None
        self._at = self._end = 0
        self._stalled = Deadline(clock)  # what goes out
        self._late = Deadline(clock)  # what comes in
        # In: after receive() a packet is in op, size and body; `keep` bytes of it if it is too
        # large.
        self._small = bytearray(_KEEP_BYTES + _SKIP_BYTES)
        self.next()

    def over(self, sock, half_duplex):
        # From now on through TLS.
        self._sock = sock
        self._tcp = False
        self.half_duplex = half_duplex
        if not half_duplex:
            self._poll.unregister(self.raw)
            self._poll.register(sock, select.POLLIN)
            self._polled = sock

    def wait(self, timeout_ms):
        # Flags of poll() when it is worth another read, or another write; else 0.
        flags = select.POLLIN | (select.POLLOUT if self._tcp or self.out else 0)
        self._poll.modify(self._polled, flags)
        try:
            for found in self._poll.ipoll(timeout_ms):
                return found[1]
        except OSError as e:
            raise self.broken(e)
        return 0

    def send(self, buf, at, end):
        # Whether all of it is gone, see push().
        self.out, self._at, self._end = buf, at, end
        self._stalled.start(STALL_MS)
        return self.push()

    def push(self):
        # True when nothing is left to send.
        while self.out:
            try:
                count = self._sock.write(self.out, self._at, self._end - self._at)
            except (OSError, ValueError, MemoryError) as e:
                raise self.broken(e)
            if not count:
                if not self._stalled.left_ms():
                    raise LinkError("timeout", "write")
                return False
            self._secure = True
            self._at += count
            if self._at >= self._end:
                self.out = None
        return True

    def next(self):
        self.op = self.size = self.keep = 0
        self._got = self._shift = -1
        self._from = 0
        self._json = None
        self._need = 2  # bytes that surely belong to this packet: no more is read
        self.body = self._small

    def begun(self):
        return self._shift >= 0

    def receive(self):
        # True when there is a whole packet; call next() before the next one.
        while self._need:
            at = max(self._got, 0)
            if at < self.keep:
                size = self._read(at, min(self._need, self.keep - at))
            else:
                size = self._read(at and _KEEP_BYTES, min(self._need, _SKIP_BYTES))
            if not size:
                if self.begun() and not self._late.left_ms():
                    raise LinkError("timeout", "packet")
                return False
            if self._got >= 0:
                self._got += size
                self._need -= size
                if self._json and self._got >= _KEEP_BYTES:
                    self._squeeze()
            else:
                self._header(size)
        return True

    def _squeeze(self):
        # A long message: what the shadow's "metadata" holds is left out while it comes, so that a
        # document with it need not fit into one piece of memory.
        from firmware.core.text import squeeze

        body = self.body
        start = self._from or 2 + (body[0] << 8 | body[1]) + (self.op & 2)
        if start <= self._got:
            self._got = self._from = squeeze(body, start, self._got, self._json)
        if not self._need:
            self.size = self.keep = self._got
        elif self._got >= self.keep:
            self.body = self._small
            self.body[:_KEEP_BYTES] = memoryview(body)[:_KEEP_BYTES]
            self.keep = _KEEP_BYTES  # enough to acknowledge it
            self._json = None

    def _header(self, size):
        # MQTT 2.2.3. The first two bytes may come one by one, further ones of the length do.
        i = 0
        if self._shift < 0:
            self.op = self.body[0]
            self._shift = 0
            self._need = 1
            self._late.start(STALL_MS)
            if size < 2:
                return
            i = 1
        self.size |= (self.body[i] & 0x7F) << self._shift
        self._shift += 7
        if self.body[i] & 0x80:
            if self._shift > 21:
                raise LinkError("protocol", "length")
            self._need = 1
            return
        self._got = 0
        self._need = self.keep = self.size
        if self.op & 0xF0 != _PUBLISH:
            if self.size > _ACK_BYTES:
                raise LinkError("protocol", "length")
        elif self.size > _KEEP_BYTES:
            self._late.start(STALL_MS + self.size)  # a byte a millisecond is slow enough
            self._find_room()

    def _find_room(self):
        # A message that there is no room for is as good as one above the limit: asked for again in
        # every session it would keep the board off line for ever.
        self.keep = _KEEP_BYTES
        limit = min(self.size, self._limit + _KEEP_BYTES)
        for room in (limit, min(limit, _ROOM_BYTES)):
            if self.size > 4 * (self._limit + _KEEP_BYTES):
                return  # even without "metadata" it would not fit
            try:
                self.body = bytearray(room)
                self.keep = room
                self._json = [0] * 5
                return
            except MemoryError:
                pass

    def _read(self, at, size):
        # Bytes put into body from `at` on, 0 for none now.
        target = memoryview(self.body)[at : at + size] if at else self.body
        sock = self._sock
        # With axTLS and nothing on TCP this gives what is decrypted already, or None.
        peek = self.half_duplex and not self.wait(0) & ~select.POLLOUT
        try:
            if peek:
                sock.setblocking(False)
            count = sock.readinto(target, size)
        except (OSError, ValueError, MemoryError) as e:
            raise self.broken(e)
        finally:
            if peek:
                sock.setblocking(True)
                self.raw.settimeout(READ_S)  # setblocking() has taken it away
        if count == 0:
            raise LinkError("closed")
        self._heard = self._heard or count is not None
        return count or 0

    def close(self):
        # Both: a TLS socket whose handshake failed no longer knows the one below.
        for sock in (self._sock, self.raw):
            try:
                sock.close()
            except OSError:
                pass

    def broken(self, error):
        # Up to the first bytes from the server TLS words matter: TLS 1.3 says only then that it
        # refuses a client certificate. A bare reset after the handshake is no matter of TLS.
        code = error.args[0] if error.args else None
        library = not isinstance(code, int) or (code < _LIBRARY and code != _EOF)
        from firmware.net import failure

        made = failure.link_error(error)
        heard = self._sock is self.raw or self._heard or (self._secure and not library)
        if made.reason == "memory" or not heard:
            return made
        if isinstance(code, int) and _LIBRARY < code < 0:
            code = -code  # as an ESP32 has some of them
        return LinkError("closed", None if code == _EOF else code)
