"""A certificate authority for one test run: good and bad servers of every kind, and a client.

Everything is made in memory at test time; nothing of it is ever committed. Keys are P-256 unless
``rsa`` is asked for. All functions give PEM as bytes.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST = "localhost"
"""The name in the good server certificate, which also holds 127.0.0.1."""

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key, PEM."""

    cert: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write ``name.pem`` and ``name.key.pem`` (0600) and give both paths."""
        cert, key = folder / f"{name}.pem", folder / f"{name}.key.pem"
        cert.write_bytes(self.cert)
        key.touch(mode=0o600)
        key.write_bytes(self.key)
        return cert, key


@dataclass
class Authority:
    """A root that signs. ``Authority()`` twice gives two that do not trust each other."""

    name: str = "Fieldmouse test root"
    rsa: bool = False
    _key: Key = field(init=False, repr=False)
    _cert: x509.Certificate = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._key = _new_key(self.rsa)
        builder = _builder(_name(self.name), self._key, *_dates(0))
        builder = builder.issuer_name(_name(self.name))
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
        self._cert = builder.sign(self._key, hashes.SHA256())

    @property
    def cert(self) -> bytes:
        """The root certificate."""
        return self._cert.public_bytes(serialization.Encoding.PEM)

    def server(
        self, host: str = HOST, *, rsa: bool = False, days: int = 0, padding: int = 0
    ) -> Identity:
        """A server certificate for ``host`` (for HOST also 127.0.0.1).

        ``days`` shifts its year of validity: -800 has expired, 800 has not begun. ``padding`` adds
        that many bytes to the certificate (Device Advisor's large one has 20 % more).
        """
        names: list[x509.GeneralName] = [x509.DNSName(host)]
        if host == HOST:
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        key = _new_key(rsa)
        builder = _builder(_name(host), key, *_dates(days))
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(usage, critical=False)
        if padding:
            oid = x509.ObjectIdentifier("1.3.6.1.4.1.55555.1")
            extra = x509.UnrecognizedExtension(oid, b"\x04\x01\x00" + bytes(padding))
            builder = builder.add_extension(extra, critical=False)
        return self._sign(builder, key)

    def client(self, thing: str = "AWS IoT Certificate", *, rsa: bool = False) -> Identity:
        """A device certificate."""
        key = _new_key(rsa)
        builder = _builder(_name(thing), key, *_dates(0))
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._sign(builder.add_extension(usage, critical=False), key)

    def issue(self, request: x509.CertificateSigningRequest) -> bytes:
        """A device certificate for somebody else's key."""
        builder = x509.CertificateBuilder().subject_name(request.subject)
        builder = builder.public_key(request.public_key()).issuer_name(_name(self.name))
        builder = builder.serial_number(x509.random_serial_number())
        begin, end = _dates(0)
        builder = builder.not_valid_before(begin).not_valid_after(end)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _sign(self, builder: x509.CertificateBuilder, key: Key) -> Identity:
        cert = builder.issuer_name(_name(self.name)).sign(self._key, hashes.SHA256())
        return Identity(
            cert.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            ),
        )


def large(authority: Authority, rsa: bool = False) -> Identity:
    """The good server certificate with 20 % more bytes."""
    plain = x509.load_pem_x509_certificate(authority.server(rsa=rsa).cert)
    size = len(plain.public_bytes(serialization.Encoding.DER))
    return authority.server(rsa=rsa, padding=size // 5)


def _new_key(use_rsa: bool) -> Key:
    if use_rsa:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _dates(days: int) -> tuple[datetime.datetime, datetime.datetime]:
    begin = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days) - _DAY
    return begin, begin + datetime.timedelta(days=366)


def _builder(
    name: x509.Name, key: Key, begin: datetime.datetime, end: datetime.datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(begin).not_valid_after(end)
