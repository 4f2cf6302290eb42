"""Ends a thing: switches its certificate off, or removes all that provisioning has made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.aws import certificates, shadow
from tools.aws.clients import Clients
from tools.aws.errors import explained, is_missing
from tools.aws.folder import Folder, check_name
from tools.aws.policies import remove_unused
from tools.errors import ToolError

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
        found = look(clients, thing, Folder(folder))
        if not found.certificates:
            raise ToolError(f"{thing} has no certificate of ours", "python -m tools things")
        for arn in found.certificates:
            clients.iot.update_certificate(
                certificateId=certificates.id_of(arn), newStatus="REVOKED"
            )
    return [certificates.id_of(arn) for arn in found.certificates]


def look(clients: Clients, thing: str, folder: Folder) -> Holdings:
    """What `deprovision` would remove; raises botocore's errors as they are."""
    iot = clients.iot
    check_name(thing)
    attached: list[str] = []
    in_registry = True
    try:
        attached = certificates.principals_of(iot, thing)
        iot.describe_thing(thingName=thing)
    except Exception as e:
        if not is_missing(e):
            raise
        in_registry = False
    recorded = [r.certificate_arn for r in _records(folder) if r.thing_name == thing]
    policies = {arn: _policies(iot, arn) for arn in {*attached, *recorded} if ":cert/" in arn}
    own = [a for a in policies if a in recorded or any(n.startswith(_OURS) for n in policies[a])]
    named = {n for a in own for n in policies[a] if n.startswith(_OURS)}
    named |= {n for r in _records(folder) for n in r.policies}
    there = tuple(sorted(a for a in own if _exists(iot, a)))
    foreign = tuple(a for a in attached if a not in own)
    return Holdings(thing, in_registry, there, foreign, tuple(sorted(named)), folder)


def _records(folder: Folder) -> Iterator[Any]:
    # A rotation that has not ended keeps the other certificate in a folder of its own.
    for path in (folder.path, folder.path / "next", folder.path / "old"):
        record = Folder(path).record()
        if record is not None:
            yield record


def _policies(iot: Any, arn: str) -> list[str]:
    try:
        return certificates.policies_of(iot, arn)
    except Exception as e:
        if not is_missing(e):
            raise
        return []


def _exists(iot: Any, arn: str) -> bool:
    try:
        iot.describe_certificate(certificateId=certificates.id_of(arn))
    except Exception as e:
        if not is_missing(e):
            raise
        return False
    return True


def deprovision(clients: Clients, holdings: Holdings) -> list[str]:
    """Remove certificates, shadow, thing, unused policies and the local files; what is gone.

    May be run again after a failure. What others have made stays: a certificate that is not ours
    keeps the thing, a policy in use stays, and so do files of the user's.
    """
    iot, thing, gone = clients.iot, holdings.thing, []
    with explained():
        for arn in holdings.certificates:
            with _missing_is_fine():
                certificates.discard(iot, certificates.id_of(arn), arn)
            gone.append(f"certificate {certificates.id_of(arn)[:10]}…")
        if holdings.in_registry and not holdings.foreign:
            if shadow.delete(clients.data, thing):
                gone.append("shadow")
            iot.delete_thing(thingName=thing)
            gone.append(f"thing {thing}")
        for name in holdings.policies:
            if remove_unused(iot, name):
                gone.append(f"policy {name}")
    gone += _remove_files(holdings.folder)
    if holdings.foreign:
        raise ToolError(
            f"the thing {thing} stays: {len(holdings.foreign)} certificate(s) of it were not "
            f"made here (removed: {', '.join(gone) or 'nothing'})",
            "detach them in the AWS console, then run it again",
        )
    return gone


@contextlib.contextmanager
def _missing_is_fine() -> Iterator[None]:
    try:
        yield
    except Exception as e:
        if not is_missing(e):
            raise


def _remove_files(folder: Folder) -> list[str]:
    """Remove what provisioning has written, and folders that are empty then."""
    made = []
    for path in (folder.path / "next", folder.path / "old", folder.path):
        part = Folder(path)
        files = (part.ca, part.cert, part.key, part.config, part.record_file)
        found = [file for file in files if file.exists()]
        for file in found:
            file.unlink()
        for empty in (part.certs, part.path):
            with contextlib.suppress(OSError):
                empty.rmdir()
        made += [str(path)] if found else []
    return [f"folder {made[-1]}"] if made else []
