# What is said and done when a session, or the attempt at one, has failed. On demand.

from micropython import const

from firmware.core.errors import LinkError
from firmware.core.timing import pause_ms
from firmware.net.session import SUBSCRIBE

BASE_MS = const(1_000)
CAP_MS = const(60_000)
NO_BASE_MS = const(8_000)
_LIBRARY = const(-256)  # below: an error of mbedTLS, else an errno (extmod/modtls_mbedtls.c)
_ENOMEM = const(12)
# Of mbedtls/ssl.h, x509.h and pk.h; an error is a high part plus a low one (mbedtls/error.h): then
# of bignum.h and asn1.h.
_ALLOC_FAILED = (0x7F00, 0x2880, 0x3F80)
_LOW = const(0x7F)
_LOW_ALLOC_FAILED = (0x10, 0x6A)
_WORDS = {
    -0x2700: "certificate",
    -0x7780: "alert from server",  # what a refused client certificate looks like
    -0x7280: "closed by server",
    104: "reset by server",  # ECONNRESET; lwIP has the same numbers
    32: "reset by server",  # EPIPE
    -0x6E00: "handshake",
    -0x7200: "bad record",
    -0x7100: "bad record",
}
# In the text mbedTLS gives for a refused certificate (library/x509_crt.c), the gravest first.
_VERIFY = (
    ("not correctly signed", "not trusted"),
    ("does not match", "host name"),
    ("has expired", "expired"),
    ("starts in the future", "not yet valid"),
    ("revoked", "revoked"),
)


def link_error(error):
    # A failure of a handshake, or of the first read after it, in words that stay the same.
    code = error.args[0] if error.args else None
    if isinstance(error, MemoryError):
        return LinkError("memory", "tls")
    if isinstance(error, ValueError):
        for part, word in _VERIFY:
            if part in str(code):
                return LinkError("tls", word)
        return LinkError("tls", "certificate")
    if isinstance(code, int):
        if _LIBRARY < code < 0:
            code = -code  # an ESP32 gives some errnos so
        if code == _ENOMEM or (
            code < 0 and (-code in _ALLOC_FAILED or -code & _LOW in _LOW_ALLOC_FAILED)
        ):
            return LinkError("memory", "tls")
    return LinkError("tls", _WORDS.get(code, code))


def failed(link, error, was_up):
    # The session is closed already. AWS says no: trying again soon does not help, and a change of
    # policy takes a while to act.
    if isinstance(error, MemoryError):
        error = LinkError("memory", "session")
    elif not isinstance(error, LinkError):
        # Nothing that a server or a name server sends may end the program.
        error = LinkError("bug", "{} {}".format(type(error).__name__, error))
    reason = str(error)
    # AWS answers a PUBLISH or SUBSCRIBE that the policy forbids by closing (aws-facts 1.9). A
    # reset of the connection, which has an errno, is the network's doing.
    if was_up and error.reason == "closed" and error.detail is None:
        if SUBSCRIBE in link.session.waiting:
            reason = "closed at SUBSCRIBE: AWS policy?"
        elif link.session.used:
            reason = "closed with {} unanswered: AWS policy?".format(link.session.used)
    link.starved = error.reason == "memory"
    if error.reason in ("no_connack", "refused"):
        link.refusals += 1
        wait_ms = pause_ms(link.random, link.refusals, NO_BASE_MS, CAP_MS)
    else:
        wait_ms = pause_ms(link.random, link.failures + 1, BASE_MS, CAP_MS)
    link.failures += 1
    link.last_reason = reason
    link.wait_in.start(wait_ms)
    link.log("link: {}, next try in {} ms".format(reason, wait_ms))


def network_gone(link):
    link.last_reason = "network"
    link.wait_in.start(link.random(BASE_MS))  # a whole site comes back at once
    link.log("link: network gone")
