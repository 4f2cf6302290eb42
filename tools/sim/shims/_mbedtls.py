# `tls` of an ESP32: the unix port's, but the dates of certificates are checked against the board's
# RTC as well, as mbedTLS does on a chip (MBEDTLS_PLATFORM_TIME_ALT), and not by this machine's
# clock alone. An RTC at 2000 finds every server "not yet valid".
#
# The error comes from where mbedTLS's own comes from, with its words, and after the firmware's
# verify_callback has seen the whole chain. It is raised out of the callback of mbedTLS, which
# leaks some memory of the host's; not of the board's heap. What a callback cannot see is a host
# name that does not match, or an intermediate certificate that is not signed by the one above it:
# a chip would name that as well, here it is the dates alone. A chain that ends nowhere, or in a
# copy of the trusted certificate that the server has sent, is left to mbedTLS, and so are dates
# that this machine's clock finds wrong too: mbedTLS also sends the alert.
#
# There is one context, made before the firmware starts: it costs the board's heap nothing. With
# "verify_callback": false it has none, as MicroPython 1.22; an interpreter that has none itself
# checks the dates by its own clock only.

import _sim
import tls as _tls
import utime
from tls import *  # noqa: F403

_EXPIRED = "\nThe certificate validity has expired\n"
_FUTURE = "\nThe certificate validity starts in the future\n"

# The firmware's callback, depth of the top, expired, in the future, hash of the one above, wrong
# by this machine's clock.
_state = [None, 0, 0, 0, 0, 0]
try:
    _host_s = utime.host_time  # of _scaled.py
except AttributeError:
    _host_s = utime.time


def _look(cert, depth):
    above, _state[4] = _state[4], hash(bytes(cert))
    # Twice the same: the one below it is not signed by the trusted one, or it would be its parent.
    _state[1] = -1 if above == _state[4] or _state[1] < 0 else max(_state[1], depth)
    begin, end = _dates(cert)
    now = utime.gmtime(_sim.unix_ms() // 1000)[:6]
    _state[2] |= now > end
    _state[3] |= now < begin
    _state[5] |= not begin <= utime.gmtime(int(_host_s()))[:6] <= end
    found = _state[0](cert, depth) if _state[0] else 0
    wrong = (_state[2] or _state[3]) and not _state[5]
    if depth == 0 and _state[1] > 0 and not found and wrong:
        raise ValueError((_EXPIRED if _state[2] else "") + (_FUTURE if _state[3] else ""))
    return found


def _dates(cert):
    # notBefore and notAfter as (year, month, day, hours, minutes, seconds): RFC 5280, 4.1.
    at = _inside(cert, _inside(cert, 0))  # Certificate, TBSCertificate
    if cert[at] == 0xA0:
        at = _behind(cert, at)
    for _ in range(3):  # serial number, algorithm, issuer
        at = _behind(cert, at)
    at = _inside(cert, at)
    return _date(cert, at), _date(cert, _behind(cert, at))


def _inside(cert, at):
    more = cert[at + 1]
    return at + 2 + (more & 0x7F if more > 0x7F else 0)


def _behind(cert, at):
    start, size = _inside(cert, at), cert[at + 1]
    if size > 0x7F:
        size = 0
        for i in range(at + 2, start):
            size = size << 8 | cert[i]
    return start + size


def _date(cert, at):
    text = bytes(cert[_inside(cert, at) : _behind(cert, at)])
    if cert[at] == 0x17:
        text = (b"20" if text < b"5" else b"19") + text
    return (int(text[:4]),) + tuple([int(text[i : i + 2]) for i in range(4, 14, 2)])


class _Context:
    # As SSLContext: called, it is one; there is none of the firmware's at a time but one.
    _own = None

    def __call__(self, protocol):
        self._own = _tls.SSLContext(protocol)
        _state[0] = None
        if hasattr(self._own, "verify_callback"):
            self._own.verify_callback = _look
        return self

    @property
    def verify_mode(self):
        return self._own.verify_mode

    @verify_mode.setter
    def verify_mode(self, mode):
        self._own.verify_mode = mode

    def load_cert_chain(self, cert, key):
        self._own.load_cert_chain(cert, key)

    def load_verify_locations(self, cadata):
        self._own.load_verify_locations(cadata)

    def get_ciphers(self):
        return self._own.get_ciphers()

    def set_ciphers(self, names):
        self._own.set_ciphers(names)

    def wrap_socket(
        self, sock, *, server_side=False, do_handshake_on_connect=True, server_hostname=None
    ):
        _state[1:] = [0] * 5
        return self._own.wrap_socket(
            sock,
            server_side=server_side,
            do_handshake_on_connect=do_handshake_on_connect,
            server_hostname=server_hostname,
        )


class _Showing(_Context):
    @property
    def verify_callback(self):
        return _state[0]

    @verify_callback.setter
    def verify_callback(self, callback):
        _state[0] = callback


_shows = _sim.get("verify_callback", True)
_shows = _shows and hasattr(_tls.SSLContext(_tls.PROTOCOL_TLS_CLIENT), "verify_callback")
SSLContext = _Showing() if _shows else _Context()
SSLContext._own = None  # its place in the object
