# The TLS context, made from certs/. On ports with mbedTLS the server's certificate, its dates and
# its host name are always checked; there is no switch. axTLS (ESP8266) cannot check anything:
# VERIFIED is False there, and the firmware says so wherever it reports. On demand: at boot before
# anything else, while there is a large piece of memory; where that failed, and on an ESP8266, at
# each connect.

from firmware.core.errors import LinkError

try:
    import tls as _tls  # MicroPython >= 1.23
except ImportError:
    import ssl as _tls

VERIFIED = hasattr(_tls.SSLContext, "load_verify_locations")

# MicroPython says "invalid cert" whatever mbedTLS said, a want of memory included.
_OR_MEMORY = ", or no memory for it"


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
        from firmware.net import failure

        raise failure.link_error(e)
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
