# `tls` of an ESP8266: behaves like extmod/modtls_axtls.c of MicroPython 1.25, over the mbedTLS of
# the unix port. What firmware must know of it:
#
#   no verification   the server is whoever answers; no load_verify_locations, no ciphers to set
#   files             DER only, key PKCS#1 RSA only; the context keeps the bytes it was given, and
#                     they are looked at in wrap_socket(): ValueError
#   wrap_socket()     does the whole handshake, under the timeout of the socket it is given
#   one buffer        for reading and writing. Writing while a record is not read to its end, be it
#                     half here or decrypted but not fetched, sends garbage: RuntimeError here
#   records           over 5,115 bytes end the connection: OSError(-257)
#   poll()            knows the socket below only, not what is decrypted: no such object here
#   connection lost   is the end of the stream to read(), and 0 bytes to write()
#   memory            its malloc() is Python's heap: 15,616 bytes in the handshake, 13,024 while
#                     connected, 5,368 of them in one piece. It does not look whether it got them
#                     (`calloc` in ssl_new(), ssl/tls1.c): without them the chip crashes
#
# In what pieces was measured with axTLS of MicroPython 1.25 in its configuration, a key of 2,048
# bits and a chain of four certificates. The totals are those of a 64-bit build; a 32-bit one takes
# 14,912 and 12,144 bytes, a fifth of it garbage that the collector may have. Here all is kept.
#
# The bytes are held for it in the heap of the board, less what this shim takes for itself. With
# the setting "tls_outside" they lie outside, for measuring what the firmware alone needs: what the
# shim takes is given to the board in addition, and held back while there is no connection.

import errno
import gc
import io
import sys

import _sim
import tls as _tls

PROTOCOL_TLS_CLIENT = 0
PROTOCOL_TLS_SERVER = 1
CERT_NONE = 0

_SCALE = 2 if sys.maxsize > 1 << 32 else 1  # the heap is twice as large there, too
_CONNECTED = 13024 * _SCALE
_HANDSHAKE = 15616 * _SCALE
_BUFFER = 5368  # bytes, whatever a word has; the firmware keeps such a piece free for it
_HEADS = 32 * _SCALE  # two blocks of the heap, to hold a piece by


def _pieces(*sizes):
    return [size * _SCALE for size in sizes]


_KEY_COPY = _pieces(1200)  # while it is read
_BEGIN = _pieces(272, 256, 272, 256, 64, 64, 64, 64, 848)  # context, key, certificate
_HASHES = 800 * _SCALE  # until the end of the handshake
_CHAIN = _pieces(96, 64, 64, 64, 272, 256) * 4  # each certificate of the server's
_NUMBERS = _pieces(272, 256, 1024, 272, 528)  # big integers of an operation: there the peak is
_KEYS = _pieces(512, 512)  # AES, both directions
_SMALL = 64 * _SCALE  # no other is larger
_RECORD = 5115
_RSA = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"  # rsaEncryption, of PKCS#1
_CLOSE = 4  # MP_STREAM_CLOSE
_MBEDTLS = -256  # errors below are of mbedTLS, above of the socket
_ALERT = -0x7780
# axTLS, ssl/ssl.h
_CONN_LOST = (-256, "CONN_LOST")
_OVERFLOW = (-257, "RECORD_OVERFLOW")
_INVALID_HANDSHAKE = (-260, "INVALID_HANDSHAKE")
_INVALID_MESSAGE = (-261, "INVALID_PROT_MSG")
_FATAL_ALERT = (-40,)

_outside = bytearray(_BUFFER) if _sim.get("tls_outside") else None
own = 0  # bytes of heap that this shim takes for a connection
_back = None  # held back


class SSLContext:
    def __init__(self, protocol):
        self._key = self._cert = None

    def load_cert_chain(self, cert, key):
        self._key, self._cert = key, cert

    @property
    def verify_mode(self):
        return CERT_NONE

    @verify_mode.setter
    def verify_mode(self, mode):
        pass  # there is no other

    def wrap_socket(
        self, sock, *, server_side=False, do_handshake_on_connect=True, server_hostname=None
    ):
        if server_side or not do_handshake_on_connect:
            raise NotImplementedError("only a client, and its handshake at once")
        _release()
        held = _Held()
        if self._key is not None:
            _load(self._cert, self._key)
        made = _Socket(sock, held)
        made._connect(server_hostname)
        return made


class _Held:
    # What axTLS has of the heap. Nothing with "tls_outside".
    def __init__(self):
        self._pieces = self._hashes = None
        self._buffer = _outside
        self.size = own

    def begin(self):
        before = self._pieces, self.size
        self._take(_KEY_COPY)
        self._pieces, self.size = before
        self._take(_BEGIN)
        if self._buffer is None:
            self._buffer = self._piece(_BUFFER)
            self.size += _BUFFER
        return memoryview(self._buffer)

    def handshake(self):
        if _outside is None:
            self._hashes = self._piece(_HASHES)
            self.size += _HASHES
        self._take(_CHAIN)
        before = self._pieces, self.size
        self._take(_NUMBERS)
        self._fill(_HANDSHAKE)
        self._pieces, self.size = before

    def connected(self):
        if self._hashes:
            self._hashes = None
            self.size -= _HASHES
        self._take(_KEYS)
        self._fill(_CONNECTED)

    def _fill(self, size):
        while self.size + _SMALL <= size and _outside is None:
            self._take((_SMALL,))

    def _take(self, sizes):
        for size in sizes if _outside is None else ():
            self._pieces = (self._pieces, self._piece(size - _HEADS))
            self.size += size

    def _piece(self, size):
        try:
            return bytearray(size)
        except MemoryError:
            self._pieces = None  # printing takes memory too
            _crash(size)


def _crash(size):
    print("axTLS: no {} bytes in one piece; an ESP8266 crashes here".format(size))
    _sim.die(_sim.EXIT_FAULT)


class _Records(io.IOBase):
    # The socket below, with an eye on where the records of TLS begin and end.
    def __init__(self, raw):
        self._raw = raw
        self._head = bytearray(5)
        self._got = 0  # of the head
        self._left = 0  # of the body
        self._more = -1  # records that may still be begun; below 0: any number
        self._failed = None

    def readinto(self, buf):
        if not (self._got or self._left or self._more):
            return None
        try:
            n = self._raw.readinto(buf)
        except OSError as e:
            self._failed = _CONN_LOST
            return -e.errno
        if n:
            if self._left:
                self._left -= n
            else:
                self._take_head(buf, n)
            if self._failed:
                return -errno.EIO
            if not (self._got or self._left) and self._more > 0:
                self._more -= 1
        return n

    def _take_head(self, buf, n):
        head = self._head
        for i in range(n):
            head[self._got + i] = buf[i]
        self._got += n
        if self._got == 5:
            self._got = 0
            self._left = head[3] << 8 | head[4]
            if self._left > _RECORD:
                self._failed = _OVERFLOW

    def write(self, buf):
        try:
            return self._raw.write(buf)
        except OSError as e:
            self._failed = _CONN_LOST
            return -e.errno

    def ioctl(self, request, arg):
        if request == _CLOSE and self._raw is not None:
            self._raw.close()
        return 0


class _Socket:
    def __init__(self, raw, held):
        self._raw = raw
        self._held = held
        self._plain = held.begin()
        self._at = self._left = 0
        self._dead = False
        self._records = _Records(raw)
        self._tls = None

    def _connect(self, host, handshake=True):
        self._held.handshake()
        try:
            self._tls = _context[0].wrap_socket(
                self._records, server_hostname=host, do_handshake_on_connect=handshake
            )
        except (OSError, ValueError) as e:
            raise OSError(*self._reason(e, _INVALID_HANDSHAKE))
        except MemoryError:
            _crash(own)
        self._held.connected()

    def _reason(self, error, other):
        code = error.args[0]
        if self._records._failed or not isinstance(code, int):
            return self._records._failed or other
        if code > _MBEDTLS or code == -0x7280:
            return _CONN_LOST
        return _FATAL_ALERT if code == _ALERT else other

    def setblocking(self, flag):
        self._raw.setblocking(flag)

    def read(self, size):
        buf = bytearray(size)
        n = self.readinto(buf)
        return None if n is None else bytes(buf) if n == size else bytes(memoryview(buf)[:n])

    def readinto(self, buf, size=-1):
        size = len(buf) if size < 0 else min(size, len(buf))
        got = 0
        while got < size:
            if not self._left:
                n = self._record()
                if not n:
                    return got if n == 0 else got or None
            n = min(size - got, self._left)
            buf[got : got + n] = self._plain[self._at : self._at + n]
            self._at += n
            self._left -= n
            got += n
        return got

    def _record(self):
        # The plain text of one more: its length, 0 at the end of the stream, None for not now.
        if self._tls is None:
            raise OSError(errno.EBADF)
        if self._dead:
            return 0
        records = self._records
        while True:
            records._more = 1
            try:
                n = self._tls.readinto(self._plain)
            except OSError as e:
                reason = self._reason(e, _INVALID_MESSAGE)
                self._dead = True
                if reason is _CONN_LOST:
                    return 0
                raise OSError(*reason)
            if n is None and not records._more:
                continue  # a record without data, of the protocol itself
            self._at, self._left = 0, n or 0
            return n

    def write(self, buf, at=None, size=None):
        if self._tls is None:
            raise OSError(errno.EBADF)
        if self._dead:
            return 0
        unread = self._left + self._records._got + self._records._left
        if unread:
            raise RuntimeError("axTLS: written with {} bytes unread".format(unread))
        if at is not None:
            if size is None:
                at, size = 0, at
            buf = memoryview(buf)[at : at + size]
        try:
            return self._tls.write(buf)
        except OSError as e:
            self._dead = True
            reason = self._reason(e, _INVALID_MESSAGE)
            if reason is _CONN_LOST:
                return 0
            raise OSError(*reason)

    def close(self):
        if self._tls is not None:
            self._tls.close()
            self._raw.close()
        self._tls = self._held = self._plain = self._records = None
        hold_back()


def hold_back():
    global _back
    if _outside is not None:
        try:
            _back = bytearray(own)
        except MemoryError:
            pass


def _release():
    global _back
    _back = None


_context = [None, None]  # mbedTLS's, and what was loaded into it


def _load(cert, key):
    for data in (cert, key):
        if not isinstance(data, (bytes, str)):
            raise TypeError("object with buffer protocol required")
    if not _is_rsa_key(key):
        raise ValueError("invalid key")
    if cert[:1] != b"\x30" or _RSA not in cert:
        raise ValueError("invalid cert")
    known = hash(cert), hash(key)
    if _context[1] == known:
        return
    if _context[1] is not None:
        _context[0] = _new_context()
    try:
        _context[0].load_cert_chain(cert, key)
    except (OSError, ValueError):
        raise ValueError("invalid key")
    _context[1] = known


def _is_rsa_key(data):
    # RSAPrivateKey (RFC 8017, A.1.2): SEQUENCE { version INTEGER 0, modulus INTEGER, … }. An EC
    # key has version 1, PKCS#8 has another SEQUENCE after the version.
    if not isinstance(data, bytes) or len(data) < 16 or data[0] != 0x30:
        return False
    at = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
    return data[at : at + 4] == b"\x02\x01\x00\x02"


def _new_context():
    made = _tls.SSLContext(_tls.PROTOCOL_TLS_CLIENT)
    made.verify_mode = _tls.CERT_NONE
    return made


def _measure():
    # What a connection takes of the heap here: objects of this module, and mbedTLS's.
    global own
    held = _Held()
    gc.collect()
    before = gc.mem_free()
    made = _Socket(None, held)
    made._tls = _context[0].wrap_socket(made._records, do_handshake_on_connect=False)
    gc.collect()
    taken = before - gc.mem_free()
    own = taken - held.size


_context[0] = _new_context()
_measure()
