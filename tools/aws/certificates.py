"""Certificates in AWS, made for a key of this machine, attached, switched on, thrown away.

A key is never printed and never overwritten.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tools.aws.errors import code_of, found
from tools.aws.undo import Undo
from tools.errors import ToolError
from tools.things.certs import PrivateKey
from tools.things.folder import Folder, Record

_DETACH_TRIES = 6  # AWS detaches in the background; a delete right after may still conflict
_DETACH_WAIT_S = 0.5
_RSA_BITS = 2048  # the most the ESP8266 can do, the least AWS takes
_CN_CHARS = 64  # X.520's upper bound for a common name; thing names may have 128


def ensure(
    iot: Any,
    folder: Folder,
    thing: tuple[str, str],
    kind: str,
    policies: Iterable[str],
    undo: Undo,
) -> Record:
    """Make sure of a certificate for the folder's key, and of the key ("ec", "rsa").

    Attached to ``thing`` (name, ARN) and the policies, and only then ACTIVE: there is no moment at
    which an active certificate belongs to nothing. The folder gets key.pem, thing.json, cert.pem.
    """
    for path in (folder.path, folder.certs):
        if not path.exists():
            undo.path(path)
    folder.make()
    before = folder.record()
    record = (
        _find(iot, folder, before, thing[1])
        if before
        else _create(iot, folder, *thing, kind, undo)
    )
    for name in policies:
        iot.attach_policy(policyName=name, target=record.certificate_arn)
    iot.attach_thing_principal(thingName=record.thing_name, principal=record.certificate_arn)
    iot.update_certificate(certificateId=record.certificate_id, newStatus="ACTIVE")
    return record


def _create(iot: Any, folder: Folder, thing: str, thing_arn: str, kind: str, undo: Undo) -> Record:
    if folder.cert.exists():
        hint = "give another --out, or move the folder away"
        raise ToolError(f"{folder.cert} is there, but no thing.json: not made here", hint)
    if folder.key.exists():
        key = read_key(folder.key)
    else:
        key = make_key(kind)
        write_secret(folder.key, key_pem(key))
        undo.path(folder.key)
    csr = request(key, thing)
    # INACTIVE is the default.
    made = iot.create_certificate_from_csr(certificateSigningRequest=csr)
    number, arn = made["certificateId"], made["certificateArn"]
    undo.call(f"certificate {number}", discard, iot=iot, certificate_id=number, arn=arn)
    undo.path(folder.record_file)
    record = folder.save(Record(thing, thing_arn, number, arn))
    undo.path(folder.cert)
    folder.write(folder.cert, made["certificatePem"].encode())
    return record


def _find(iot: Any, folder: Folder, record: Record, thing_arn: str) -> Record:
    """The certificate an earlier run has made; ToolError when it is not what it was."""
    hint, short = f"python -m tools rotate {record.thing_name}", record.certificate_id[:10] + "…"
    if record.thing_arn != thing_arn:
        raise ToolError(
            f"{folder.path} belongs to {record.thing_arn}, not to {thing_arn}",
            "AWS_PROFILE and AWS_REGION choose account and region; or give another --out",
        )
    there = found(iot.describe_certificate, certificateId=record.certificate_id)
    if there is None:
        text = f"the certificate {short} of {record.thing_name} is no longer in AWS"
        raise ToolError(text, hint)
    status = there["certificateDescription"]["status"]
    if status != "ACTIVE" and (record.complete or status != "INACTIVE"):
        raise ToolError(f"the certificate {short} is {status}", hint)
    if not folder.key.exists() and not record.key_on_board:
        raise ToolError(f"{folder.key} is missing", hint)
    if not folder.cert.exists():
        folder.write(folder.cert, there["certificateDescription"]["certificatePem"].encode())
    return record


def discard(iot: Any, certificate_id: str, arn: str) -> None:
    """Switch a certificate off, detach it from everything and delete it."""
    found = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    if found["status"] == "ACTIVE":  # one that is REVOKED is off for good
        iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    for name in policies_of(iot, arn):
        iot.detach_policy(policyName=name, target=arn)
    for thing in things_of(iot, arn):
        iot.detach_thing_principal(thingName=thing, principal=arn)
    for tries_left in reversed(range(_DETACH_TRIES)):
        try:
            iot.delete_certificate(certificateId=certificate_id, forceDelete=True)
            return
        except Exception as e:
            if code_of(e) != "DeleteConflictException" or not tries_left:
                raise
            time.sleep(_DETACH_WAIT_S)


def policies_of(iot: Any, arn: str) -> list[str]:
    """The names of the policies attached to a certificate; AWS allows 10."""
    return [str(p["policyName"]) for p in iot.list_attached_policies(target=arn)["policies"]]


def things_of(iot: Any, arn: str) -> list[str]:
    """The things a certificate is attached to."""
    return _all(iot.list_principal_things, "things", principal=arn)


def principals_of(iot: Any, thing: str) -> list[str]:
    """The ARNs of everything attached to a thing."""
    return _all(iot.list_thing_principals, "principals", thingName=thing)


def of_thing(iot: Any, thing: str) -> list[str]:
    """The ARNs of the certificates attached to a thing."""
    return [arn for arn in principals_of(iot, thing) if ":cert/" in arn]


def _all(call: Callable[..., Any], key: str, **arguments: str) -> list[str]:
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = call(**arguments, **token)
        found += (str(item) for item in page[key])
        if not page.get("nextToken"):
            return found
        token = {"nextToken": page["nextToken"]}


def remove_files(folder: Folder, *others: Path) -> bool:
    """Remove key, certificates and record, then the folders that are empty; False if none was."""
    files = (folder.ca, folder.cert, folder.key, *others, folder.record_file)
    there = [file for file in files if file.exists()]
    for file in there:
        file.unlink()
    for path in (folder.certs, folder.path):
        with contextlib.suppress(OSError):  # something of the user's is in there
            path.rmdir()
    return bool(there)


def id_of(arn: str) -> str:
    """The certificate id in its ARN."""
    return arn.rsplit("/", 1)[-1]


def make_key(kind: str) -> PrivateKey:
    """A new key: "ec" (P-256) or "rsa" (2048 bits)."""
    if kind == "rsa":
        return rsa.generate_private_key(65537, _RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def request(key: PrivateKey, thing: str) -> str:
    """A certificate signing request (PEM) for ``thing``."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, thing[:_CN_CHARS])])
    signed = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return signed.public_bytes(ser.Encoding.PEM).decode()


def key_pem(key: PrivateKey) -> bytes:
    """The key in the traditional form that boards read."""
    return key.private_bytes(
        ser.Encoding.PEM, ser.PrivateFormat.TraditionalOpenSSL, ser.NoEncryption()
    )


def read_key(path: Path) -> PrivateKey:
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
