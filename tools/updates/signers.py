"""Who signs a release: a private key in a file, or one in AWS KMS, which never leaves it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tools.aws.errors import explained
from tools.aws.undo import undoing
from tools.errors import ToolError
from tools.things import signing_keys

KMS = "kms:"
LEAST_PASSPHRASE = 8
_KMS_KEY = {"KeySpec": "RSA_3072", "KeyUsage": "SIGN_VERIFY"}
_KMS_ALGORITHM = "RSASSA_PKCS1_V1_5_SHA_256"
_KMS_MAKE = "aws kms create-key --key-spec RSA_3072 --key-usage SIGN_VERIFY"


class Signer(Protocol):
    """Signs with PKCS#1 v1.5 and SHA-256; the same bytes get the same signature."""

    @property
    def public(self) -> rsa.RSAPublicKey:
        """The public half."""

    def sign(self, data: bytes) -> bytes:
        """The signature of ``data``."""


@dataclass(frozen=True)
class FileSigner:
    """A private key that is on this computer."""

    key: rsa.RSAPrivateKey

    @property
    def public(self) -> rsa.RSAPublicKey:
        """The public half."""
        return self.key.public_key()

    def sign(self, data: bytes) -> bytes:
        """The signature of ``data``."""
        return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())


@dataclass(frozen=True)
class KmsSigner:
    """A key in AWS KMS: it gets the hash and gives the signature."""

    client: Any
    arn: str
    public: rsa.RSAPublicKey

    def sign(self, data: bytes) -> bytes:
        """The signature of ``data``."""
        with explained():
            answer = self.client.sign(
                KeyId=self.arn,
                Message=hashlib.sha256(data).digest(),
                MessageType="DIGEST",
                SigningAlgorithm=_KMS_ALGORITHM,
            )
        return bytes(answer["Signature"])


def of(key: str, kms: Callable[[], Any], passphrase: Callable[[], str]) -> Signer:
    """The signer that ``key`` names: a file, or kms:ARN.

    ``kms`` makes the client, ``passphrase`` asks for the file's; each only where it is needed.
    """
    if key.startswith(KMS):
        return of_kms(key[len(KMS) :], kms())
    return of_file(Path(key), passphrase)


def region_of(key: str) -> str:
    """That of a kms:ARN, which names it; "" for a file."""
    return (*key.split(":"), "", "", "", "")[4] if key.startswith(KMS) else ""


def of_file(path: Path, passphrase: Callable[[], str]) -> FileSigner:
    """The key in the PEM file ``path``; ToolError for another kind, or a wrong passphrase."""
    try:
        data = path.read_bytes()
    except OSError as e:
        hint = f"{signing_keys.NEW_KEY} makes one"
        raise ToolError(f"cannot read {path}: {e.strerror}", hint) from e
    try:
        try:
            key: object = ser.load_pem_private_key(data, None)
        except TypeError:  # it is encrypted
            key = _opened(data, passphrase(), path)
    except (ValueError, UnsupportedAlgorithm):
        raise ToolError(f"{path} is not a private key in PEM") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ToolError(f"{path}: is not an RSA key", f"{signing_keys.NEW_KEY} makes one")
    signing_keys.checked(key.public_key(), str(path))
    return FileSigner(key)


def _opened(data: bytes, passphrase: str, path: Path) -> object:
    try:
        return ser.load_pem_private_key(data, passphrase.encode())
    except ValueError:
        raise ToolError(f"{path}: the passphrase is wrong, or the file is damaged") from None


def of_kms(arn: str, client: Any) -> KmsSigner:
    """The key ``arn`` of KMS; ToolError for one that cannot sign what boards believe."""
    parts = arn.split(":")
    if parts[0] != "arn" or parts[2:3] != ["kms"] or len(parts) < 6:
        raise ToolError(f"{KMS}{arn} names no key", "--key kms:arn:aws:kms:REGION:ACCOUNT:key/ID")
    region = str(client.meta.region_name)
    if parts[3] != region:
        raise ToolError(f"the key is in {parts[3]}, not in {region}", f"--region {parts[3]}")
    with explained():
        answer = client.get_public_key(KeyId=arn)
    wrong = [name for name, value in _KMS_KEY.items() if answer.get(name) != value]
    if wrong or _KMS_ALGORITHM not in answer.get("SigningAlgorithms", ()):
        has = ", ".join(str(answer.get(name)) for name in _KMS_KEY)
        raise ToolError(f"{arn} is {has}; a board takes RSA_3072, SIGN_VERIFY", _KMS_MAKE)
    public = ser.load_der_public_key(answer["PublicKey"])
    return KmsSigner(client, arn, signing_keys.checked(public, arn))


def new_key(path: Path, passphrase: str) -> Path:
    """Make a key in ``path``, encrypted unless ``passphrase`` is ""; the file of the public half.

    Nothing is overwritten: ToolError where one of the two files is there.
    """
    public = check_free(path)
    key = rsa.generate_private_key(signing_keys.EXPONENT, signing_keys.BITS)
    secret = key.private_bytes(
        ser.Encoding.PEM,
        ser.PrivateFormat.PKCS8,
        ser.BestAvailableEncryption(passphrase.encode()) if passphrase else ser.NoEncryption(),
    )
    form = ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with undoing() as undo:
            _create(path, secret, 0o600, undo.path)
            _create(public, key.public_key().public_bytes(*form), 0o644, undo.path)
    except OSError as e:
        raise ToolError(f"cannot write {e.filename or path}: {e.strerror}") from e
    return public


def check_free(path: Path) -> Path:
    """The file for the public half of a new key in ``path``; ToolError if it cannot be made."""
    public = path.with_name(path.stem + signing_keys.SUFFIX)
    if path.suffix != ".pem" or path.name.endswith(signing_keys.SUFFIX):
        raise ToolError(f"{path}: a key's file ends in .pem", "--out keys/release-1.pem")
    taken = [file for file in (path, public) if os.path.lexists(file)]
    if taken:
        raise ToolError(f"{taken[0]} is there and stays as it is", "--out keys/release-2.pem")
    beside = signing_keys.load(path.parent)
    if len(beside) >= signing_keys.MOST:
        raise ToolError(
            f"boards take {signing_keys.MOST} keys, and {path.parent} has them: "
            + ", ".join(file.name for file in beside),
            "move away the public half of the one that goes",
        )
    return public


def _create(path: Path, data: bytes, mode: int, made: Callable[[Path], None]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    made(path)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
