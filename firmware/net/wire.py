# One TCP or TLS connection whose every wait has an end.
#
# The socket never blocks after TCP is up, so nothing depends on a socket timeout: umqtt's
# setblocking(True) removes it on ESP32 and ESP8266 (ports/esp32/modsocket.c, extmod/modlwip.c) and
# leaves it on unix, and a TLS socket has no settimeout to bring it back (micropython #18531).
# With mbedTLS the handshake happens inside the first writes, between two looks at the clock.

import gc
import select
import socket

from micropython import const

from firmware.core import errors
from firmware.core.errors import LinkError
from firmware.net import tls as tls_words

TCP_MS = const(10_000)  # one address; DNS has no limit of its own on any port
_NODELAY = const(1)  # TCP_NODELAY where the module lacks the name: unix, ESP32
_IPPROTO_TCP = const(6)
_LIBRARY = const(-256)  # below: an error of mbedTLS, else an errno (extmod/modtls_mbedtls.c)
_EOF = const(-0x7280)  # MBEDTLS_ERR_SSL_CONN_EOF: TCP ended without a TLS goodbye


def dial(host, port, tls, clock, limit_ms):
    # Every address the name has now, in turn, IPv4 or IPv6; a Wire, or the last LinkError.
    start = clock.now()
    found = _addresses(host, port)
    error = None
    for i in range(len(found)):
        left_ms = limit_ms - clock.diff(clock.now(), start)
        if left_ms <= 0:
            break
        try:
            return _open(found[i], host, tls, min(TCP_MS, left_ms // (len(found) - i)))
        except LinkError as e:
            error = e
    raise error or LinkError(errors.DNS, "too slow")


def _addresses(host, port):
    try:
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except OSError as e:
        raise LinkError(errors.DNS, e.args[0] if e.args else None)
    if not found:  # what lwIP gives while there is no network
        raise LinkError(errors.DNS)
    return found


def _open(info, host, tls, timeout_ms):
    gc.collect()  # TLS needs one big piece of heap, the sockets of old sessions go first
    raw = None
    try:
        raw = socket.socket(info[0], socket.SOCK_STREAM)
        raw.settimeout(timeout_ms / 1000)
        raw.connect(info[-1])
        _no_delay(raw)
        return _secure(raw, host, tls)
    except OSError as e:
        _close(raw)
        raise LinkError(errors.TCP, e.args[0] if e.args else None)
    except MemoryError:
        _close(raw)
        raise LinkError(errors.MEMORY, "socket")
    except LinkError:
        _close(raw)
        raise


def _secure(raw, host, tls):
    if tls is None:
        raw.setblocking(False)
        return Wire(raw, raw)
    if tls.verified:
        raw.setblocking(False)
        return Wire(raw, tls.wrap(raw, host))
    from firmware.net.tls_axtls import READ_S, AxSocket  # the ESP8266 alone has to hold it

    raw.settimeout(READ_S)
    sock = tls.wrap(raw, host)
    wire = Wire(raw, raw)
    wire.over(AxSocket(raw, sock, wire.readable))
    return wire


def _no_delay(raw):
    # Else Nagle holds a small packet back until the one before it is acknowledged.
    try:
        raw.setsockopt(_IPPROTO_TCP, getattr(socket, "TCP_NODELAY", _NODELAY), 1)
    except (OSError, AttributeError):
        pass  # only slower


def _close(sock):
    if sock is not None:
        try:
            sock.close()
        except OSError:
            pass


class Wire:
    def __init__(self, raw, sock):
        self._raw = raw
        self._sock = sock  # raw itself, or TLS over it
        self._secure = False  # the handshake is over: the server has taken bytes of ours
        self._heard = False
        self.half_duplex = False  # True: ask for no more than a packet, write when all is read
        self._polled = sock  # with axTLS not the TLS socket
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def over(self, sock):
        # From now on through a TLS socket that cannot be polled.
        self._sock = sock
        self.half_duplex = sock.half_duplex

    def readable(self):
        return self.wait(0)

    def read(self, chunk, size):
        # Bytes put into chunk, 0 for none now.
        try:
            count = self._sock.readinto(chunk, size)
        except (OSError, ValueError, MemoryError) as e:
            raise self._broken(e)
        if count is None:
            return 0
        if count == 0:
            raise LinkError(errors.CLOSED)
        self._heard = True
        return count

    def write(self, buf, at, size):
        # Bytes taken, 0 for none now. After 0 mbedTLS wants the very same bytes again.
        try:
            count = self._sock.write(buf, at, size) or 0
        except (OSError, ValueError, MemoryError) as e:
            raise self._broken(e)
        self._secure = self._secure or count > 0
        return count

    def wait(self, timeout_ms, writing=False):
        # True when it is worth another read, or another write.
        self._poll.modify(self._polled, select.POLLIN | (select.POLLOUT if writing else 0))
        try:
            return bool(self._poll.poll(timeout_ms))
        except OSError as e:
            raise self._broken(e)

    def close(self):
        # Both: a TLS socket whose handshake failed no longer knows the one below.
        if self._sock is not self._raw:
            _close(self._sock)
        _close(self._raw)

    def _broken(self, error):
        # Up to the first bytes from the server TLS words matter: TLS 1.3 tells a refused client
        # certificate only then. A bare reset after the handshake is no matter of TLS.
        code = error.args[0] if error.args else None
        library = not isinstance(code, int) or (code < _LIBRARY and code != _EOF)
        if self._sock is self._raw or self._heard or (self._secure and not library):
            return LinkError(errors.CLOSED, None if code == _EOF else code)
        return tls_words.link_error(error)
