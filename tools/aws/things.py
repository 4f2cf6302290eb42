"""The table of things: certificate, age, and when each was last heard of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tools import wire
from tools.aws import certificates, shadow
from tools.aws.clients import Clients
from tools.aws.errors import explained, is_missing

_PARALLEL = 8


@dataclass(frozen=True)
class Row:
    """One thing; times are aware, None where there is no such thing."""

    thing: str
    certificates: tuple[tuple[str, str], ...]  # (id, status)
    since: dt.datetime | None  # the newest certificate's birth
    last_seen: dt.datetime | None  # the newest change of `reported` in the shadow


def table(clients: Clients, wanted: list[str]) -> list[Row]:
    """The rows of ``wanted``, or of every thing in the account, sorted by name."""
    with explained():
        for name in wanted:
            shadow.check_thing(clients.iot, name)
        names = wanted or sorted(_names(clients.iot))
        _ = clients.data  # made here: boto3 clients are not to be made in several threads
        with ThreadPoolExecutor(_PARALLEL) as pool:
            return list(pool.map(lambda name: _row(clients, name), names))


def _names(iot: Any) -> Iterator[str]:
    for page in iot.get_paginator("list_things").paginate():
        for thing in page["things"]:
            yield str(thing["thingName"])


def _row(clients: Clients, thing: str) -> Row:
    born: list[dt.datetime] = []
    found: list[tuple[str, str]] = []
    for arn in certificates.of_thing(clients.iot, thing):
        number = certificates.id_of(arn)
        try:
            answer = clients.iot.describe_certificate(certificateId=number)
        except Exception as e:
            if not is_missing(e):
                raise
            continue
        described = answer["certificateDescription"]
        found.append((number, str(described["status"])))
        born.append(described["creationDate"])
    document = shadow.get(clients.data, thing) or {}
    told = document.get("metadata", {}).get("reported")
    return Row(thing, tuple(found), max(born, default=None), _time(shadow.newest(told)))


def _time(unix_s: int) -> dt.datetime | None:
    known = wire.number(unix_s, 1, wire.LAST_TIME)
    return dt.datetime.fromtimestamp(unix_s, dt.timezone.utc) if known else None


def age(then: dt.datetime | None, now: dt.datetime) -> str:
    """How long ago, in the largest unit that fits: "3 d", "12 min"; "never" for None."""
    if then is None:
        return "never"
    seconds = max(0, int((now - then).total_seconds()))
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{seconds // unit_s} {unit}"
    return f"{seconds} s"
