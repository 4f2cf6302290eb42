"""File streams of the local AWS, and what is added to MiniStack's jobs and provisioning."""

from __future__ import annotations

import base64
import json
import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tools.aws.clients import Clients
from tools.aws.mqtt import Connection
from tools.aws.provision import place_of
from tools.aws.route import Identity, Route
from tools.sim import streams
from tools.sim.cloud import LocalCloud

ROLE = "arn:aws:iam::000000000000:role/streams"
FILE = bytes(n * 7 % 251 for n in range(70_000))
BASE = "$aws/things/barn/streams/s-1/"
THING = "arn:aws:iot:us-east-1:000000000000:thing/barn"
TEMPLATE = {
    "Parameters": {
        "SerialNumber": {"Type": "String"},
        "AWS::IoT::Certificate::Id": {"Type": "String"},
    },
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": {"Ref": "SerialNumber"}},
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {
                "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"},
                "Status": "Active",
            },
        },
    },
}


class Board:
    """A connected client, and what comes, subscribed to or not."""

    def __init__(self, clients: Clients, made: dict[str, Any], name: str) -> None:
        place = place_of(clients)
        key = made["keyPair"]["PrivateKey"].encode()
        own = Identity(made["certificatePem"].encode(), key, place.ca_pem)
        way = Route("mqtt", place.endpoint, place.port, place.ca_pem, own)
        self.link = Connection(way, clients, name)
        self.came: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self.link._mqtt.on_message(self._take)

    def _take(self, topic: str, payload: bytes, **_: Any) -> None:
        self.came.put((topic, json.loads(payload)))

    def ask(self, topic: str, content: Any) -> tuple[str, dict[str, Any]]:
        self.link.publish(topic, json.dumps(content).encode())
        return self.came.get(timeout=10)


def statement(resource: str) -> str:
    allowed = {"Effect": "Allow", "Action": "iot:*", "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    with LocalCloud() as cloud:
        made = cloud.clients
        made.iot.create_policy(policyName="all", policyDocument=statement("*"))
        made.iot.create_thing(thingName="barn")
        s3 = made.client("s3")
        s3.create_bucket(Bucket="releases")
        s3.put_object(Bucket="releases", Key="one", Body=FILE)
        yield made


@pytest.fixture(scope="module")
def certificate(clients: Clients) -> dict[str, Any]:
    made = clients.iot.create_keys_and_certificate(setAsActive=True)
    clients.iot.attach_policy(policyName="all", target=made["certificateArn"])
    clients.iot.attach_thing_principal(thingName="barn", principal=made["certificateArn"])
    return dict(made)


@pytest.fixture
def barn(clients: Clients, certificate: dict[str, Any]) -> Iterator[Board]:
    board = Board(clients, certificate, "barn")
    with board.link:
        yield board


@pytest.fixture
def create(clients: Clients) -> Iterator[Callable[..., dict[str, Any]]]:
    made = []

    def stream(stream_id: str = "s-1", key: str = "one", **more: Any) -> dict[str, Any]:
        files = [{"fileId": 0, "s3Location": {"bucket": "releases", "key": key}}]
        asked = {"streamId": stream_id, "files": files, "roleArn": ROLE, **more}
        found = clients.iot.create_stream(**asked)
        made.append(stream_id)
        return dict(found)

    yield stream
    for stream_id in made:
        clients.iot.delete_stream(streamId=stream_id)


def test_the_calls_about_streams(clients: Clients, create: Callable[..., dict[str, Any]]) -> None:
    iot = clients.iot
    assert iot.list_streams()["streams"] == []
    made = create(description="a release")
    assert (made["streamId"], made["streamVersion"]) == ("s-1", 1)
    assert made["streamArn"] == "arn:aws:iot:us-east-1:000000000000:stream/s-1"
    found = iot.describe_stream(streamId="s-1")["streamInfo"]
    assert (found["description"], found["roleArn"]) == ("a release", ROLE)
    assert found["files"][0]["s3Location"] == {"bucket": "releases", "key": "one"}
    assert abs((found["lastUpdatedAt"] - found["createdAt"]).total_seconds()) < 1
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException):
        create()
    assert iot.update_stream(streamId="s-1", description="x")["streamVersion"] == 2
    create("s-2")
    pages = iot.get_paginator("list_streams").paginate()
    assert [s["streamId"] for page in pages for s in page["streams"]] == ["s-1", "s-2"]
    for call in (iot.describe_stream, iot.delete_stream, iot.update_stream):
        with pytest.raises(iot.exceptions.ResourceNotFoundException):
            call(streamId="s-3")
    again = Clients(clients.cloud)  # another process sees the same
    assert again.iot.describe_stream(streamId="s-1")["streamInfo"]["streamVersion"] == 2


@pytest.mark.parametrize(
    "change",
    [
        {"stream_id": "s 1"},
        {"roleArn": "arn:aws:iam::000000000000:user/x-and-more"},
        {"files": [{"fileId": 256, "s3Location": {"bucket": "b", "key": "k"}}]},
        {"files": [{"fileId": 0}]},
        {"files": [{"fileId": 0, "s3Location": {"bucket": "b", "key": "k"}}] * 2},
    ],
)
def test_streams_that_aws_would_not_make(
    clients: Clients, create: Callable[..., dict[str, Any]], change: dict[str, Any]
) -> None:
    from botocore.exceptions import ParamValidationError

    refused = (clients.iot.exceptions.InvalidRequestException, ParamValidationError)
    with pytest.raises(refused):
        create(**change)
    assert clients.iot.list_streams()["streams"] == []


def test_a_file_reaches_a_board(
    clients: Clients, barn: Board, create: Callable[..., dict[str, Any]]
) -> None:
    create()
    with streams.playing(clients):
        for end in ("data", "description", "rejected"):
            barn.link.subscribe(f"$aws/things/barn/streams/+/{end}/json")
        topic, said = barn.ask(BASE + "describe/json", {"c": "me"})
        assert topic == BASE + "description/json"
        assert said == {"c": "me", "s": 1, "d": "", "r": [{"f": 0, "z": 70_000}]}
        data = b""
        for at in range(0, 18, 4):
            request = {"f": 0, "l": 4096, "o": at, "n": 4, "s": 1, "c": str(at)}
            barn.link.publish(BASE + "get/json", json.dumps(request).encode())
            for index in range(at, min(at + 4, 18)):
                topic, said = barn.came.get(timeout=10)
                assert (topic, said["i"], said["c"]) == (BASE + "data/json", index, str(at))
                data += base64.b64decode(said["p"])
        assert data == FILE
        topic, said = barn.ask(BASE + "get/json", {"f": 0, "l": 4096, "o": 18, "n": 1})
        assert (topic, said["o"]) == (BASE + "rejected/json", "OffsetOutOfBounds")
        for request, code in (
            ({"f": 1, "l": 4096, "n": 1}, "ResourceNotFound"),
            ({"f": 0, "l": 4096, "n": 1, "s": 2}, "VersionMismatch"),
            ({"f": 0, "l": 100, "n": 1}, "BlockSizeOutOfBounds"),
        ):
            assert barn.ask(BASE + "get/json", request)[1]["o"] == code
        topic, said = barn.ask(BASE.replace("s-1", "s-9") + "get/json", {"f": 0, "l": 256, "n": 1})
        assert said["o"] == "ResourceNotFound"
    assert clients.iot.list_policies()["policies"][0]["policyName"] == "all"  # its own is gone


def test_what_goes_wrong_is_said(
    clients: Clients, barn: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("broken")

    monkeypatch.setitem(streams._ANSWERS, "get", broken)
    said: queue.Queue[str] = queue.Queue()
    with streams.playing(clients, said.put):
        barn.link.publish(BASE + "get/json", b"{}")
        assert said.get(timeout=10) == BASE + "get/json: ValueError: broken"


def test_who_asks_about_jobs_is_answered_without_a_subscription(
    clients: Clients, barn: Board
) -> None:
    base = "$aws/things/barn/jobs/"
    topic, said = barn.ask(base + "$next/get", {"clientToken": "me"})
    assert (topic, said["clientToken"]) == (base + "$next/get/accepted", "me")
    assert "execution" not in said
    document = {"fieldmouse": "csr"}
    clients.iot.create_job(jobId="j-1", targets=[THING], document=json.dumps(document))
    _, said = barn.ask(base + "$next/get", {})
    assert said["execution"]["jobDocument"] == document
    details = {"status": "IN_PROGRESS", "expectedVersion": 1}
    assert barn.ask(base + "j-1/update", details)[0] == base + "j-1/update/accepted"
    topic, said = barn.ask(base + "j-1/update", details)
    assert (topic, said["code"]) == (base + "j-1/update/rejected", "VersionMismatch")
    done = {"status": "SUCCEEDED", "statusDetails": {"csr": "x" * 1024}}
    assert barn.ask(base + "j-1/update", done)[0] == base + "j-1/update/accepted"
    execution = clients.iot.describe_job_execution(jobId="j-1", thingName="barn")["execution"]
    assert execution["status"] == "SUCCEEDED"
    assert execution["statusDetails"]["detailsMap"] == {"csr": "x" * 1024}


def test_nobody_else_gets_the_answers_of_jobs(
    clients: Clients, barn: Board, certificate: dict[str, Any]
) -> None:
    other = Board(clients, certificate, "other")
    with other.link:
        other.link.subscribe("$aws/things/barn/jobs/#")
        other.link.subscribe("end")
        assert barn.ask("$aws/things/barn/jobs/get", {})[0].endswith("/accepted")
        barn.link.publish("end", b"{}")
        seen = [other.came.get(timeout=10)[0] for _ in range(2)]
    assert seen == ["$aws/things/barn/jobs/get", "end"]


def test_a_request_is_signed_and_registered_over_mqtt(clients: Clients, barn: Board) -> None:
    iam = clients.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}}
    trusted = {"Version": "2012-10-17", "Statement": [trust | {"Action": "sts:AssumeRole"}]}
    iam.create_role(RoleName="provisioning", AssumeRolePolicyDocument=json.dumps(trusted))
    iam.put_role_policy(RoleName="provisioning", PolicyName="p", PolicyDocument=statement("*"))
    clients.iot.create_provisioning_template(
        templateName="fm",
        templateBody=json.dumps(TEMPLATE),
        enabled=True,
        provisioningRoleArn="arn:aws:iam::000000000000:role/provisioning",
    )
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    create = "$aws/certificates/create-from-csr/json"
    provision = "$aws/provisioning-templates/fm/provision/json"
    for topic in (create, provision):
        for end in ("accepted", "rejected"):
            barn.link.subscribe(f"{topic}/{end}")
    topic, said = barn.ask(create, {"certificateSigningRequest": pem})
    assert topic == create + "/accepted"
    own = x509.load_pem_x509_certificate(said["certificatePem"].encode())
    assert own.public_key() == key.public_key()
    number = said["certificateId"]
    known = clients.iot.describe_certificate(certificateId=number)["certificateDescription"]
    assert known["status"] == "PENDING_ACTIVATION"
    token = {"certificateOwnershipToken": said["certificateOwnershipToken"]}
    _, answer = barn.ask(provision, token | {"parameters": {"SerialNumber": "fm-1"}})
    assert answer["thingName"] == "fm-1"
    known = clients.iot.describe_certificate(certificateId=number)["certificateDescription"]
    assert known["status"] == "ACTIVE"
    for bad in ({}, {"certificateSigningRequest": "x"}, []):
        assert barn.ask(create, bad)[0] == create + "/rejected"
