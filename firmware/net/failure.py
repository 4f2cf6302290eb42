# What is said and done when a session, or the attempt at one, has failed. On demand.

from micropython import const

from firmware.core.errors import LinkError
from firmware.core.timing import pause_ms

_BASE_MS = const(1_000)
_CAP_MS = const(60_000)
_NO_BASE_MS = const(8_000)
_LIBRARY = const(-256)  # below: an error of mbedTLS, else an errno (extmod/modtls_mbedtls.c)
_ENOMEM = const(12)
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


def link_error(error, sent):
    # What a TLS socket raised, in words that stay the same. sent: the handshake is over. Then a
    # bare end or reset is no matter of TLS; but TLS 1.3 refuses a client certificate only then.
    code = error.args[0] if error.args else 0
    if isinstance(error, ValueError):
        # The text mbedTLS gives for a refused certificate (library/x509_crt.c).
        for part, word in (
            ("not correctly signed", "not trusted"),  # the gravest first
            ("does not match", "host name"),
            ("has expired", "expired"),
            ("starts in the future", "not yet valid"),
            ("", "certificate"),
        ):
            if part in str(code):
                return LinkError("tls", word)
    if isinstance(error, MemoryError):
        code = _ENOMEM
    elif _LIBRARY < code < 0:
        code = -code  # an ESP32 gives some errnos so
    # Of mbedtls/ssl.h, x509.h and pk.h; an error is a high part plus a low one (mbedtls/error.h):
    # then of bignum.h and asn1.h.
    low = code < 0 and -code & 0x7F
    if code in (_ENOMEM, -0x7F00, -0x2880, -0x3F80) or low in (0x10, 0x6A):
        return LinkError("memory", "tls")
    if sent and code == _EOF:
        return LinkError("closed")
    if sent and code > 0:
        return LinkError("closed", code)
    return LinkError("tls", _WORDS.get(code, code))


def failed(link, error, up):
    if isinstance(error, OSError):
        error = link_error(error, True)
    elif isinstance(error, MemoryError):
        error = LinkError("memory", "session")
    elif not isinstance(error, LinkError):
        # Nothing that a server or a name server sends may end the program.
        error = LinkError("bug", type(error).__name__, error)
    reason, text = error.args[0], " ".join([str(part) for part in error.args])
    # AWS answers a PUBLISH or SUBSCRIBE that the policy forbids by closing (aws-facts 1.9). A
    # reset of the connection, which has an errno, is the network's doing.
    if reason == "closed" and not up:
        reason, text = "no_connack", "no_connack closed by AWS: policy, client id or certificate"
    elif error.args == ("closed",) and link.session.used:
        text = "closed with {} unanswered: AWS policy?".format(link.session.used)
    link.last_reason = text
    if reason == "network gone":
        wait_ms = link.random(_BASE_MS)  # a whole site comes back at once
    elif reason in ("no_connack", "refused"):
        # AWS says no: soon does not help, and a change of policy takes a while to act.
        link.refusals += 1
        wait_ms = pause_ms(link.random, link.refusals, _NO_BASE_MS, _CAP_MS)
    else:
        link.failures += 1
        wait_ms = pause_ms(link.random, link.failures, _BASE_MS, _CAP_MS)
    link.wait_in.start(wait_ms)
    link.log("link: {}, next try in {} ms".format(text, wait_ms))
