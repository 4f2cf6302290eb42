"""Device keys: made on this machine, never printed, never overwritten."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tools.errors import ToolError

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_RSA_BITS = 2048  # the most the ESP8266 can do, the least AWS takes
_CN_CHARS = 64  # X.520's upper bound for a common name; thing names may have 128


def make(kind: str) -> PrivateKey:
    """A new key: "ec" (P-256) or "rsa" (2048 bits)."""
    if kind == "rsa":
        return rsa.generate_private_key(65537, _RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def request(key: PrivateKey, thing: str) -> str:
    """A certificate signing request (PEM) for ``thing``."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, thing[:_CN_CHARS])])
    signed = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return signed.public_bytes(ser.Encoding.PEM).decode()


def pem(key: PrivateKey) -> bytes:
    """The key in the traditional form that boards read."""
    return key.private_bytes(
        ser.Encoding.PEM, ser.PrivateFormat.TraditionalOpenSSL, ser.NoEncryption()
    )


def read(path: Path) -> PrivateKey:
    """The key in a file; ToolError when it is none."""
    try:
        key = ser.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as e:
        hint = "move the folder away and provision the thing again"
        raise ToolError(f"{path} cannot be used as a private key", hint) from e
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise ToolError(f"{path} is neither an EC nor an RSA key")
    return key


def write_secret(path: Path, data: bytes) -> None:
    """Write a file only its owner may read; FileExistsError rather than overwriting one."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()  # half a key is worth nothing and would be in the way
        raise
