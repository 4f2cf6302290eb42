# The ESP8266's TLS library behind the manners of a socket that does not block.
#
# axTLS keeps what it decrypts and what it encrypts in one buffer: a write while plaintext or half
# a record waits in it spoils the stream (extmod/modtls_axtls.c, esp8266/Arduino #1935). And poll
# sees the TCP socket only, not the plaintext. So: records are read whole, which blocks until
# READ_S at worst; nothing beyond the packet at hand is asked for; and the session writes only
# when it has read everything (half_duplex).

from micropython import const

READ_S = const(10)  # the rest of a record, and each flight of the handshake


class AxSocket:
    half_duplex = True

    def __init__(self, raw, sock, readable):
        self._raw = raw
        self._sock = sock
        self._readable = readable  # () -> bool: TCP has something
        raw.settimeout(READ_S)

    def readinto(self, chunk, size):
        if self._readable():
            return self._sock.readinto(chunk, size)
        # Nothing on the wire, so this gives what is decrypted already, or None.
        self._sock.setblocking(False)
        try:
            return self._sock.readinto(chunk, size)
        finally:
            self._sock.setblocking(True)
            self._raw.settimeout(READ_S)  # setblocking() has taken it away

    def write(self, buf, at, size):
        return self._sock.write(buf, at, size)

    def close(self):
        self._sock.close()
