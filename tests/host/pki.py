"""Certificates for tests: an authority, and devices signed by it. Keys are made once a run."""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, rsa

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.timezone.utc)
DAY = dt.timedelta(days=1)
PEM = ser.Encoding.PEM
PKCS8 = ser.PrivateFormat.PKCS8
TRADITIONAL = ser.PrivateFormat.TraditionalOpenSSL


@cache
def key(kind: str = "ec", number: int = 0) -> Any:
    """A private key: "ec" (P-256), "p384", "rsa" (2048), "rsa1024", "rsa3072"."""
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "p384":
        return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(65537, int(kind[3:] or 2048))


def certificate(
    subject_key: Any,
    *,
    start: dt.datetime = NOW - DAY,
    end: dt.datetime = NOW + 3650 * DAY,
    ca: bool = False,
    name: str = "device",
    host: str = "",
    authority: Any = None,
) -> x509.Certificate:
    """A certificate for ``subject_key``, signed by the test authority; ``host``: of a server."""
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(subject_key.public_key())
        .serial_number(1001)
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if host:
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(authority or key("ec", 9), hashes.SHA256())


@cache
def authority(number: int = 9) -> bytes:
    """The PEM of the authority; other numbers give other ones."""
    return certificate(key("ec", number), ca=True, name="authority").public_bytes(PEM)


def key_pem(private: Any, form: Any = PKCS8, passphrase: bytes = b"") -> bytes:
    """The PEM of a private key."""
    lock = ser.BestAvailableEncryption(passphrase) if passphrase else ser.NoEncryption()
    return bytes(private.private_bytes(PEM, form, lock))


def folder(where: Path, kind: str = "ec", **dates: Any) -> Path:
    """A folder with ca.pem, cert.pem and key.pem that belong together."""
    where.mkdir(parents=True, exist_ok=True)
    private = key(kind)
    (where / "ca.pem").write_bytes(authority())
    (where / "cert.pem").write_bytes(certificate(private, **dates).public_bytes(PEM))
    (where / "key.pem").write_bytes(key_pem(private))
    return where
