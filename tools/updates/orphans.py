"""Certificates that first boots by claim have left behind: nobody has their key in use."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from tools.aws import certificates
from tools.aws.errors import explained
from tools.aws.rules.target import Home
from tools.errors import ToolError
from tools.things import bulk
from tools.updates import claim

_TOKEN_LIFE = dt.timedelta(hours=1)  # so long a board may still register with what it was given


@dataclass(frozen=True)
class Orphan:
    """A certificate that no board came back with."""

    number: str
    arn: str
    status: str
    created: dt.datetime


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
    the policies ``names``: what a power cut has left between two answers of AWS.
    """
    iot = home.clients.iot

    def look(row: dict[str, Any]) -> Orphan | None:
        number, arn = row["certificateId"], row["certificateArn"]
        orphan = Orphan(number, arn, row["status"], row["creationDate"])
        old = orphan.created <= now - _TOKEN_LIFE
        with explained():
            return orphan if old and _alone(iot, orphan, names) else None

    yield from bulk.each(rows, look)


def discard(home: Home, orphan: Orphan) -> bool:
    """Delete it; False when it has come to belong to a thing meanwhile."""
    with explained():
        if certificates.things_of(home.clients.iot, orphan.arn):
            return False
        certificates.discard(home.clients.iot, orphan.number, orphan.arn)
    return True


def _alone(iot: Any, orphan: Orphan, names: set[str]) -> bool:
    if orphan.status not in ("PENDING_ACTIVATION", "ACTIVE"):
        return False
    if certificates.things_of(iot, orphan.arn):
        return False
    # By an authority of the user's own: just-in-time registration has certificates pending, too.
    told = iot.describe_certificate(certificateId=orphan.number)["certificateDescription"]
    if told.get("caCertificateId"):
        return False
    waits = orphan.status == "PENDING_ACTIVATION"
    return waits or names <= set(certificates.policies_of(iot, orphan.arn))


def _policies_in(template: dict[str, Any]) -> list[str]:
    resources = template.get("Resources", {}).values()
    of_kind = [r["Properties"] for r in resources if r.get("Type") == "AWS::IoT::Policy"]
    return [str(properties.get("PolicyName")) for properties in of_kind]
