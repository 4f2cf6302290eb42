# The TLS side of a session: one context for the life of the board, made from certs/ at the first
# connect. On ports with mbedTLS the server's certificate, its dates and its host name are always
# checked; there is no switch. axTLS (ESP8266) cannot check anything: `verified` is False there,
# and the firmware says so wherever it reports.

from micropython import const

from firmware.core import errors
from firmware.core.errors import LinkError

try:
    import tls as _tls  # MicroPython >= 1.23
except ImportError:
    import ssl as _tls

_ENOMEM = const(12)
_LIBRARY = const(-256)  # below: an error of mbedTLS, else an errno (extmod/modtls_mbedtls.c)
# Of mbedtls/ssl.h, x509.h and pk.h.
_ALLOC_FAILED = (0x7F00, 0x2880, 0x3F80)
_LOW = const(0x7F)  # mbedtls/error.h: an error is a high part plus a low one
_LOW_ALLOC_FAILED = (0x10, 0x6A)  # MPI_ALLOC_FAILED, ASN1_ALLOC_FAILED
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
    if isinstance(error, MemoryError) or (isinstance(code, int) and _no_memory(code)):
        return LinkError(errors.MEMORY, "tls")
    if isinstance(error, ValueError):
        for part, word in _VERIFY:
            if part in str(code):
                return LinkError(errors.TLS, word)
        return LinkError(errors.TLS, "certificate")
    return LinkError(errors.TLS, _WORDS.get(code, code))


def _no_memory(code):
    if code > _LIBRARY:
        return code == _ENOMEM
    return -code in _ALLOC_FAILED or -code & _LOW in _LOW_ALLOC_FAILED


def _suites(context):
    # Of what AWS has (aws-facts 2.1) the suites with forward secrecy and the smallest code; some
    # ports lack TLS 1.3 or 256 bits. A library's whole list makes a hello of 400 bytes, most of
    # it suites AWS has not, which Device Advisor marks down.
    found = []
    for cipher in ("128-GCM-SHA256", "256-GCM-SHA384"):
        for kind in ("TLS1-3-AES-", "TLS-ECDHE-ECDSA-WITH-AES-", "TLS-ECDHE-RSA-WITH-AES-"):
            try:
                context.set_ciphers((kind + cipher,))
                found.append(kind + cipher)
            except (OSError, ValueError):
                pass
    if found:
        context.set_ciphers(found)


class Tls:
    def __init__(self, read):
        # read(path) -> bytes, OSError when there is no such file.
        self._read = read
        self._context = None
        self.verified = hasattr(_tls.SSLContext, "load_verify_locations")

    def load(self):
        # LinkError with the file at fault; nothing of the files stays on the Python heap.
        if self._context is not None:
            return
        context = _tls.SSLContext(_tls.PROTOCOL_TLS_CLIENT)
        try:
            self._load_identity(context)
            if self.verified:
                context.verify_mode = _tls.CERT_REQUIRED
                context.load_verify_locations(self._file("ca"))
                if hasattr(context, "set_ciphers"):  # MicroPython >= 1.22
                    _suites(context)
        except ValueError:
            raise LinkError(errors.TLS, "certs/ca is no certificate")
        except MemoryError:
            raise LinkError(errors.MEMORY, "tls")
        self._context = context

    def _load_identity(self, context):
        try:
            context.load_cert_chain(self._file("cert"), self._file("key"))
        except ValueError as e:
            what = "key is no private key" if "key" in str(e) else "cert is no certificate"
            raise LinkError(errors.TLS, "certs/" + what)
        except OSError as e:
            raise link_error(e)

    def _file(self, name):
        for suffix in (".pem", ".der"):
            try:
                return self._read("certs/" + name + suffix)
            except OSError:
                pass
        raise LinkError(errors.TLS, "certs/" + name + " is missing")

    def wrap(self, raw, host):
        # The host name goes out as SNI and is checked. With mbedTLS the handshake is left to the
        # first write, so that it cannot block; axTLS does it here, under the socket's timeout.
        self.load()
        try:
            return self._context.wrap_socket(
                raw, server_hostname=host, do_handshake_on_connect=not self.verified
            )
        except (OSError, ValueError, MemoryError) as e:
            raise link_error(e)
