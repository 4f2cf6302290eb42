"""`doctor`: each check that asks AWS, broken alone, and mended as told."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import pki as authorities
from tests.e2e.server import Server
from tests.e2e.ward import Ward, quick
from tests.host.aws_fakes import NETWORK_GONE, client_error
from tools.aws import doctor_cloud, doctor_session
from tools.aws.clients import Clients
from tools.aws.doctor import FAILED, OK, UNKNOWN, Finding, one
from tools.aws.folder import Folder
from tools.aws.patient import Patient
from tools.aws.route import Identity


@pytest.fixture
def ward(
    clients: Clients,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Ward:
    quick(monkeypatch, tmp_path)
    return Ward.admit(clients, f"inpatient-{abs(hash(request.node.nodeid)) % 10**9}", tmp_path)


class Acting:
    """A boto3 client of which some calls are played; each gets the real client first."""

    def __init__(self, real: Any, **calls: Callable[..., Any]) -> None:
        self._real, self._calls = real, calls

    def __getattr__(self, name: str) -> Any:
        if name in self._calls:
            return lambda **arguments: self._calls[name](self._real, **arguments)
        return getattr(self._real, name)


@pytest.fixture
def acting(clients: Clients, cloud: Any) -> Callable[..., Clients]:
    """acting(service, call=function(real, **arguments)) -> clients with these calls played."""

    def make(service: str, **calls: Callable[..., Any]) -> Clients:
        made = Clients(cloud.info)
        made._made[service] = Acting(clients.client(service), **calls)
        return made

    return make


def refused(code: str, operation: str) -> Callable[..., Any]:
    def call(real: Any, **arguments: Any) -> Any:
        raise client_error(code, operation)

    return call


# Clock and account.


@pytest.mark.parametrize(("seconds", "side"), [(600, "behind"), (-600, "ahead")])
def test_clock(ward: Ward, acting: Any, seconds: int, side: str) -> None:
    def describe_endpoint(real: Any, **arguments: Any) -> Any:
        then = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=seconds)
        answer = {"date": f"{then:%a, %d %b %Y %H:%M:%S GMT}"}
        return {"ResponseMetadata": {"HTTPHeaders": answer}}

    shifted = acting("iot", describe_endpoint=describe_endpoint)
    ward.assert_broken("clock", f"s {side} of AWS", "timedatectl", shifted)


def test_clock_without_credentials(ward: Ward, clients: Clients) -> None:
    # The question is not signed, so that neither credentials nor a wrong clock are in its way.
    seen = []
    clients.iot.meta.events.register(
        "before-send.iot.DescribeEndpoint",
        keep := (lambda request, **_: seen.append(request.headers.get("Authorization"))),
    )
    try:
        assert "within 60 s of AWS" in doctor_cloud.clock(Patient(clients, ward.name, ward.folder))
        clients.iot.describe_endpoint(endpointType="iot:Data-ATS")
    finally:
        clients.iot.meta.events.unregister("before-send.iot.DescribeEndpoint", keep)
    assert seen[0] is None
    assert seen[1] is not None  # and the client is as it was


def test_answer_without_a_date(ward: Ward, acting: Any) -> None:
    undated = {"ResponseMetadata": {"HTTPHeaders": {}}}
    clients = acting("iot", describe_endpoint=lambda real, **_: undated)
    found = ward.examine(clients)["clock"]
    assert (found.state, found.text) == (UNKNOWN, "AWS's answer carries no date")


def test_nobody_to_ask_for_the_time(ward: Ward, acting: Any) -> None:
    def describe_endpoint(real: Any, **arguments: Any) -> Any:
        raise NETWORK_GONE

    found = ward.examine(acting("iot", describe_endpoint=describe_endpoint))
    assert (found["account"].state, found["clock"].state) == (FAILED, UNKNOWN)
    assert "cannot reach" in found["account"].text


def test_skew_is_below_what_aws_refuses() -> None:
    assert doctor_cloud.SKEW_S < 300


# Certificate and thing.


@pytest.mark.parametrize(
    ("status", "remedy"), [("INACTIVE", "--new-status ACTIVE"), ("REVOKED", "rotate")]
)
def test_certificate_not_active(ward: Ward, status: str, remedy: str) -> None:
    number = ward.record.certificate_id
    ward.clients.iot.update_certificate(certificateId=number, newStatus=status)
    # MiniStack refuses such a certificate at the MQTT CONNECT, AWS at the handshake or there.
    ward.mend(ward.assert_broken("certificate", f"it is {status}", remedy))


def test_provisioning_that_was_interrupted(ward: Ward) -> None:
    number = ward.record.certificate_id
    ward.clients.iot.update_certificate(certificateId=number, newStatus="INACTIVE")
    fields = json.loads(ward.folder.record_file.read_text()) | {"complete": False}
    ward.folder.record_file.write_text(json.dumps(fields))
    ward.mend(ward.assert_broken("certificate", "was not finished", "provision"))


def test_certificate_gone(ward: Ward) -> None:
    number, arn = ward.record.certificate_id, ward.record.certificate_arn
    iot = ward.clients.iot
    iot.update_certificate(certificateId=number, newStatus="INACTIVE")
    iot.detach_thing_principal(thingName=ward.name, principal=arn)
    iot.delete_certificate(certificateId=number, forceDelete=True)
    found = ward.assert_broken("certificate", "not in this account and region", "rotate")
    ward.mend(found)


def test_another_certificate_than_the_recorded_one(ward: Ward) -> None:
    other = ward.clients.iot.create_keys_and_certificate(setAsActive=True)
    ward.folder.cert.write_text(other["certificatePem"])
    ward.folder.key.write_text(other["keyPair"]["PrivateKey"])
    ward.mend(ward.assert_broken("certificate", "it is not the one in", "rotate"))


def test_record_damaged(ward: Ward) -> None:
    ward.folder.record_file.write_text("{")
    ward.assert_broken("files", "thing.json is damaged", "move the folder away")


def test_a_certificate_from_the_console(ward: Ward) -> None:
    # Files put there by hand have no thing.json: AWS is asked by the certificate itself.
    ward.folder.record_file.unlink()
    ward.assert_well()
    arn, iot = ward.record.certificate_arn, ward.clients.iot
    iot.detach_thing_principal(thingName=ward.name, principal=arn)
    ward.mend(ward.assert_broken("thing", "is not attached", "aws iot attach-thing-principal"))
    iot.detach_policy(policyName="fieldmouse-send", target=arn)
    ward.mend(ward.assert_broken("policies", "iot:Connect on client/", "aws iot attach-policy"))


def test_a_certificate_from_another_account(ward: Ward, clients: Clients) -> None:
    number, arn = ward.record.certificate_id, ward.record.certificate_arn
    ward.folder.record_file.unlink()
    clients.iot.update_certificate(certificateId=number, newStatus="INACTIVE")
    clients.iot.detach_thing_principal(thingName=ward.name, principal=arn)
    clients.iot.delete_certificate(certificateId=number, forceDelete=True)
    ward.assert_broken("certificate", "not in this account and region", "AWS_PROFILE")


def test_not_attached(ward: Ward) -> None:
    ward.clients.iot.detach_thing_principal(
        thingName=ward.name, principal=ward.record.certificate_arn
    )
    ward.mend(ward.assert_broken("thing", "is not attached to it", "provision"))


def test_attached_to_another_thing(ward: Ward) -> None:
    arn, iot = ward.record.certificate_arn, ward.clients.iot
    iot.create_thing(thingName=f"{ward.name}-b")
    iot.attach_thing_principal(thingName=f"{ward.name}-b", principal=arn)
    iot.detach_thing_principal(thingName=ward.name, principal=arn)
    ward.assert_broken("thing", f"not attached to it (but to {ward.name}-b)", "provision")


def test_one_call_is_denied(ward: Ward, acting: Any) -> None:
    denied = refused("AccessDeniedException", "DescribeCertificate")
    clients = acting("iot", describe_certificate=denied)
    ward.assert_broken("certificate", "AWS denies", "ask for this permission", clients)


# Policies.


def test_a_policy_is_missing(ward: Ward) -> None:
    ward.clients.iot.detach_policy(
        policyName="fieldmouse-hear", target=ward.record.certificate_arn
    )
    found = ward.assert_broken("policies", "iot:Subscribe on topicfilter/devices/", "provision")
    ward.mend(found)


def test_a_topic_of_ones_own_that_no_policy_knows(ward: Ward) -> None:
    ward.edit(telemetry_topic="dt/{thing}/temp")
    topic = f"iot:Publish on topic/dt/{ward.name}/temp"
    ward.mend(ward.assert_broken("policies", topic, "--update-policy"))


@pytest.fixture
def policy(ward: Ward) -> Iterator[Callable[[dict[str, Any]], str]]:
    """policy(statement) -> the name of a policy with it, attached to the certificate."""
    iot, arn, name = ward.clients.iot, ward.record.certificate_arn, f"of-{ward.name}"

    def attach(statement: dict[str, Any]) -> str:
        text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iot.create_policy(policyName=name, policyDocument=text)
        iot.attach_policy(policyName=name, target=arn)
        return name

    yield attach
    iot.detach_policy(policyName=name, target=arn)
    iot.delete_policy(policyName=name)


def test_a_policy_that_denies(ward: Ward, policy: Callable[[dict[str, Any]], str]) -> None:
    name = policy({"Effect": "Deny", "Action": "iot:Publish", "Resource": "*"})
    found = ward.assert_broken("policies", f"the policy {name} denies it", "detach-policy")
    ward.mend(found)


def test_a_policy_that_lets_anybody_in(
    ward: Ward, policy: Callable[[dict[str, Any]], str]
) -> None:
    policy({"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"})
    arn = ward.record.certificate_arn
    ward.assert_broken("other client id", "connect under any name", f"--target {arn}")


def test_policies_of_a_thing_group(ward: Ward, acting: Any) -> None:
    # What is attached to a group is in force too; only GetEffectivePolicies knows, not MiniStack.
    arn, iot = ward.record.certificate_arn, ward.clients.iot
    texts = [
        iot.get_policy(policyName=name)["policyDocument"]
        for name in ("fieldmouse-send", "fieldmouse-hear")
    ]
    for name in ("fieldmouse-send", "fieldmouse-hear"):
        iot.detach_policy(policyName=name, target=arn)

    def effective(real: Any, principal: str, thingName: str) -> Any:
        assert (principal, thingName) == (arn, ward.name)
        listed = [{"policyName": f"g{i}", "policyDocument": t} for i, t in enumerate(texts)]
        return {"effectivePolicies": listed}

    found = ward.examine(acting("iot", get_effective_policies=effective))
    assert found["policies"].state == OK
    assert found["policies"].text.startswith("g0, g1 allow all")


# Another client id.


def test_connack_with_a_code(ward: Ward) -> None:
    # Documents and observations differ on how AWS says no (aws-facts.md 11).
    ca = authorities.Authority()
    own = ca.client()
    patient = Patient(ward.clients, ward.name, Folder(ward.folder.path))
    with Server(ca, ca.server()) as broker:
        broker.script.connack_code = 5
        patient.config = {"endpoint": "localhost", "port": broker.port}
        patient.identity = Identity(own.cert, own.key, ca.cert)
        assert doctor_cloud.other_client_id(patient) == "another client id is refused"
        (connection,) = [c for c in broker.connections if c.connect]
        assert connection.connect.client_id == f"{ward.name}-doctor"


def test_no_answer_to_the_connect(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.aws.mqtt._CONNECT_S", 1.0)
    ca = authorities.Authority()
    own = ca.client()
    patient = Patient(ward.clients, ward.name, Folder(ward.folder.path))
    with Server(ca, ca.server()) as broker:
        broker.script.withhold["CONNACK"] = -1
        patient.config = {"endpoint": "localhost", "port": broker.port}
        patient.identity = Identity(own.cert, own.key, ca.cert)
        found = one("x", lambda: doctor_cloud.other_client_id(patient))
    assert found.state == FAILED
    assert "did not end" in found.text


# The past.


@pytest.mark.parametrize(
    ("fields", "state", "text", "remedy"),
    [
        ({"connected": True}, OK, "connected now", ""),
        ({"connected": False}, UNKNOWN, "does not say", ""),
        ({"disconnectReason": "CLIENT_INITIATED_DISCONNECT"}, OK, "took its leave", ""),
        ({"disconnectReason": "DUPLICATE_CLIENTID"}, FAILED, "DUPLICATE_CLIENTID", "two boards"),
        ({"disconnectReason": "CONNECTION_LOST"}, FAILED, "CONNECTION_LOST", "make logs"),
        ({"disconnectReason": "AUTH_ERROR"}, FAILED, "AUTH_ERROR", "--update-policy"),
        ({"disconnectReason": "SERVER_ERROR"}, FAILED, "SERVER_ERROR", "make logs"),
    ],
)
def test_last_session(
    ward: Ward, acting: Any, fields: dict[str, Any], state: str, text: str, remedy: str
) -> None:
    since = {"disconnectedSince": int((time.time() - 305) * 1000)}
    clients = acting("iot-data", get_connection=lambda real, clientId: since | fields)
    if state == FAILED:
        found = ward.assert_broken("last session", text, remedy, clients)
        assert "5 min ago" in found.text
    else:
        found = ward.examine(clients)["last session"]
        assert (found.state, found.remedy) == (state, remedy)
        assert text in found.text


def report(ward: Ward, **facts: Any) -> None:
    payload = json.dumps({"state": {"reported": facts}}).encode()
    ward.clients.data.update_thing_shadow(thingName=ward.name, payload=payload)


def status(ward: Ward, payload: dict[str, Any] | bytes) -> None:
    """The retained message on the device's status topic."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    topic = f"devices/{ward.name}/status"
    ward.clients.data.publish(topic=topic, payload=raw, qos=1, retain=True)


def test_last_session_as_the_device_saw_it(ward: Ward) -> None:
    assert ward.examine()["last session"].text == "AWS does not say"
    status(ward, {"online": True, "link_last_reason": None, "link_drops": 0})
    assert ward.examine()["last session"].text == "AWS does not say"
    status(ward, {"online": True, "link_last_reason": "no_pingresp", "link_drops": 2})
    found = ward.examine()["last session"]
    assert found.state == UNKNOWN
    assert re.search(r"as reported \d s ago: 2 drops, the last by no_pingresp$", found.text)
    status(ward, {"online": False})
    found = ward.examine()["last session"]
    assert re.search(r"its last will came \d s ago$", found.text)


def test_last_report(ward: Ward) -> None:
    assert ward.examine()["last report"].text == "it has reported nothing yet"
    report(ward, safe_mode=False, firmware="0.1.0", rssi_dbm=-61)
    found = ward.examine()["last report"]
    assert found.state == OK
    assert "firmware 0.1.0, Wi-Fi -61 dBm" in found.text


@pytest.mark.parametrize("payload", [b"", b"{", b"[1]", b"null", b"\xff"])
def test_a_status_that_another_has_written(ward: Ward, payload: bytes) -> None:
    report(ward, safe_mode=False, firmware="0.1.0")
    status(ward, payload)
    found = ward.examine()
    assert found["last session"].text == "AWS does not say"
    assert found["last report"].state == OK


def test_report_that_may_not_be_read(ward: Ward, acting: Any) -> None:
    denied = refused("ForbiddenException", "GetThingShadow")
    found = ward.examine(acting("iot-data", get_thing_shadow=denied))
    assert found["last report"].state == found["last session"].state == UNKNOWN
    assert "AWS denies" in found["last report"].text


def test_status_that_may_not_be_read(ward: Ward, acting: Any) -> None:
    report(ward, safe_mode=False, firmware="0.1.0")
    denied = refused("ForbiddenException", "GetRetainedMessage")
    found = ward.examine(acting("iot-data", get_retained_message=denied))
    assert found["last report"].state == found["last session"].state == UNKNOWN
    assert "firmware 0.1.0; its settings: AWS denies" in found["last report"].text


def test_safe_mode(ward: Ward) -> None:
    report(ward, safe_mode=True, last_crash="OSError: [Errno 5] EIO")
    found = ward.assert_broken("last report", "in safe mode", "make crashlog")
    assert "EIO" in found.text


def test_settings_the_board_could_not_use(ward: Ward) -> None:
    report(ward, safe_mode=False)
    status(ward, {"online": True, "config_problems": ["interval_s: must be 1 to 86400"]})
    ward.assert_broken("last report", "interval_s: must be", f"config {ward.name}")


def test_what_the_firmware_reports_is_what_is_looked_at(
    ward: Ward, new_device: Any, boot: Any
) -> None:
    # The whole way, with a board: damaged settings and a session that was lost.
    device = new_device(interval_s=1)
    settings = device.folder / "data" / "settings.json"
    settings.parent.mkdir()
    settings.write_text("half a")
    board = boot(device)
    board.wait_for("link: up", timeout=20)
    board.set(wifi={"up": False})
    board.wait_for("link: network gone", timeout=20)
    board.set(wifi={"up": True})
    patient = Patient(ward.clients, device.thing, Folder(device.things))

    def examined(check: Callable[[Patient], str], text: str) -> Finding:
        deadline = time.monotonic() + 20
        while True:
            found = one("x", lambda: check(patient))
            if text in found.text:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    examined(doctor_session.last_disconnect, "1 drops, the last by network")
    assert examined(doctor_session.report, "settings: file damaged").state == FAILED
