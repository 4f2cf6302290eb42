# The TLS context, made from certs/. On ports with mbedTLS the server's certificate, its dates and
# its host name are always checked; there is no switch. axTLS (ESP8266) can check nothing. On
# demand: at boot first, while there is a large piece of memory; where that failed, and with axTLS,
# which keeps key and certificate on Python's heap, at each connect.

from firmware.core.errors import LinkError

try:
    import tls as _tls  # MicroPython >= 1.23
except ImportError:
    import ssl as _tls

VERIFIED = hasattr(_tls.SSLContext, "load_verify_locations")


def context():
    what = "cert and key"
    try:
        made = _tls.SSLContext(_tls.PROTOCOL_TLS_CLIENT)
        made.load_cert_chain(read("cert"), read("key"))
        if VERIFIED:
            what = "ca"
            made.verify_mode = _tls.CERT_REQUIRED
            made.load_verify_locations(read("ca"))
            _suites(made)
        return made
    except ValueError as e:  # "invalid cert" or "invalid key", whatever mbedTLS said
        raise LinkError("tls", "certs/{}: {}, or no memory for it".format(what, e))


def read(name):
    folder = ""
    if name != "ca":  # slot a, unless the second letter says b (docs/updates.md)
        try:
            with open("slot", "rb") as f:
                if f.read(3).rstrip() in (b"ab", b"bb"):
                    folder = "b/"
        except OSError:
            pass
    for suffix in (".pem", ".der"):
        try:
            with open("certs/{}{}{}".format(folder, name, suffix), "rb") as f:
                size = f.seek(0, 2)
                f.seek(0)
                return f.read(size)  # in one piece at once
        except OSError:
            pass
    raise LinkError("tls", "certs/{}{} is missing".format(folder, name))


def _suites(context):
    # Of what AWS has (aws-facts 2.1) the suites with forward secrecy and the smallest code, as far
    # as the port has them. A library's whole list makes a ClientHello of 400 bytes, most of it
    # suites AWS has not, which Device Advisor marks down.
    found = []
    for cipher in ("128-GCM-SHA256", "256-GCM-SHA384"):
        for kind in ("TLS1-3-AES-", "TLS-ECDHE-ECDSA-WITH-AES-", "TLS-ECDHE-RSA-WITH-AES-"):
            try:
                context.set_ciphers(found + [kind + cipher])  # if it raises, nothing has changed
                found.append(kind + cipher)
            except (OSError, ValueError):
                pass
