"""Certificates that first boots by claim have left behind: nobody has their key in use."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from cryptography import x509

from tools.aws import certificates, csr
from tools.aws.errors import explained
from tools.aws.rules.target import Home
from tools.errors import ToolError
from tools.things import bulk
from tools.updates import claim

_TOKEN_LIFE = dt.timedelta(hours=1)  # so long a board may still register with what it was given


@dataclass(frozen=True)
class Orphan:
    """A certificate that no board came back with.

    ``thing``: it belongs to it, and a newer one for the same key does as well, which counts: the
    answer to RegisterThing was lost, and the board has registered once more.
    """

    number: str
    arn: str
    status: str
    created: dt.datetime
    thing: str = ""


def listed(home: Home) -> tuple[list[dict[str, Any]], set[str]]:
    """The rows of all certificates, and the template's policies; ToolError without a template."""
    with explained():
        there = claim.template(home)
        if there is None:
            hint = "python -m tools claim template"
            raise ToolError(f"there is no template {home.name}", hint)
        pages = home.clients.iot.get_paginator("list_certificates").paginate()
        rows = [row for page in pages for row in page["certificates"]]
    return rows, set(_policies_in(json.loads(there["templateBody"])))


def find(
    home: Home, rows: list[dict[str, Any]], names: set[str], now: dt.datetime
) -> Generator[Orphan | None, None, None]:
    """An orphan or None for each of ``rows``, as it is looked at.

    An orphan is older than an hour, and PENDING_ACTIVATION; or ACTIVE, without a thing, and with
    the policies ``names``; or ACTIVE beside a newer one for the same key and thing: what a power
    cut has left between two answers of AWS.
    """
    iot = home.clients.iot

    def look(row: dict[str, Any]) -> Orphan | None:
        number, arn = row["certificateId"], row["certificateArn"]
        orphan = Orphan(number, arn, row["status"], row["creationDate"])
        old = orphan.created <= now - _TOKEN_LIFE
        with explained():
            things = certificates.things_of(iot, arn) if old else []
            if things:
                twin = replace(orphan, thing=things[0])
                return twin if _superseded(iot, twin) else None
            return orphan if old and _alone(iot, orphan, names) else None

    yield from bulk.each(rows, look)


def discard(home: Home, orphan: Orphan) -> bool:
    """Delete it; False when it has come to belong to a thing meanwhile, or to be its only one."""
    iot = home.clients.iot
    with explained():
        if orphan.thing:
            needed = not _superseded(iot, orphan)
        else:
            needed = bool(certificates.things_of(iot, orphan.arn))
        if not needed:
            certificates.discard(iot, orphan.number, orphan.arn)
    return not needed


def _superseded(iot: Any, orphan: Orphan) -> bool:
    principals = certificates.principals_of(iot, orphan.thing)
    others = [arn for arn in principals if ":cert/" in arn and arn != orphan.arn]
    if orphan.status != "ACTIVE" or not others:
        return False
    own = _key(_described(iot, orphan.number))
    for told in (_described(iot, certificates.id_of(arn)) for arn in others):
        newer = told["creationDate"] > orphan.created
        if newer and told["status"] == "ACTIVE" and _key(told) == own:
            return True
    return False


def _described(iot: Any, number: str) -> dict[str, Any]:
    return dict(iot.describe_certificate(certificateId=number)["certificateDescription"])


def _key(told: dict[str, Any]) -> bytes:
    return csr.public(x509.load_pem_x509_certificate(told["certificatePem"].encode()))


def _alone(iot: Any, orphan: Orphan, names: set[str]) -> bool:
    if orphan.status not in ("PENDING_ACTIVATION", "ACTIVE"):
        return False
    # By an authority of the user's own: just-in-time registration has certificates pending, too.
    if _described(iot, orphan.number).get("caCertificateId"):
        return False
    waits = orphan.status == "PENDING_ACTIVATION"
    return waits or names <= set(certificates.policies_of(iot, orphan.arn))


def _policies_in(template: dict[str, Any]) -> list[str]:
    resources = template.get("Resources", {}).values()
    of_kind = [r["Properties"] for r in resources if r.get("Type") == "AWS::IoT::Policy"]
    return [str(properties.get("PolicyName")) for properties in of_kind]
