"""Ends a thing: switches its certificate off, or removes all that provisioning has made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.aws import certificates, shadow
from tools.aws.clients import Clients
from tools.aws.errors import explained, found
from tools.aws.policy import remove_unused
from tools.errors import ToolError
from tools.things.folder import Folder, check_name

_OURS = "fieldmouse-"  # how the names of our policies begin


@dataclass(frozen=True)
class Holdings:
    """What there is of a thing; ``foreign`` are principals that provisioning has not made."""

    thing: str
    in_registry: bool
    certificates: tuple[str, ...]
    foreign: tuple[str, ...]
    policies: tuple[str, ...]
    folder: Folder

    @property
    def nothing(self) -> bool:
        """True when there is nothing to remove."""
        return not (self.in_registry or self.certificates or self.folder.record_file.exists())


def revoke(clients: Clients, thing: str, folder: Path) -> list[str]:
    """Set the thing's certificates to REVOKED, so that it cannot connect; their ids.

    For a lost or stolen board. Nothing is removed; `rotate` gives the thing a new certificate.
    """
    with explained():
        holdings = look(clients, thing, Folder(folder))
        if not holdings.certificates:
            raise ToolError(f"{thing} has no certificate of ours", "python -m tools things")
        for arn in holdings.certificates:
            clients.iot.update_certificate(
                certificateId=certificates.id_of(arn), newStatus="REVOKED"
            )
    return [certificates.id_of(arn) for arn in holdings.certificates]


def look(clients: Clients, thing: str, folder: Folder) -> Holdings:
    """What `deprovision` would remove; raises botocore's errors as they are."""
    iot = clients.iot
    check_name(thing)
    attached = found(certificates.principals_of, iot=iot, thing=thing) or []
    in_registry = found(iot.describe_thing, thingName=thing) is not None
    records = [record for part in _parts(folder) if (record := part.record())]
    recorded = [r.certificate_arn for r in records if r.thing_name == thing]
    policies = {
        arn: found(certificates.policies_of, iot=iot, arn=arn) or []
        for arn in {*attached, *recorded}
        if ":cert/" in arn
    }
    own = [a for a in policies if a in recorded or any(n.startswith(_OURS) for n in policies[a])]
    named = {n for a in own for n in policies[a] if n.startswith(_OURS)}
    named |= {n for r in records for n in r.policies}
    there = tuple(sorted(a for a in own if _exists(iot, a)))
    foreign = tuple(a for a in attached if a not in own)
    return Holdings(thing, in_registry, there, foreign, tuple(sorted(named)), folder)


def _parts(folder: Folder) -> list[Folder]:
    # A rotation that has not ended keeps the other certificate in a folder of its own.
    return [folder, Folder(folder.path / "next"), Folder(folder.path / "old")]


def _exists(iot: Any, arn: str) -> bool:
    return found(iot.describe_certificate, certificateId=certificates.id_of(arn)) is not None


def deprovision(clients: Clients, holdings: Holdings) -> list[str]:
    """Remove certificates, shadow, thing, unused policies and the local files; what is gone.

    May be run again after a failure. What others have made stays: a certificate that is not ours
    keeps the thing, a policy in use stays, and so do files of the user's.
    """
    iot, thing, gone = clients.iot, holdings.thing, []
    with explained():
        for arn in holdings.certificates:
            number = certificates.id_of(arn)
            found(certificates.discard, iot=iot, certificate_id=number, arn=arn)
            gone.append(f"certificate {number[:10]}…")
        if holdings.in_registry and not holdings.foreign:
            if shadow.delete(clients.data, thing):
                gone.append("shadow")
            iot.delete_thing(thingName=thing)
            gone.append(f"thing {thing}")
        for name in holdings.policies:
            if remove_unused(iot, name):
                gone.append(f"policy {name}")
    parts = reversed(_parts(holdings.folder))  # the folder itself last
    if any([certificates.remove_files(part, part.config) for part in parts]):
        gone.append(f"folder {holdings.folder.path}")
    if holdings.foreign:
        raise ToolError(
            f"the thing {thing} stays: {len(holdings.foreign)} certificate(s) of it were not "
            f"made here (removed: {', '.join(gone) or 'nothing'})",
            "detach them in the AWS console, then run it again",
        )
    return gone
