"""Certificates in AWS: made for a key, attached, switched on, thrown away."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tools.aws import keys
from tools.aws.errors import code_of, is_missing
from tools.aws.folder import Folder, Record
from tools.aws.undo import Undo
from tools.errors import ToolError

_DETACH_TRIES = 6  # AWS detaches in the background; a delete right after may still conflict
_DETACH_WAIT_S = 0.5


def create(iot: Any, folder: Folder, thing: str, thing_arn: str, kind: str, undo: Undo) -> Record:
    """Ask for a certificate for the folder's key, making the key ("ec", "rsa") if there is none.

    The certificate is INACTIVE. Folder gets key.pem, thing.json and cert.pem.
    """
    if folder.cert.exists():
        hint = "give another --out, or move the folder away"
        raise ToolError(f"{folder.cert} is there, but no thing.json: not made here", hint)
    if folder.key.exists():
        key = keys.read(folder.key)
    else:
        key = keys.make(kind)
        keys.write_secret(folder.key, keys.pem(key))
        undo.path(folder.key)
    csr = keys.request(key, thing)
    made = iot.create_certificate_from_csr(
        certificateSigningRequest=csr
    )  # INACTIVE is the default
    number, arn = made["certificateId"], made["certificateArn"]
    undo.call(f"certificate {number}", discard, iot=iot, certificate_id=number, arn=arn)
    undo.path(folder.record_file)
    record = folder.save(Record(thing, thing_arn, number, arn))
    undo.path(folder.cert)
    folder.write(folder.cert, made["certificatePem"].encode())
    return record


def find(iot: Any, folder: Folder, record: Record, thing_arn: str) -> Record:
    """The certificate an earlier run has made; ToolError when it is not what it was."""
    hint = f"python -m tools rotate {record.thing_name}"
    if record.thing_arn != thing_arn:
        raise ToolError(
            f"{folder.path} belongs to {record.thing_arn}, not to {thing_arn}",
            "AWS_PROFILE and AWS_REGION choose account and region; or give another --out",
        )
    try:
        found = iot.describe_certificate(certificateId=record.certificate_id)
    except Exception as e:
        if not is_missing(e):
            raise
        text = f"the certificate {_short(record)} of {record.thing_name} is no longer in AWS"
        raise ToolError(text, hint) from e
    status = found["certificateDescription"]["status"]
    if status != "ACTIVE" and (record.complete or status != "INACTIVE"):
        raise ToolError(f"the certificate {_short(record)} is {status}", hint)
    if not folder.key.exists():
        raise ToolError(f"{folder.key} is missing", hint)
    if not folder.cert.exists():
        folder.write(folder.cert, found["certificateDescription"]["certificatePem"].encode())
    return record


def _short(record: Record) -> str:
    return record.certificate_id[:10] + "…"


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


def id_of(arn: str) -> str:
    """The certificate id in its ARN."""
    return arn.rsplit("/", 1)[-1]
