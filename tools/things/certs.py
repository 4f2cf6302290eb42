"""The device's certificates: found by name, checked against each other, brought into board form.

Facts: AWS takes EC P-256 and RSA >= 2048 device keys (aws-facts.md 2.3). mbedTLS (ESP32, unix)
reads PEM; axTLS (ESP8266) reads DER, RSA only, the key as PKCS#1, and cannot verify a server.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tools.things import boards
from tools.things.boards import Board

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
T = TypeVar("T")

# role -> names it goes by, lower case: ours, the AWS console's, those of AWS's quick-start kits.
NAMES = {
    "ca": (
        *("ca.pem", "ca.crt", "ca.der", "amazonrootca?.pem"),
        *("root-ca.crt", "root-ca.pem", "rootca.pem"),
    ),
    "cert": (
        *("cert.pem", "cert.crt", "cert.der", "*-certificate.pem.crt"),
        *("certificate.pem.crt", "certificate.pem", "*.cert.pem"),
    ),
    "key": (
        *("key.pem", "key.der", "*-private.pem.key", "private.pem.key"),
        *("private.key", "*.private.key"),
    ),
}
_AMAZON = "amazonrootca?.pem"  # AWS hands out two of them (CA 1 and CA 3); a board may need either
_MAX_BYTES = 64 * 1024  # a certificate with its chain has 2 to 6 KB
_KEY_BLOCK = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.S
)


@dataclass(frozen=True)
class Certificates:
    """What the board gets, byte for byte, and its certificate for further checks.

    ``key`` is empty where the board has made it.
    """

    ca: bytes
    cert: bytes
    key: bytes
    suffix: str  # "pem" or "der"
    certificate: x509.Certificate

    def files(self) -> dict[str, bytes]:
        """Path on the board -> content."""
        contents = {"ca": self.ca, "cert": self.cert, "key": self.key}
        return {f"certs/{role}.{self.suffix}": data for role, data in contents.items() if data}


class _Unusable(Exception):
    """One file cannot be used; the text says why and never quotes the file."""


def load(
    folder: Path, board: str, now: dt.datetime, keyless: bool = False
) -> tuple[Certificates | None, list[str]]:
    """Find and check the three files in ``folder``; two where the board has the key.

    Returns (certificates, []) or (None, every problem found); a problem names files, never their
    contents. ``board`` is one of boards.json; ``now`` is an aware time.
    """
    kind = boards.get(board)
    if not folder.is_dir():
        return None, [f"certificates: {folder} is not a folder"]
    problems: list[str] = []
    paths = {role: find(folder, role, problems) for role in NAMES if role != "key" or not keyless}
    roots: list[x509.Certificate] = []
    for path in paths["ca"]:
        for certificate in _parse(path, _certificates, problems) or []:
            problems += _authority_problems(path.name, certificate, now)
            roots.append(certificate)
    chain = key = None
    for path in paths["cert"]:
        chain = _parse(path, _certificates, problems)
        problems += _date_problems(path.name, chain[0], now) if chain else []
    for path in paths.get("key", ()):
        key = _parse(path, _private_key, problems)
        problems += _key_problems(path.name, key, kind) if key else []
    if chain and key and not belong_together(chain[0], key):
        names = paths["cert"][0].name, paths["key"][0].name
        problems.append(f"{names[0]}: does not belong to the key {names[1]}")
    if problems or not chain or not (key or keyless):
        return None, problems
    return _for_board(kind, list(dict.fromkeys(roots)), chain, key), []


def find(folder: Path, role: str, problems: list[str]) -> list[Path]:
    """The file of a role ("ca", "cert", "key"); more than one only for Amazon's own roots."""
    files = [p for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith(".")]
    hits = [p for p in files if any(fnmatch.fnmatch(p.name.lower(), n) for n in NAMES[role])]
    if not hits:
        problems.append(f"{role}: no such file in {folder} (looked for {', '.join(NAMES[role])})")
    if all(fnmatch.fnmatch(p.name.lower(), _AMAZON) for p in hits):
        return hits
    if len({_content(p) for p in hits}) == 1:
        return hits[:1]
    names = ", ".join(p.name for p in hits)
    problems.append(f"{role}: several files could be it: {names}; leave only one in {folder}")
    return []


def _content(path: Path) -> bytes | Path:
    try:
        return path.read_bytes()
    except OSError:
        return path


def _parse(path: Path, parse: Callable[[bytes], T], problems: list[str]) -> T | None:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _Unusable(f"is larger than {_MAX_BYTES // 1024} KB")
        data = path.read_bytes()
        if not data.strip():
            raise _Unusable("is empty")
        return parse(data)
    except OSError as e:
        problems.append(f"{path.name}: cannot be read: {e.strerror}")
    except _Unusable as e:
        problems.append(f"{path.name}: {e}")
    return None


def _certificates(data: bytes) -> list[x509.Certificate]:
    if b"PRIVATE KEY-----" in data and b"BEGIN CERTIFICATE-----" not in data:
        raise _Unusable("holds a private key, not a certificate")
    if b"CERTIFICATE REQUEST-----" in data:
        raise _Unusable("holds a certificate request (CSR), not the certificate made from it")
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(data)]
    except (ValueError, UnsupportedAlgorithm):
        raise _Unusable("is not a certificate (neither PEM nor DER)") from None


def _private_key(data: bytes) -> PrivateKey:
    # openssl's "ecparam -genkey" puts a parameter block in front: only the key itself counts.
    block = _KEY_BLOCK.search(data)
    if block is None and b"-----BEGIN" in data:
        held = "a public key" if b"PUBLIC KEY-----" in data else "no private key"
        raise _Unusable(f"holds {held}; the private key is wanted")
    try:
        if block is not None:
            key = ser.load_pem_private_key(block.group(), None)
        else:
            key = ser.load_der_private_key(data, None)
    except TypeError:
        raise _Unusable(
            "is protected with a passphrase, which no board can enter; "
            "take it off with: openssl pkey -in OLD -out key.pem"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise _Unusable("is not a private key (neither PEM nor DER)") from None
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise _Unusable("is neither an EC nor an RSA key; AWS IoT takes no other")
    return key


def _authority_problems(name: str, certificate: x509.Certificate, now: dt.datetime) -> list[str]:
    problems = _date_problems(name, certificate, now)
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        is_ca = basic.ca
    except (x509.ExtensionNotFound, ValueError):
        is_ca = False
    if not is_ca:
        problems.append(f"{name}: is not the certificate of an authority (CA)")
    return problems


def _date_problems(name: str, certificate: x509.Certificate, now: dt.datetime) -> list[str]:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < start:
        return [
            f"{name}: is not yet valid, not before {start:%Y-%m-%d %H:%M} UTC "
            f"(this computer's clock says {now:%Y-%m-%d %H:%M})"
        ]
    if now > end:
        return [f"{name}: expired on {end:%Y-%m-%d}"]
    return []


def _key_problems(name: str, key: PrivateKey, board: Board) -> list[str]:
    only_rsa = board.key == "rsa"
    if isinstance(key, rsa.RSAPrivateKey):
        if only_rsa and key.key_size != 2048:
            return [f"{name}: is RSA-{key.key_size}; the ESP8266 needs RSA-2048"]
        if key.key_size < 2048:
            return [f"{name}: is RSA-{key.key_size}; AWS IoT takes 2048 bits or more"]
        return []
    if only_rsa:
        return [f"{name}: is an EC key; the ESP8266 can use RSA-2048 only"]
    if not isinstance(key.curve, ec.SECP256R1):
        return [f"{name}: uses the curve {key.curve.name}; the board needs P-256 (or RSA)"]
    return []


def belong_together(certificate: x509.Certificate, key: PrivateKey) -> bool:
    """True if the certificate was made for this key."""
    form = ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo
    try:
        public = certificate.public_key().public_bytes(*form)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return public == key.public_key().public_bytes(*form)


def _for_board(
    board: Board,
    roots: list[x509.Certificate],
    chain: list[x509.Certificate],
    key: PrivateKey | None,
) -> Certificates:
    der = board.certs == "der"
    encoding = ser.Encoding.DER if der else ser.Encoding.PEM
    form = encoding, ser.PrivateFormat.TraditionalOpenSSL, ser.NoEncryption()
    secret = key.private_bytes(*form) if key else b""
    # A DER file holds one certificate.
    ca = b"".join(c.public_bytes(encoding) for c in (roots[:1] if der else roots))
    cert = b"".join(c.public_bytes(encoding) for c in (chain[:1] if der else chain))
    return Certificates(ca, cert, secret, board.certs, chain[0])
