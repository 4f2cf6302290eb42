"""Fleet provisioning by the scripted broker: what a claim certificate may, and what it gets."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from tests.e2e import pki
from tests.e2e.claims import TOKEN_CHARS, Claims
from tests.e2e.server import Server
from tests.e2e.test_server_jobs import Thing
from tests.e2e.test_server_strict import CONNACK, Raw, connect

CREATE = "$aws/certificates/create-from-csr/json"
PROVISION = "$aws/provisioning-templates/fm/provision/json"
ANSWERS = [f"{topic}/{end}" for topic in (CREATE, PROVISION) for end in ("accepted", "rejected")]


@pytest.fixture
def claims(broker: Server, ca: pki.Authority) -> Claims:
    made = Claims(broker, ca)
    names = {"SerialNumber": None, "Group": "barns"}
    made.template("fm", names, "fm-{SerialNumber}", {"interval_s": 60})
    return made


Connect = Callable[..., Thing]


@pytest.fixture
def board(broker: Server, ca: pki.Authority, tmp_path: Path) -> Connect:
    """board(identity, name) -> a connected client."""

    def make(identity: pki.Identity, name: str = "new") -> Thing:
        return Thing(broker, ca, tmp_path, identity=identity, name=name)

    return make


@pytest.fixture
def new(claims: Claims, board: Connect, ca: pki.Authority) -> Thing:
    """A board with a claim certificate."""
    identity = ca.client()
    claims.claim(identity, ["fm"])
    made = board(identity)
    made.subscribe(*ANSWERS)
    return made


def csr(key: Any = None) -> tuple[str, bytes]:
    """A request, PEM, and its key."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "board")])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, algorithm)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), private


def create(new: Thing) -> tuple[dict[str, Any], pki.Identity]:
    pem, key = csr()
    end, said = new.ask(CREATE, {"certificateSigningRequest": pem})
    assert end == "accepted"
    return said, pki.Identity(said["certificatePem"].encode(), key)


def provision(said: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    return {
        "certificateOwnershipToken": said["certificateOwnershipToken"],
        "parameters": {"SerialNumber": "1", **parameters},
    }


def test_from_a_claim_to_a_thing(claims: Claims, new: Thing, board: Connect) -> None:
    said, own = create(new)
    assert set(said) == {"certificateId", "certificatePem", "certificateOwnershipToken"}
    assert len(said["certificateOwnershipToken"]) == TOKEN_CHARS
    assert claims.orphans() == [said["certificateId"]]
    with pytest.raises(AssertionError):
        board(own, "fm-1")  # PENDING_ACTIVATION
    end, answer = new.ask(PROVISION, provision(said))
    assert (end, answer["thingName"]) == ("accepted", "fm-1")
    assert answer["deviceConfiguration"] == {"interval_s": 60}
    assert claims.things == {"fm-1": [said["certificateId"]]}
    assert claims.orphans() == []
    board(own, "fm-1").subscribe("$aws/things/fm-1/jobs/notify-next")
    with pytest.raises(AssertionError):
        board(own, "fm-2")  # its certificate is that of fm-1
    end, answer = new.ask(PROVISION, provision(said))  # a token is good for once
    assert (end, answer["statusCode"]) == ("rejected", 400)
    assert answer["errorCode"] == "InvalidCertificateOwnershipToken"


def test_answers_need_a_subscription(claims: Claims, board: Connect, ca: pki.Authority) -> None:
    identity = ca.client()
    claims.claim(identity, ["fm"])
    new = board(identity)
    assert new.tell(CREATE, {"certificateSigningRequest": csr()[0]}).messages() == []
    assert len(claims.orphans()) == 1


def bad_signature() -> str:
    made = x509.load_pem_x509_csr(csr()[0].encode())
    der = bytearray(made.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return ssl.DER_cert_to_PEM_cert(bytes(der)).replace("CERTIFICATE", "CERTIFICATE REQUEST")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (lambda: b"", "InvalidPayload"),
        (lambda: b"[]", "InvalidPayload"),
        (lambda: {"certificateSigningRequest": csr()[0], "x": 1}, "InvalidPayload"),
        (dict, "InvalidCertificateSigningRequest"),
        (lambda: {"certificateSigningRequest": "x" * 4097}, "InvalidCertificateSigningRequest"),
        (
            lambda: {"certificateSigningRequest": csr()[0].replace("\n", "")},
            "InvalidCertificateSigningRequest",
        ),
        (
            lambda: {"certificateSigningRequest": bad_signature()},
            "InvalidCertificateSigningRequest",
        ),
        (
            lambda: {"certificateSigningRequest": csr(ec.generate_private_key(ec.SECP256K1()))[0]},
            "InvalidCertificateSigningRequest",
        ),
        (
            lambda: {"certificateSigningRequest": csr(rsa.generate_private_key(65537, 1024))[0]},
            "InvalidCertificateSigningRequest",
        ),
        (
            lambda: {"certificateSigningRequest": csr(ed25519.Ed25519PrivateKey.generate())[0]},
            "InvalidCertificateSigningRequest",
        ),
    ],
)
def test_requests_that_are_not_signed(
    claims: Claims, new: Thing, content: Callable[[], Any], code: str
) -> None:
    end, said = new.ask(CREATE, content())
    assert (end, said["statusCode"], said["errorCode"]) == ("rejected", 400, code)
    assert claims.orphans() == []
    assert [r.code for r in claims.requests] == [code]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"certificateOwnershipToken": ""}, "InvalidCertificateOwnershipToken"),
        ({"certificateOwnershipToken": "x" * 512}, "InvalidCertificateOwnershipToken"),
        ({"parameters": {}}, "InvalidParameters"),
        ({"parameters": []}, "InvalidParameters"),
        ({"parameters": {"SerialNumber": 1}}, "InvalidParameters"),
        ({"parameters": {"SerialNumber": "1", "Mac": "2"}}, "InvalidParameters"),
        ({"parameters": {"SerialNumber": "a b"}}, "InvalidParameters"),
        ({"bogus": 1}, "InvalidPayload"),
    ],
)
def test_registrations_that_are_refused(
    claims: Claims, new: Thing, change: dict[str, Any], code: str
) -> None:
    said, _ = create(new)
    end, answer = new.ask(PROVISION, provision(said) | change)
    assert (end, answer["statusCode"], answer["errorCode"]) == ("rejected", 400, code)
    assert (claims.things, claims.orphans()) == ({}, [said["certificateId"]])
    assert new.ask(PROVISION, provision(said))[0] == "accepted"


def test_the_hook_decides(claims: Claims, new: Thing) -> None:
    events: list[dict[str, Any]] = []

    def hook(event: dict[str, Any]) -> bool:
        events.append(event)
        return len(events) > 1

    claims.template("fm", {"SerialNumber": None}, "fm-{SerialNumber}", hook=hook)
    said, _ = create(new)
    end, answer = new.ask(PROVISION, provision(said))
    assert (end, answer["statusCode"], answer["errorCode"]) == ("rejected", 403, "AccessDenied")
    assert claims.orphans() == [said["certificateId"]]
    assert new.ask(PROVISION, provision(said))[0] == "accepted"
    assert events[0]["certificateId"] == said["certificateId"]
    assert events[0]["certificatePem"] == said["certificatePem"]
    assert (events[0]["clientId"], events[0]["parameters"]) == ("new", {"SerialNumber": "1"})
    assert events[0]["claimCertificateId"] != said["certificateId"]


def test_a_token_belongs_to_its_claim_and_ends_after_an_hour(
    claims: Claims, new: Thing, board: Connect, ca: pki.Authority
) -> None:
    said, _ = create(new)
    identity = ca.client()
    claims.claim(identity, ["fm"])
    other = board(identity, "other")
    other.subscribe(*ANSWERS)
    assert other.ask(PROVISION, provision(said))[0] == "rejected"
    claims.hours(0.99)
    assert claims.orphans() == [said["certificateId"]]
    claims.hours(0.01)
    assert claims.orphans() == []
    assert (
        new.ask(PROVISION, provision(said))[1]["errorCode"] == "InvalidCertificateOwnershipToken"
    )


@pytest.mark.parametrize(
    ("verb", "topic"),
    [
        ("tell", "devices/new/data"),
        ("tell", "$aws/things/new/jobs/$next/get"),
        ("tell", "$aws/certificates/create/json"),
        ("tell", "$aws/provisioning-templates/other/provision/json"),
        ("subscribe", "devices/new/commands"),
        ("subscribe", "#"),
        ("subscribe", "$aws/things/new/jobs/notify-next"),
        ("subscribe", "$aws/provisioning-templates/other/provision/json/accepted"),
    ],
)
def test_a_claim_certificate_is_good_for_nothing_else(
    new: Thing, broker: Server, verb: str, topic: str
) -> None:
    with pytest.raises((AssertionError, IndexError)):
        if verb == "subscribe":
            new.subscribe(topic)
        else:
            new.tell(topic, {})
            assert not new.closed()
    assert "policy: " in broker.violations[0]


@pytest.mark.parametrize("topic", ["$aws/things/other/shadow/get", CREATE])
def test_a_thing_keeps_to_its_own_topics(
    claims: Claims, board: Connect, broker: Server, ca: pki.Authority, topic: str
) -> None:
    identity = ca.client()
    claims.known(identity, "barn")
    barn = board(identity, "barn")
    barn.subscribe("$aws/things/barn/shadow/get/accepted")
    barn.tell("devices/barn/data", {}).tell(topic, {})
    assert barn.closed()
    assert broker.violations == [f"policy: Publish {topic}"]


def test_certificates_come_and_go(
    claims: Claims, board: Connect, broker: Server, ca: pki.Authority, tmp_path: Path
) -> None:
    old, fresh = ca.client(), ca.client()
    number = claims.known(old, "barn")
    claims.known(fresh, "barn", status="INACTIVE")
    stranger = Raw(broker, ca, tmp_path, identity=ca.client()).send(connect("barn"))
    assert stranger.closed()  # signed by the right authority, and not registered
    barn = board(old, "barn")
    second = Raw(broker, ca, tmp_path, identity=fresh).send(connect("barn"))
    assert second.read(4) == b""
    assert broker.live("barn")  # who is refused takes nobody's place
    claims.activate(claims.things["barn"][1])
    board(fresh, "barn")
    assert barn.closed()
    board(old, "barn")
    claims.deactivate(number, kick=True)
    assert broker.live("barn") == []
    assert Raw(broker, ca, tmp_path, identity=old).send(connect("barn")).closed()
    assert broker.connections[-1].reason == "certificate refused"
    assert (
        Raw(broker, ca, tmp_path, identity=fresh).send(connect("barn")).read(4)[:1] == CONNACK[:1]
    )
    assert broker.violations == []


def test_a_request_that_rotation_has_signed(
    claims: Claims, board: Connect, ca: pki.Authority
) -> None:
    pem, key = csr()
    number = claims.issue(x509.load_pem_x509_csr(pem.encode()), "barn")
    own = pki.Identity(claims.certificates[number].pem.encode(), key)
    board(own, "barn")
    assert (claims.things, claims.orphans()) == ({"barn": [number]}, [])


def test_answers_that_are_lost(claims: Claims, new: Thing) -> None:
    request = {"certificateSigningRequest": csr()[0]}
    claims.ignore["create-from-csr"] = 1
    assert new.tell(CREATE, request).messages() == []
    assert claims.orphans() == []
    claims.lose["create-from-csr"] = 1
    assert new.tell(CREATE, request).messages() == []
    assert len(claims.orphans()) == 1  # what a board leaves behind that asks again
    assert new.ask(CREATE, request)[0] == "accepted"
