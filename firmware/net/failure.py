# What is said and done when a session, or the attempt at one, has failed. On demand.

from micropython import const

from firmware.core.errors import LinkError
from firmware.core.timing import pause_ms
from firmware.net.session import SUBSCRIBE

STABLE_S = const(20)
_REFUSED = const(3)  # sessions in a row that ended at SUBSCRIBE
_AGAIN_S = const(30)  # so long without, then it is tried again; doubles to an hour
_BASE_MS = (1_000, 8_000)  # of a failure; of a no by AWS
_RIVAL_MS = const(120_000)  # two boards with one thing throw each other out
_ALONE_S = const(600)  # after a session as long there is no other board any more
_CAP_MS = const(60_000)
_ASK_S = const(300)  # between two questions for the time, while a certificate's dates are wrong
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


def why(error, secure):
    # (reason, and more where known). secure: the handshake is over. Then a bare end or reset is no
    # matter of TLS; but TLS 1.3 refuses a client certificate only then.
    code = error.args[0] if error.args else 0
    if isinstance(error, LinkError):
        return error.args
    if isinstance(error, MemoryError):
        return "memory", "session" if secure else "tls"
    if isinstance(error, ValueError) and not secure:
        # The text mbedTLS gives for a refused certificate (library/x509_crt.c).
        for part, word in (
            ("not correctly signed", "not trusted"),  # the gravest first
            ("does not match", "host name"),
            ("has expired", "expired"),
            ("starts in the future", "not yet valid"),
            ("", "certificate"),
        ):
            if part in str(code):
                return "tls", word
    if not isinstance(error, OSError):
        # Nothing that a server or a name server sends may end the program.
        return "bug", type(error).__name__, error
    if -256 < code < 0:  # below: of mbedTLS (extmod/modtls_mbedtls.c)
        code = -code  # an ESP32 gives some errnos so
    # ENOMEM; of mbedtls/ssl.h, x509.h and pk.h; an error is a high part plus a low one
    # (mbedtls/error.h): then of bignum.h and asn1.h.
    low = code < 0 and -code & 0x7F
    if code in (12, -0x7F00, -0x2880, -0x3F80) or low in (0x10, 0x6A):
        return "memory", "tls"
    if secure and (code > 0 or code == _EOF):
        return ("closed", code) if code > 0 else ("closed",)
    return "tls", _WORDS.get(code, code)


def failed(link, error, secure, up):
    args = why(error, secure)
    reason, text = args[0], " ".join([str(part) for part in args])
    # AWS answers a PUBLISH or SUBSCRIBE that the policy forbids by closing (aws-facts 1.9). A
    # reset of the connection, which has an errno, is the network's doing.
    if reason == "closed" and not up:
        reason, text = "no_connack", "no_connack closed by AWS: policy, client id or certificate"
    elif args == ("closed",) and link.session.used:
        text = "closed with {} unanswered: AWS policy?".format(link.session.used)
    if text in ("tls expired", "tls not yet valid"):
        _doubt(link.clock, text == link.last_reason)
    if up and SUBSCRIBE in link.session.waiting and reason in ("closed", "refused"):
        text = _subscribe_refused(link) or text
    elif up and link.clock.s >= link.ask_s:
        link.failures[2] = 0
    link.last_reason = text
    if up and link.clock.s - link.since_s >= STABLE_S:
        link.failures[:2] = [0, 0]
    if reason == "network gone":
        wait_ms = link.random(_BASE_MS[0])  # a whole site comes back at once
    else:
        # AWS says no: soon does not help, and a change of policy takes a while to act.
        no = reason in ("no_connack", "refused")
        link.failures[no] += 1
        wait_ms = pause_ms(link.random, link.failures[no], _BASE_MS[no], _CAP_MS)
    if up and link.session.rival and link.clock.s - link.since_s < _ALONE_S:
        wait_ms = _RIVAL_MS + link.random(180_000)
    if text.startswith("SUBSCRIBE"):
        link.ask_s += wait_ms // 1000  # the next session goes without
    link.wait_in.start(wait_ms)
    link.log("link: {}, next try in {} ms".format(text, wait_ms))


def _doubt(clock, again):
    # Or it is the clock: another server is asked, at once. One that nobody has put right by the
    # second time is given up, for a provisional time (upkeep.py); AWS's cannot be what is wrong.
    clock.ask_s = min(clock.ask_s, clock.s + (_ASK_S if again else 0))
    if again and clock.offset is not None and clock.source != "aws":
        clock.offset, clock.source, clock.failures = None, "dropped", 3


def _subscribe_refused(link):
    # Readings need no SUBSCRIBE: after some refusals they go without. What AWS closes may end in a
    # reset, too, when it has not read all: there are PUBLISHes behind the SUBSCRIBE.
    session = link.session
    link.failures[2] += 1
    count = link.failures[2] - _REFUSED
    if count < 0:
        return None
    for slot in range(len(session.pids)):
        if session.pids[slot] and session.tags[slot] == SUBSCRIBE:
            session.pids[slot] = 0
            session.used -= 1
    del session.waiting[SUBSCRIBE]
    link.ask_s = link.clock.s + (_AGAIN_S << min(count, 7))
    if link.clock.offset is None:
        return "SUBSCRIBE refused by the AWS policy: no time from AWS, nothing is sent"
    return "SUBSCRIBE refused by the AWS policy: sending only"
