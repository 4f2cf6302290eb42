# heap: 48wk
# What firmware/net/tls.py makes of certificates, ports and errors. The C module is a fake here;
# the real one is met in tests/e2e/test_server_tls.py.

import harness
from firmware.core import errors
from firmware.core.errors import LinkError
from firmware.net import tls

FILES = {"certs/ca.pem": b"CA", "certs/cert.pem": b"CERT", "certs/key.pem": b"KEY"}


class AxContext:
    def __init__(self, protocol):
        self.loaded = []
        self.wrapped = []
        self.error = None
        AxContext.made.append(self)

    def load_cert_chain(self, cert, key):
        if key == b"junk":
            raise ValueError("invalid key")
        if cert == b"junk":
            raise ValueError("invalid cert")
        self.loaded.append((cert, key))

    def wrap_socket(self, raw, **kwargs):
        if self.error:
            raise self.error
        self.wrapped.append(kwargs)
        return raw


class Context(AxContext):
    def load_verify_locations(self, ca):
        if ca == b"junk":
            raise ValueError("invalid cert")
        self.loaded.append(ca)


class Picky(Context):
    # A port with a part of the suites, as the ESP32's, whose mbedTLS has no TLS 1.3.
    KNOWN = ("TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", "TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256")
    ciphers = None

    def set_ciphers(self, names):
        for name in names:
            if name not in self.KNOWN:
                raise OSError(-0x5E80)
        self.ciphers = tuple(names)


class PickyTls:
    PROTOCOL_TLS_CLIENT = 0
    CERT_REQUIRED = 2
    SSLContext = Picky


class MbedTls:
    PROTOCOL_TLS_CLIENT = 0
    CERT_REQUIRED = 2
    SSLContext = Context


class AxTls:
    PROTOCOL_TLS_CLIENT = 0
    CERT_NONE = 0
    SSLContext = AxContext


def made(module=MbedTls, **changes):
    files = dict(FILES)
    for name, content in changes.items():
        files["certs/" + name + ".pem"] = content
    AxContext.made = []
    tls._tls = module

    def read(path):
        if files.get(path) is None:
            raise OSError(2)
        return files[path]

    return tls.Tls(read)


def test_server_is_always_verified():
    one = made()
    harness.equal(one.verified, True)
    one.wrap("raw", "host.example")
    context = AxContext.made[0]
    harness.equal(context.verify_mode, MbedTls.CERT_REQUIRED)
    harness.equal(context.loaded, [(b"CERT", b"KEY"), b"CA"])
    wanted = {"server_hostname": "host.example", "do_handshake_on_connect": False}
    harness.equal(context.wrapped, [wanted])


def test_one_context_for_all_sessions():
    one = made()
    for _ in range(3):
        one.wrap("raw", "h")
    harness.equal((len(AxContext.made), len(AxContext.made[0].loaded)), (1, 2))


def test_only_suites_that_aws_recommends_are_offered():
    made(PickyTls).load()
    harness.equal(AxContext.made[0].ciphers, Picky.KNOWN)


def test_a_port_that_knows_none_of_the_suites_keeps_its_own():
    known, Picky.KNOWN = Picky.KNOWN, ()
    try:
        made(PickyTls).load()
        harness.equal(AxContext.made[0].ciphers, None)
    finally:
        Picky.KNOWN = known


def test_axtls_is_found_by_what_it_lacks_and_says_so():
    one = made(AxTls)
    harness.equal(one.verified, False)
    one.wrap("raw", "h")
    context = AxContext.made[0]
    harness.equal(context.loaded, [(b"CERT", b"KEY")])
    harness.equal(context.wrapped, [{"server_hostname": "h", "do_handshake_on_connect": True}])


def test_der_where_there_is_no_pem():
    one = made(cert=None, key=None)
    read = one._read

    def der(path):
        return b"DER" if path.endswith(".der") else read(path)

    one._read = der
    one.load()
    harness.equal(AxContext.made[0].loaded, [(b"DER", b"DER"), b"CA"])


def test_files_at_fault_are_named():
    for name, content, words in (
        ("ca", None, "certs/ca is missing"),
        ("cert", None, "certs/cert is missing"),
        ("key", None, "certs/key is missing"),
        ("ca", b"junk", "certs/ca is no certificate"),
        ("cert", b"junk", "certs/cert is no certificate"),
        ("key", b"junk", "certs/key is no private key"),
    ):
        error = harness.raises(LinkError, made(**{name: content}).wrap, "raw", "h")
        harness.equal((error.reason, error.detail), (errors.TLS, words))


def test_errors_in_words_that_stay_the_same():
    for error, reason, words in (
        (OSError(-0x7280, "MBEDTLS_ERR_SSL_CONN_EOF"), errors.TLS, "closed by server"),
        (OSError(-0x7780), errors.TLS, "alert from server"),
        (OSError(-0x2700), errors.TLS, "certificate"),
        (OSError(-0x6123), errors.TLS, -0x6123),
        (OSError(104), errors.TLS, "reset by server"),
        (OSError(12), errors.MEMORY, "tls"),
        (OSError(-0x7F00), errors.MEMORY, "tls"),
        (OSError(-0x2880), errors.MEMORY, "tls"),
        (OSError(-17168), errors.MEMORY, "tls"),
        (MemoryError("memory allocation failed"), errors.MEMORY, "tls"),
        (OSError(), errors.TLS, None),
        (
            ValueError("The certificate Common Name (CN) does not match with the expected CN\n"),
            errors.TLS,
            "host name",
        ),
        (
            ValueError("The certificate is not correctly signed by the trusted CA\n"),
            errors.TLS,
            "not trusted",
        ),
        (ValueError("The certificate validity has expired\n"), errors.TLS, "expired"),
        (
            ValueError("The certificate validity starts in the future\n"),
            errors.TLS,
            "not yet valid",
        ),
        (ValueError("something new"), errors.TLS, "certificate"),
    ):
        made_of_it = tls.link_error(error)
        harness.equal((made_of_it.reason, made_of_it.detail), (reason, words))
        one = made()
        one.load()
        AxContext.made[0].error = error
        harness.equal(harness.raises(LinkError, one.wrap, "raw", "h").reason, reason)


harness.run(globals())
