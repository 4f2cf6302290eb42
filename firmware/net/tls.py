# The TLS context, made from certs/. On ports with mbedTLS the server's certificate, its dates and
# its host name are always checked; there is no switch. axTLS (ESP8266) cannot check anything:
# VERIFIED is False there, and the firmware says so wherever it reports. On demand: at boot before
# anything else, while there is a large piece of memory, at each connect, and for words of errors.

from micropython import const

from firmware.core.errors import LinkError

try:
    import tls as _tls  # MicroPython >= 1.23
except ImportError:
    import ssl as _tls

VERIFIED = hasattr(_tls.SSLContext, "load_verify_locations")

_LIBRARY = const(-256)  # below: an error of mbedTLS, else an errno (extmod/modtls_mbedtls.c)
_ENOMEM = const(12)
# Of mbedtls/ssl.h, x509.h and pk.h; an error is a high part plus a low one (mbedtls/error.h): then
# of bignum.h and asn1.h.
_ALLOC_FAILED = (0x7F00, 0x2880, 0x3F80)
_LOW = const(0x7F)
_LOW_ALLOC_FAILED = (0x10, 0x6A)
# MicroPython says "invalid cert" whatever mbedTLS said, a want of memory included.
_OR_MEMORY = ", or no memory for it"
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


def context():
    # LinkError with the file at fault. mbedTLS keeps nothing on Python's heap; axTLS keeps key and
    # certificate there, so an ESP8266 makes its context for each connect.
    made = _tls.SSLContext(_tls.PROTOCOL_TLS_CLIENT)
    what = "cert"
    try:
        certificate = _file("cert")
        what = "key"
        key = _file("key")
        try:
            made.load_cert_chain(certificate, key)
        except ValueError as e:
            what = "key is no private key" if "key" in str(e) else "cert is no certificate"
            raise LinkError("tls", "certs/" + what + _OR_MEMORY)
        if VERIFIED:
            certificate = key = None
            what = "ca"
            made.verify_mode = _tls.CERT_REQUIRED
            made.load_verify_locations(_file("ca"))
            if hasattr(made, "set_ciphers"):  # MicroPython >= 1.22
                _suites(made)
    except ValueError:
        raise LinkError("tls", "certs/" + what + " is no certificate" + _OR_MEMORY)
    except MemoryError:
        raise LinkError("memory", "certs/" + what)
    except OSError as e:
        raise link_error(e)
    return made


def _file(name):
    for suffix in (".pem", ".der"):
        try:
            with open("certs/" + name + suffix, "rb") as f:
                return f.read()
        except OSError:
            pass
    raise LinkError("tls", "certs/" + name + " is missing")


def _suites(made):
    # Of what AWS has (aws-facts 2.1) the suites with forward secrecy and the smallest code; some
    # ports lack TLS 1.3 or 256 bits. A library's whole list makes a ClientHello of 400 bytes, most
    # of it suites AWS has not, which Device Advisor marks down.
    found = []
    for cipher in ("128-GCM-SHA256", "256-GCM-SHA384"):
        for kind in ("TLS1-3-AES-", "TLS-ECDHE-ECDSA-WITH-AES-", "TLS-ECDHE-RSA-WITH-AES-"):
            try:
                made.set_ciphers((kind + cipher,))
                found.append(kind + cipher)
            except (OSError, ValueError):
                pass
    if found:
        made.set_ciphers(found)


def wrap(made, raw, host):
    # The host name goes out as SNI and is checked. With mbedTLS the handshake is left to the
    # first write, so that it cannot block; axTLS does it here, under the socket's timeout.
    try:
        return made.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=not VERIFIED)
    except (OSError, ValueError, MemoryError) as e:
        raise link_error(e)
