# heap: 48wk
# What firmware/net/tls.py makes of certificates and ports, and failure.py of errors. The C module
# is a fake here; the real one is met in tests/e2e/test_server_tls.py.

import harness
from firmware.core.errors import LinkError
from firmware.net import failure, tls

FILES = {"certs/ca.pem": b"CA", "certs/cert.pem": b"CERT", "certs/key.pem": b"KEY"}
OTHER_NAME = "The certificate Common Name (CN) does not match with the expected CN\n"
NOT_SIGNED = "The certificate is not correctly signed by the trusted CA\n"
EXPIRED = "The certificate validity has expired\n"


class AxContext:
    def __init__(self, protocol):
        self.loaded = []

    def load_cert_chain(self, cert, key):
        if isinstance(cert, Exception):
            raise cert
        if key == b"junk":
            raise ValueError("invalid key")
        if cert == b"junk":
            raise ValueError("invalid cert")
        self.loaded.append((cert, key))


class Context(AxContext):
    def load_verify_locations(self, ca):
        if isinstance(ca, Exception):
            raise ca
        if ca == b"junk":
            raise ValueError("invalid cert")
        self.loaded.append(ca)

    KNOWN = ()
    ciphers = None

    def set_ciphers(self, names):
        for name in names:
            if name not in self.KNOWN:
                raise OSError(-0x5E80)
        self.ciphers = tuple(names)


class Picky(Context):
    # A port with a part of the suites, as the ESP32's, whose mbedTLS has no TLS 1.3.
    KNOWN = ("TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", "TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256")


class MbedTls:
    PROTOCOL_TLS_CLIENT = 0
    CERT_REQUIRED = 2
    SSLContext = Context


class PickyTls(MbedTls):
    SSLContext = Picky


class AxTls:
    PROTOCOL_TLS_CLIENT = 0
    CERT_NONE = 0
    SSLContext = AxContext


def made(module=MbedTls, der=False, slot=None, **changes):
    # What context() makes of these files. slot: what is in that file; True: it cannot be read.
    files = dict(FILES)
    for name, content in changes.items():
        files["certs/" + name + ".pem"] = content
    tls._tls = module
    tls.VERIFIED = hasattr(module.SSLContext, "load_verify_locations")

    def opened(path, mode):
        harness.equal(mode, "rb")
        if der and path.endswith(".der"):
            return File(b"DER")
        if path == "slot" and isinstance(slot, bytes):
            return File(slot, 3)
        if files.get(path) is None:
            raise OSError(5 if path == "slot" and slot else 2)
        return File(files[path])

    tls.open = opened
    return tls.context()


class File:
    def __init__(self, content, size=None):
        self.content = content  # or an error, for the context to raise
        self.size = size or (len(content) if isinstance(content, bytes) else 0)

    def seek(self, at, whence=0):
        return at + (self.size if whence else 0)

    def read(self, size):
        assert size == self.size
        return self.content[:size] if isinstance(self.content, bytes) else self.content

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_server_is_always_verified():
    context = made()
    harness.equal(tls.VERIFIED, True)
    harness.equal(context.verify_mode, MbedTls.CERT_REQUIRED)
    harness.equal(context.loaded, [(b"CERT", b"KEY"), b"CA"])


def test_only_suites_that_aws_recommends_are_offered():
    # A port that knows none of them keeps its own.
    harness.equal(made(PickyTls).ciphers, Picky.KNOWN)
    harness.equal(made(MbedTls).ciphers, None)


def test_axtls_is_found_by_what_it_lacks():
    harness.equal(made(AxTls).loaded, [(b"CERT", b"KEY")])
    harness.equal(tls.VERIFIED, False)


def test_key_and_certificate_of_the_slot_that_counts():
    other = {"b/cert": b"CERT B", "b/key": b"KEY B"}
    for slot in (b"ab", b"bb", b"ab aa 3", b"bb ba 0", b"ab aa refused", b"ab\n"):
        harness.equal(made(slot=slot, **other).loaded, [(b"CERT B", b"KEY B"), b"CA"])
    damaged = b"", b"b", b"xb", b"abc", b"\xff\xff\xff\xff", bytes(40), b" ab", b"AB", None, True
    for slot in (b"aa", b"ba", b"aa ab starts", b"ba bb 3") + damaged:
        harness.equal(made(slot=slot, **other).loaded, [(b"CERT", b"KEY"), b"CA"])
    error = harness.raises(LinkError, made, slot=b"ab", **{"b/cert": b"CERT B"})
    harness.equal(error.args, ("tls", "certs/b/key is missing"))


def test_der_where_there_is_no_pem():
    context = made(der=True, cert=None, key=None)
    harness.equal(context.loaded, [(b"DER", b"DER"), b"CA"])


def test_files_at_fault_are_named():
    # "invalid cert" is all MicroPython says, also when there was no memory.
    for name, content, words in (
        ("ca", None, "certs/ca is missing"),
        ("cert", None, "certs/cert is missing"),
        ("key", None, "certs/key is missing"),
        ("ca", b"junk", "certs/ca: invalid cert, or no memory for it"),
        ("cert", b"junk", "certs/cert and key: invalid cert, or no memory for it"),
        ("key", b"junk", "certs/cert and key: invalid key, or no memory for it"),
    ):
        error = harness.raises(LinkError, made, **{name: content})
        harness.equal(error.args, ("tls", words))
    error = harness.raises(LinkError, made, AxTls, key=b"junk")
    harness.equal(error.args, ("tls", "certs/cert and key: invalid key, or no memory for it"))


def test_no_memory_for_the_files():
    for name, error, words in (
        ("cert", MemoryError(), "memory tls"),
        ("cert", OSError(-0x2880), "memory tls"),
        ("cert", OSError(12), "memory tls"),
        ("ca", MemoryError("memory allocation failed"), "memory tls"),
        ("ca", OSError(-0x3F80), "memory tls"),
    ):
        error = harness.raises(type(error), made, **{name: error})
        harness.equal(" ".join(failure.why(error, False)), words)


def test_errors_in_words_that_stay_the_same():
    for error, reason, words in (
        (OSError(-0x7280, "MBEDTLS_ERR_SSL_CONN_EOF"), "tls", "closed by server"),
        (OSError(-0x7780), "tls", "alert from server"),
        (OSError(-0x2700), "tls", "certificate"),
        (OSError(-0x6E00), "tls", "handshake"),
        (OSError(-0x7200), "tls", "bad record"),
        (OSError(-0x6123), "tls", -0x6123),
        (OSError(104), "tls", "reset by server"),
        (OSError(32), "tls", "reset by server"),
        (OSError(-104), "tls", "reset by server"),  # as an ESP32 has them
        (OSError(-32), "tls", "reset by server"),
        (OSError(-113), "tls", 113),
        (OSError(12), "memory", "tls"),
        (OSError(-12), "memory", "tls"),
        (OSError(-0x7F00), "memory", "tls"),
        (OSError(-0x2880), "memory", "tls"),
        (OSError(-0x3F80), "memory", "tls"),
        (OSError(-17168), "memory", "tls"),  # 0x4300 + 0x10
        (OSError(-0x3D00 - 0x6A), "memory", "tls"),
        (MemoryError("memory allocation failed"), "memory", "tls"),
        (MemoryError(), "memory", "tls"),
        (OSError(), "tls", 0),
        (ValueError(OTHER_NAME), "tls", "host name"),
        (ValueError(NOT_SIGNED), "tls", "not trusted"),
        (ValueError(EXPIRED + NOT_SIGNED), "tls", "not trusted"),
        (ValueError(EXPIRED), "tls", "expired"),
        (ValueError("The certificate validity starts in the future\n"), "tls", "not yet valid"),
        (ValueError("something new"), "tls", "certificate"),
        (ValueError(), "tls", "certificate"),
    ):
        harness.equal(failure.why(error, False), (reason, words))
