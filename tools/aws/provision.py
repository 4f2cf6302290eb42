"""Makes a thing: registry entry, key on this machine, certificate, policies, and its folder.

The certificate is made INACTIVE and switched on when everything is attached, so there is no moment
at which an active certificate belongs to nothing, not even if the power goes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tools.aws import certificates
from tools.aws.clients import Clients
from tools.aws.errors import code_of, explained, is_missing
from tools.aws.folder import Folder, Record, check_name
from tools.aws.policies import Policies
from tools.aws.policy import arn_prefix
from tools.aws.undo import Undo
from tools.board import boards
from tools.errors import ToolError
from tools.things.config import checked

_DATA = Path(__file__).with_name("data")
ROOTS = (_DATA / "AmazonRootCA1.pem", _DATA / "AmazonRootCA3.pem")


@dataclass(frozen=True)
class Place:
    """Where devices connect, and the authority of the server there (PEM)."""

    endpoint: str
    port: int
    ca_pem: bytes


@dataclass(frozen=True)
class Order:
    """What to make. ``settings`` is the board's config.json but for thing name and endpoint."""

    thing: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    board: str = "esp32"
    thing_type: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Provisioned:
    """What there is now.

    ``fresh`` is false when everything was there already; ``notes`` are differences that may be
    meant, such as an endpoint that was edited to a domain of one's own.
    """

    folder: Folder
    record: Record
    place: Place
    fresh: bool
    notes: tuple[str, ...] = ()


def provision(
    clients: Clients,
    thing: str,
    out_dir: Path,
    *,
    wifi: Sequence[Mapping[str, str]] = (),
    settings: Mapping[str, Any] | None = None,
    board: str = "esp32",
    thing_type: str = "",
    attributes: Mapping[str, str] | None = None,
    place: Place | None = None,
    policies: Policies | None = None,
) -> Provisioned:
    """Make ``thing`` and write ``out_dir``, or complete what an earlier run has begun.

    Running it again changes nothing. ToolError on any failure, and then nothing is left behind, or
    the error says what is; ToolError too when what is there differs from what is asked for.
    """
    given = {**(settings or {}), **({"wifi": list(wifi)} if wifi else {})}
    order = Order(thing, given, board, thing_type, attributes or {})
    return carry_out(clients, order, out_dir, place, policies)


def carry_out(
    clients: Clients,
    order: Order,
    out_dir: Path,
    place: Place | None = None,
    policies: Policies | None = None,
) -> Provisioned:
    """provision() for an Order."""
    check_name(order.thing)
    folder, shared = Folder(out_dir), policies or Policies(clients.iot)
    try:
        with explained():
            return fulfil(clients.iot, order, folder, place or place_of(clients), shared)
    except OSError as e:
        raise ToolError(f"cannot write {e.filename or out_dir}: {e.strerror}") from e


def place_of(clients: Clients) -> Place:
    """The account's own endpoint with Amazon's roots, or the local cloud's."""
    if clients.cloud is not None:
        cloud = clients.cloud
        return Place(cloud.endpoint, cloud.mqtt_port, cloud.ca_file.read_bytes())
    with explained():
        found = clients.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    # An emulator adds the port of its own HTTP side.
    return Place(found.split(":")[0], 8883, b"".join(p.read_bytes() for p in ROOTS))


def fulfil(
    iot: Any, order: Order, folder: Folder, place: Place, policies: Policies
) -> Provisioned:
    """carry_out() with everything given; raises botocore's errors as they are."""
    config = _config(order, folder, place)
    before = folder.record()
    with Undo() as undo:
        thing_arn = _thing(iot, order, before, undo)
        names = policies.ensure(arn_prefix(thing_arn), config, undo)
        _make_folder(folder, undo)
        if before is None:
            kind = boards.get(order.board).key
            made = certificates.create(iot, folder, order.thing, thing_arn, kind, undo)
        else:
            made = certificates.find(iot, folder, before, thing_arn)
        for name in names:
            iot.attach_policy(policyName=name, target=made.certificate_arn)
        iot.attach_thing_principal(thingName=order.thing, principal=made.certificate_arn)
        iot.update_certificate(certificateId=made.certificate_id, newStatus="ACTIVE")
        _write_rest(folder, order, place, undo)
        whole = replace(made, policies=names, endpoint=config["endpoint"], board=order.board)
        done = folder.finish(whole)
        undo.keep()
    fresh = before is None or not before.complete
    return Provisioned(folder, done, place, fresh, _notes(config, folder, place))


def _config(order: Order, folder: Folder, place: Place) -> dict[str, Any]:
    """The board's checked configuration: the one in the folder, or the one to be written there."""
    found = folder.read_config()
    if found is None:
        return checked(_raw_config(order, place), f"configuration of {order.thing}")
    there = checked(found, str(folder.config))
    if there["thing_name"] != order.thing:
        raise ToolError(
            f"{folder.config} is for another thing", "give another --out, or mend thing_name"
        )
    return there


def _notes(config: Mapping[str, Any], folder: Folder, place: Place) -> tuple[str, ...]:
    told = {"endpoint": place.endpoint, "port": place.port}
    return tuple(
        f"{folder.config}: {key} is {config[key]}, AWS says {value}"
        for key, value in told.items()
        if config[key] != value
    )


def _raw_config(order: Order, place: Place) -> dict[str, Any]:
    board = boards.get(order.board)
    raw: dict[str, Any] = {"thing_name": order.thing, "endpoint": place.endpoint}
    if place.port != 8883:
        raw["port"] = place.port
    if order.board != "esp32":
        raw["i2c"] = board.i2c
    return {**raw, **order.settings}


def _thing(iot: Any, order: Order, before: Record | None, undo: Undo) -> str:
    """The ARN of the thing in the registry, made if it is not there yet."""
    try:
        found = iot.describe_thing(thingName=order.thing)
    except Exception as e:
        if not is_missing(e):
            raise
        return _new_thing(iot, order, undo)
    wanted = dict(order.attributes)
    if order.thing_type and found.get("thingTypeName") != order.thing_type:
        raise ToolError(f"the thing {order.thing} has the type {found.get('thingTypeName')}")
    differs = sorted(k for k, v in wanted.items() if found.get("attributes", {}).get(k) != v)
    if differs:
        raise ToolError(f"the thing {order.thing} has other attributes: {', '.join(differs)}")
    if before is None and certificates.of_thing(iot, order.thing):
        raise ToolError(
            f"the thing {order.thing} has a certificate already, whose key is not on this machine",
            f"copy its folder here, or deprovision {order.thing} first",
        )
    return str(found["thingArn"])


def _new_thing(iot: Any, order: Order, undo: Undo) -> str:
    details: dict[str, Any] = {}
    if order.thing_type:
        try:
            iot.create_thing_type(thingTypeName=order.thing_type)
        except Exception as e:
            if code_of(e) != "ResourceAlreadyExistsException":
                raise
        details["thingTypeName"] = order.thing_type
    if order.attributes:
        details["attributePayload"] = {"attributes": dict(order.attributes)}
    made = iot.create_thing(thingName=order.thing, **details)
    undo.call(f"thing {order.thing}", iot.delete_thing, thingName=order.thing)
    return str(made["thingArn"])


def _make_folder(folder: Folder, undo: Undo) -> None:
    for path in (folder.path, folder.certs):
        if not path.exists():
            undo.path(path)
    folder.make()


def _write_rest(folder: Folder, order: Order, place: Place, undo: Undo) -> None:
    if not folder.ca.exists():
        undo.path(folder.ca)
        folder.write(folder.ca, place.ca_pem)
    if not folder.config.exists():
        undo.path(folder.config)
        raw = _raw_config(order, place)
        text = json.dumps(raw, ensure_ascii=False, indent=2) + "\n"
        folder.write(folder.config, text.encode(), 0o600)  # holds the Wi-Fi password
