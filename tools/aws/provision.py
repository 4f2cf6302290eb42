"""Makes a thing: registry entry, key on this machine, certificate, policies, and its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tools.aws import certificates
from tools.aws.clients import Clients
from tools.aws.errors import created, explained, found
from tools.aws.policy import Policies, arn_prefix
from tools.aws.undo import Undo, undoing
from tools.errors import ToolError
from tools.things import boards, values
from tools.things.config import checked
from tools.things.fleet import Spec
from tools.things.folder import Folder, Record, check_name

_DATA = Path(__file__).with_name("data")
ROOTS = (_DATA / "AmazonRootCA1.pem", _DATA / "AmazonRootCA3.pem")


@dataclass(frozen=True)
class Place:
    """Where devices connect, and the authority of the server there (PEM)."""

    endpoint: str
    port: int
    ca_pem: bytes


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
    updates: bool = False,
    place: Place | None = None,
    policies: Policies | None = None,
) -> Provisioned:
    """Make ``thing`` and write ``out_dir``, or complete what an earlier run has begun.

    Running it again changes nothing. ToolError on any failure, and then nothing is left behind, or
    the error says what is; ToolError too when what is there differs from what is asked for.
    """
    given = {**(settings or {}), **({"wifi": list(wifi)} if wifi else {})}
    spec = Spec(check_name(thing), thing_type, board, attributes or {}, given, updates)
    folder, shared = Folder(out_dir), policies or Policies(clients.iot)
    try:
        with explained():
            return ensure(clients.iot, spec, folder, place or place_of(clients), shared)
    except OSError as e:
        raise ToolError(f"cannot write {e.filename or out_dir}: {e.strerror}") from e


def place_of(clients: Clients) -> Place:
    """The account's own endpoint with Amazon's roots, or the local cloud's."""
    if clients.cloud is not None:
        cloud = clients.cloud
        return Place(cloud.endpoint, cloud.mqtt_port, cloud.ca_file.read_bytes())
    with explained():
        address = clients.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    # An emulator adds the port of its own HTTP side.
    return Place(address.split(":")[0], 8883, b"".join(p.read_bytes() for p in ROOTS))


def ensure(iot: Any, spec: Spec, folder: Folder, place: Place, policies: Policies) -> Provisioned:
    """provision() with everything given; raises botocore's errors and OSError as they are."""
    spec.check()
    config = _config(spec, folder, place)
    before = folder.record()
    late = policies.update and _lacks_updates(spec, folder, before, config)
    config["updates"] = config["updates"] or late
    with undoing() as undo:
        arn = _thing(iot, spec, before, undo)
        names = policies.ensure(arn_prefix(arn), config, undo)
        kind = boards.get(spec.board).key
        made = certificates.ensure(iot, folder, (spec.thing, arn), kind, names, undo)
        _write_rest(folder, spec, place, undo)
        if late:  # the policy is attached now: before, AWS would end the board's sessions
            _write_config(folder, {**(folder.read_config() or {}), "updates": True})
        whole = replace(made, policies=names, endpoint=config["endpoint"], board=spec.board)
        done = folder.finish(whole)
    fresh = before is None or not before.complete
    notes = _notes(config, folder, place)
    if late:
        notes += (f"{folder.config}: updates is true now; it comes onto the board by make deploy",)
    return Provisioned(folder, done, place, fresh, notes)


def _config(spec: Spec, folder: Folder, place: Place) -> dict[str, Any]:
    """The board's checked configuration: the one in the folder, or the one to be written there."""
    raw = folder.read_config()
    if raw is None:
        made = checked(_raw_config(spec, place), f"configuration of {spec.thing}")
        return _with_updates(made, spec)
    there = _with_updates(checked(raw, str(folder.config)), spec)
    if there["thing_name"] != spec.thing:
        raise ToolError(
            f"{folder.config} is for another thing", "give another --out, or mend thing_name"
        )
    return there


def _with_updates(config: dict[str, Any], spec: Spec) -> dict[str, Any]:
    wrong = values.updates(config["updates"], config["power"], boards.get(spec.board).chip)
    if wrong:
        raise ToolError(f"{spec.thing}: updates: {wrong}", "updates=false")
    return config


def _notes(config: Mapping[str, Any], folder: Folder, place: Place) -> tuple[str, ...]:
    announced = {"endpoint": place.endpoint, "port": place.port}
    return tuple(
        f"{folder.config}: {key} is {config[key]}, AWS says {value}"
        for key, value in announced.items()
        if config[key] != value
    )


def _raw_config(spec: Spec, place: Place) -> dict[str, Any]:
    board = boards.get(spec.board)
    raw: dict[str, Any] = {"thing_name": spec.thing, "endpoint": place.endpoint}
    if place.port != 8883:
        raw["port"] = place.port
    if spec.board != "esp32":
        raw["i2c"] = board.i2c
    if spec.updates and _can_update(board, spec.settings):
        raw["updates"] = True
    return {**raw, **spec.settings}


def _can_update(board: boards.Board, config: Mapping[str, Any]) -> bool:
    return values.updates(True, config.get("power"), board.chip) is None


def _lacks_updates(
    spec: Spec, folder: Folder, before: Record | None, config: Mapping[str, Any]
) -> bool:
    """Whether config.json says nothing of updates, where they are wanted and can be."""
    raw = folder.read_config()
    if raw is None or "updates" in raw or not spec.updates:
        return False
    # The board it was made for; that of the command line may be only the default.
    kind = before.board if before and before.complete else spec.board
    return all(_can_update(boards.get(name), config) for name in (kind, spec.board))


def _thing(iot: Any, spec: Spec, before: Record | None, undo: Undo) -> str:
    """The ARN of the thing in the registry, made if it is not there yet."""
    there = found(iot.describe_thing, thingName=spec.thing)
    if there is None:
        return _new_thing(iot, spec, undo)
    if spec.thing_type and there.get("thingTypeName") != spec.thing_type:
        raise ToolError(f"the thing {spec.thing} has the type {there.get('thingTypeName')}")
    differs = sorted(
        k for k, v in spec.attributes.items() if there.get("attributes", {}).get(k) != v
    )
    if differs:
        raise ToolError(f"the thing {spec.thing} has other attributes: {', '.join(differs)}")
    if before is None and certificates.of_thing(iot, spec.thing):
        raise ToolError(
            f"the thing {spec.thing} has a certificate already, whose key is not on this machine",
            f"copy its folder here, or deprovision {spec.thing} first",
        )
    return str(there["thingArn"])


def _new_thing(iot: Any, spec: Spec, undo: Undo) -> str:
    details: dict[str, Any] = {}
    if spec.thing_type:
        created(iot.create_thing_type, thingTypeName=spec.thing_type)
        details["thingTypeName"] = spec.thing_type
    if spec.attributes:
        details["attributePayload"] = {"attributes": dict(spec.attributes)}
    made = iot.create_thing(thingName=spec.thing, **details)
    undo.call(f"thing {spec.thing}", iot.delete_thing, thingName=spec.thing)
    return str(made["thingArn"])


def _write_rest(folder: Folder, spec: Spec, place: Place, undo: Undo) -> None:
    if not folder.ca.exists():
        undo.path(folder.ca)
        folder.write(folder.ca, place.ca_pem)
    if not folder.config.exists():
        undo.path(folder.config)
        _write_config(folder, _raw_config(spec, place))


def _write_config(folder: Folder, raw: Mapping[str, Any]) -> None:
    text = json.dumps(raw, ensure_ascii=False, indent=2) + "\n"
    folder.write(folder.config, text.encode(), 0o600)  # holds the Wi-Fi password
