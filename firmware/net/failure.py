# What is said and done when a session, or the attempt at one, has failed. On demand.

from micropython import const

from firmware.core.errors import LinkError
from firmware.core.timing import pause_ms
from firmware.net.session import SUBSCRIBE

_BASE_MS = const(1_000)
_CAP_MS = const(60_000)
_FLOOR_MS = const(500)
_NO_BASE_MS = const(8_000)
_NO_FLOOR_MS = const(4_000)
_SENT = const(2)  # of Transport.state
_HEARD = const(4)
_LIBRARY = const(-256)  # below: an error of mbedTLS, else an errno (extmod/modtls_mbedtls.c)
_EOF = const(-0x7280)  # MBEDTLS_ERR_SSL_CONN_EOF: TCP ended without a TLS goodbye
_WORDS = {
    -0x2700: "certificate",
    -0x7780: "alert from server",  # what a refused client certificate looks like
    _EOF: "closed by server",
    104: "reset by server",  # ECONNRESET; lwIP has the same numbers
    32: "reset by server",  # EPIPE
    -0x6E00: "handshake",
    -0x7200: "bad record",
}


def link_error(error, state):
    # What a TLS socket raised, in words that stay the same; `state` of its Transport. Up to the
    # server's first bytes it is a matter of TLS, as TLS 1.3 refuses a client certificate only
    # then; but a bare end or reset after the handshake is none.
    code = error.args[0] if error.args else "unknown"
    number = isinstance(code, int)
    if number and _LIBRARY < code < 0:
        code = -code  # an ESP32 gives some errnos so
    # ENOMEM, and of mbedtls/ssl.h, x509.h and pk.h; an error is a high part plus a low one
    # (mbedtls/error.h): then of bignum.h and asn1.h.
    if (
        isinstance(error, MemoryError)
        or code in (12, -0x7F00, -0x2880, -0x3F80)
        or (number and code < 0 and -code & 0x7F in (0x10, 0x6A))
    ):
        return LinkError("memory", "tls")
    if state & _HEARD or (state & _SENT and number and (code > 0 or code == _EOF)):
        return LinkError("closed") if code == _EOF else LinkError("closed", code)
    if isinstance(error, ValueError):
        # The text mbedTLS gives for a refused certificate (library/x509_crt.c).
        for part, word in (
            ("not correctly signed", "not trusted"),  # the gravest first
            ("does not match", "host name"),
            ("has expired", "expired"),
            ("starts in the future", "not yet valid"),
        ):
            if part in str(code):
                return LinkError("tls", word)
        code = "certificate"
    return LinkError("tls", _WORDS.get(code, code))


def failed(connection, error, up):
    # The session is closed already.
    if isinstance(error, MemoryError):
        error = LinkError("memory", "session")
    elif not isinstance(error, LinkError):
        # Nothing that a server or a name server sends may end the program.
        error = LinkError("bug", type(error).__name__, error)
    session, reason = connection.session, error.args[0]
    text = " ".join([str(part) for part in error.args])
    # AWS answers a PUBLISH or SUBSCRIBE that the policy forbids by closing (aws-facts 1.9). A
    # reset of the connection, which has an errno, is the network's doing.
    if up and error.args == ("closed",):
        if session.waiting(SUBSCRIBE):
            text = "closed at SUBSCRIBE: AWS policy?"
        elif session.used:
            text = "closed with {} unanswered: AWS policy?".format(session.used)
    random = connection.random
    connection.starved = reason == "memory"
    connection.last_reason = text
    connection.failures += 1
    wait_ms = pause_ms(random, connection.failures, _BASE_MS, _CAP_MS, _FLOOR_MS)
    if reason in ("no_connack", "refused"):
        # AWS says no: soon does not help, and a change of policy takes a while to act.
        connection.refusals += 1
        wait_ms = pause_ms(random, connection.refusals, _NO_BASE_MS, _CAP_MS, _NO_FLOOR_MS)
    connection.wait_in.start(wait_ms)
    connection.log("link: {}, next try in {} ms".format(text, wait_ms))


def network_gone(connection):
    connection.last_reason = "network"
    connection.wait_in.start(connection.random(_BASE_MS))  # a whole site comes back at once
    connection.log("link: network gone")
