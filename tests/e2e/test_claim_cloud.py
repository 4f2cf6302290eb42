"""Claims against MiniStack: the template and its hook as AWS has them, the bench's claim used.

MiniStack makes keys itself (create/json); what boards ask (create-from-csr) is for the scripted
server, tests/e2e/claims.py.
"""

from __future__ import annotations

import datetime as dt
import json
import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser

from tests.host import pki
from tools.aws import policy
from tools.aws.clients import Clients
from tools.aws.mqtt import Connection
from tools.aws.route import route
from tools.aws.rules import apply
from tools.aws.rules.target import Home
from tools.errors import ToolError
from tools.things import boards
from tools.updates import bench, claim, orphans

CREATE = "$aws/certificates/create/json"
PROVISION = "$aws/provisioning-templates/orchard/provision/json"
CONFIG = {"endpoint": "localhost", "wifi": [{"ssid": "barn"}]}


@pytest.fixture
def home(clients: Clients) -> Iterator[Home]:
    made = apply.home_of(clients, "orchard")
    yield made
    list(claim.remove(made))


def wanted(home: Home, *serials: str) -> claim.Wanted:
    return claim.Wanted(policy.documents(home.arn("iot", "")), serials or None)


def states(home: Home, wanted: claim.Wanted, dry_run: bool = False) -> dict[str, str]:
    return {what: state for what, state, _ in apply.apply(claim.plan(home, wanted), dry_run)}


class Board:
    """What a board does with its claim, but for the key."""

    def __init__(self, clients: Clients, tree: dict[str, bytes], folder: Path) -> None:
        self.heard: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self.about = json.loads(tree["certs/claim.json"])
        folder.mkdir()
        for name in ("ca", "cert", "key"):
            (folder / f"{name}.pem").write_bytes(tree[f"certs/{name}.pem"])
        name = self.about["parameters"]["SerialNumber"]
        way = route(clients, "mqtt", certs_dir=folder)
        self.link = Connection(way, clients, name, lambda t, p: self.heard.put((t, p)), print)

    def ask(self, topic: str, document: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        for kind in ("accepted", "rejected"):
            self.link.subscribe(f"{topic}/{kind}")
        self.link.publish(topic, json.dumps(document).encode())
        where, payload = self.heard.get(timeout=15)
        return where.rsplit("/", 1)[1], json.loads(payload)

    def register(self, **parameters: str) -> tuple[str, dict[str, Any]]:
        with self.link:
            kind, made = self.ask(CREATE, {})
            assert kind == "accepted"
            token = made["certificateOwnershipToken"]
            parameters = parameters or self.about["parameters"]
            given = {"certificateOwnershipToken": token, "parameters": parameters}
            return self.ask(PROVISION, given)


def claimed(home: Home, cloud: Any, thing: str, folder: Path) -> Board:
    claims = bench.Claims(home.clients.iot, "orchard", CONFIG, cloud.info.ca_file.read_bytes())
    return Board(home.clients, claims.tree(thing, boards.get("esp32")), folder)


def test_a_board_registers_with_the_claim_of_the_bench(
    home: Home, cloud: Any, tmp_path: Path
) -> None:
    first = states(home, wanted(home))
    assert first["provisioning template orchard"] == "missing"
    assert set(states(home, wanted(home)).values()) == {"there"}
    kind, answer = claimed(home, cloud, "pear-1", tmp_path / "a").register()
    assert (kind, answer["thingName"]) == ("accepted", "pear-1")
    iot = home.clients.iot
    (arn,) = iot.list_thing_principals(thingName="pear-1")["principals"]
    told = iot.describe_certificate(certificateId=arn.rsplit("/", 1)[1])["certificateDescription"]
    assert told["status"] == "ACTIVE"
    names = {p["policyName"] for p in iot.list_attached_policies(target=arn)["policies"]}
    assert names == set(wanted(home).policies)


def test_the_hook_lets_in_what_is_on_its_list(home: Home, cloud: Any, tmp_path: Path) -> None:
    made = states(home, wanted(home, "pear-2", "pear-3"))
    assert made["function orchard-claim-hook"] == "missing"
    assert set(states(home, wanted(home, "pear-3", "pear-2")).values()) == {"there"}
    assert claimed(home, cloud, "pear-2", tmp_path / "a").register()[0] == "accepted"
    kind, answer = claimed(home, cloud, "pear-4", tmp_path / "b").register()
    assert (kind, answer["errorCode"]) == ("rejected", "AccessDenied")
    # A claim says nothing about whose it is: the list does.
    kind, _ = claimed(home, cloud, "pear-5", tmp_path / "c").register(SerialNumber="pear-3")
    assert kind == "accepted"
    # Another list; and without one the hook stays.
    after = states(home, wanted(home, "pear-4"))
    assert [what for what, state in after.items() if state != "there"] == [
        "function orchard-claim-hook"
    ]
    assert claimed(home, cloud, "pear-4", tmp_path / "d").register()[0] == "accepted"
    assert set(states(home, wanted(home)).values()) == {"there"}
    assert claimed(home, cloud, "pear-6", tmp_path / "e").register()[0] == "rejected"


def test_the_role_has_what_registering_takes_and_no_more(
    home: Home, cloud: Any, tmp_path: Path
) -> None:
    states(home, wanted(home))
    home.clients.client("iam").put_role_policy(
        RoleName=f"orchard-claim-{home.region}",
        PolicyName="orchard",
        PolicyDocument=policy.document(claim.rights(home, [])[:1]),
    )
    kind, answer = claimed(home, cloud, "pear-7", tmp_path / "a").register()
    assert (kind, answer["errorCode"]) == ("rejected", "AccessDenied")
    assert "differs" in states(home, wanted(home)).values()
    assert claimed(home, cloud, "pear-7", tmp_path / "b").register()[0] == "accepted"


def test_removed(home: Home) -> None:
    states(home, wanted(home, "pear-8"))
    dry = list(claim.remove(home, dry_run=True))
    said = list(claim.remove(home))
    assert dry == [line.replace(": removed", ": would be removed") for line in said]
    assert len(said) == 4 and all(line.endswith(": removed") for line in said)
    assert list(claim.remove(home)) == []


def test_a_template_of_somebody_elses_is_left_alone(home: Home) -> None:
    states(home, wanted(home))
    iot = home.clients.iot
    iot.update_provisioning_template(templateName="orchard", description="mine")
    for call in (lambda: claim.plan(home, wanted(home)), lambda: list(claim.remove(home))):
        with pytest.raises(ToolError, match="was not made here"):
            call()
    iot.update_provisioning_template(templateName="orchard", description=claim.OURS)


def test_orphans_are_what_no_board_came_back_with(home: Home, cloud: Any, tmp_path: Path) -> None:
    states(home, wanted(home))
    iot = home.clients.iot
    claimed(home, cloud, "pear-9", tmp_path / "a").register()
    board = claimed(home, cloud, "pear-10", tmp_path / "b")
    with board.link:
        pending = board.ask(CREATE, {})[1]["certificateId"]
    # AWS has registered it, and the board has not heard that, before it lost its thing.
    board = claimed(home, cloud, "pear-11", tmp_path / "c")
    board.register()
    (arn,) = iot.list_thing_principals(thingName="pear-11")["principals"]
    iot.detach_thing_principal(thingName="pear-11", principal=arn)
    # Active, without a thing, but not of this template.
    other = iot.create_keys_and_certificate(setAsActive=True)["certificateArn"]

    def found(now: dt.datetime) -> dict[str, orphans.Orphan]:
        look = orphans.find(home, *orphans.listed(home), now)
        return {one.number: one for one in look if one}

    now = dt.datetime.now(dt.timezone.utc)
    assert found(now) == {}
    there = found(now + dt.timedelta(hours=1, minutes=1))
    assert {pending, arn.rsplit("/", 1)[1]} <= there.keys()
    kept = iot.list_thing_principals(thingName="pear-9")["principals"]
    assert not {a.rsplit("/", 1)[1] for a in (*kept, other)} & there.keys()
    iot.attach_thing_principal(thingName="pear-11", principal=arn)
    assert not orphans.discard(home, there[arn.rsplit("/", 1)[1]])  # it has come back
    assert orphans.discard(home, there[pending])
    assert pending not in found(now + dt.timedelta(hours=2))


def test_of_two_with_the_key_of_one_board_the_older_is_an_orphan(home: Home) -> None:
    # The answer to RegisterThing was lost: the board has registered once more.
    states(home, wanted(home))
    iot = home.clients.iot
    iot.create_thing(thingName="pear-12")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pear-12")])
    arns = []
    for key in (pki.key(), pki.key(), pki.key(number=1)):
        asked = x509.CertificateSigningRequestBuilder().subject_name(name)
        text = asked.sign(key, hashes.SHA256()).public_bytes(ser.Encoding.PEM).decode()
        made = iot.create_certificate_from_csr(certificateSigningRequest=text, setAsActive=True)
        arns.append(made["certificateArn"])
        iot.attach_thing_principal(thingName="pear-12", principal=arns[-1])
        time.sleep(1.1)  # AWS's dates are of a second
    now = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1, minutes=1)

    def found() -> list[orphans.Orphan]:
        look = orphans.find(home, *orphans.listed(home), now)
        return [one for one in look if one and one.arn in arns]

    (twin,) = found()
    assert (twin.arn, twin.thing) == (arns[0], "pear-12")
    iot.update_certificate(certificateId=arns[1].rsplit("/", 1)[1], newStatus="INACTIVE")
    assert found() == [] and not orphans.discard(home, twin)
    iot.update_certificate(certificateId=arns[1].rsplit("/", 1)[1], newStatus="ACTIVE")
    assert orphans.discard(home, twin)
    left = iot.list_thing_principals(thingName="pear-12")["principals"]
    assert sorted(left) == sorted(arns[1:]) and found() == []
