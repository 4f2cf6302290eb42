"""`doctor`: each check that asks AWS, broken alone, and mended as told."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.validate import ParamValidator

from tests.e2e import pki as authorities
from tests.e2e.server import Server
from tests.e2e.ward import Ward, quick
from tests.host.aws_fakes import NETWORK_GONE, client_error
from tools.aws.clients import Clients
from tools.aws.route import Identity
from tools.doctor import cloud as doctor_cloud
from tools.doctor import run as doctor
from tools.doctor import session as doctor_session
from tools.doctor.context import Context
from tools.doctor.run import FAILED, OK, UNKNOWN, Finding, one
from tools.things.folder import Folder


@pytest.fixture
def ward(
    clients: Clients,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Ward:
    quick(monkeypatch, tmp_path)
    return Ward.admit(clients, f"doctor-{abs(hash(request.node.nodeid)) % 10**9}", tmp_path)


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
        assert "within 60 s of AWS" in doctor_cloud.clock(Context(clients, ward.name, ward.folder))
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


@pytest.mark.parametrize("elsewhere", [False, True])
def test_certificate_gone(ward: Ward, elsewhere: bool) -> None:
    number, arn = ward.record.certificate_id, ward.record.certificate_arn
    iot = ward.clients.iot
    iot.update_certificate(certificateId=number, newStatus="INACTIVE")
    iot.detach_thing_principal(thingName=ward.name, principal=arn)
    iot.delete_certificate(certificateId=number, forceDelete=True)
    if elsewhere:  # perhaps of another account
        ward.folder.record_file.unlink()
    mend = "AWS_PROFILE" if elsewhere else "rotate"
    found = ward.assert_broken("certificate", "not in this account and region", mend)
    if not elsewhere:
        ward.mend(found)


def test_another_certificate_than_the_recorded_one(ward: Ward) -> None:
    other = ward.clients.iot.create_keys_and_certificate(setAsActive=True)
    ward.folder.cert.write_text(other["certificatePem"])
    ward.folder.key.write_text(other["keyPair"]["PrivateKey"])
    ward.mend(ward.assert_broken("certificate", "it is not the one in", "rotate"))


def test_a_key_that_is_on_the_board_only(ward: Ward) -> None:
    # As `rotate --remote` leaves it: all that can be known without the key is looked at.
    ward.folder.save(replace(ward.record, key_on_board=True))
    ward.folder.key.unlink()
    found = ward.examine()
    assert found["files"].text.endswith("its key is on the board and nowhere else")
    assert (found["TLS"].state, found["TLS"].remedy) == (UNKNOWN, "")
    assert found["other client id"].text == "not tried, as TLS is not known"
    for name in ("certificate", "thing", "policies"):
        assert found[name].state == OK, found[name]
    assert not [f for f in found.values() if f.state == FAILED]


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


def test_not_attached(ward: Ward) -> None:
    arn = ward.record.certificate_arn
    ward.clients.iot.detach_thing_principal(thingName=ward.name, principal=arn)
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


def test_updates_that_no_policy_allows(ward: Ward) -> None:
    ward.edit(updates=True)
    topic = f"iot:Publish on topic/$aws/things/{ward.name}/jobs/$next/get and "
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


def authorizing(**decisions: Any) -> Callable[..., Any]:
    """A TestAuthorization that says ALLOWED, but for the actions in ``decisions``."""

    def test_authorization(real: Any, principal: str, clientId: str, authInfos: Any) -> Any:
        arguments = {"principal": principal, "clientId": clientId, "authInfos": authInfos}
        model = real.meta.service_model.operation_model("TestAuthorization")
        report = ParamValidator().validate(arguments, model.input_shape)
        assert not report.has_errors(), report.generate_report()
        assert all(info["resources"][0].startswith("arn:aws:iot:") for info in authInfos)
        results = [
            {"authInfo": info, "authDecision": "ALLOWED"} | decisions.get(info["actionType"], {})
            for info in authInfos
        ]
        return {"authResults": results[::-1]}  # nothing is promised about the order

    return test_authorization


DENIED = {"authDecision": "EXPLICIT_DENY"} | {
    "denied": {"explicitDeny": {"policies": [{"policyName": "of-the-group"}]}}
}


@pytest.mark.parametrize(
    ("decisions", "text", "remedy"),
    [
        ({}, "", ""),
        ({"PUBLISH": DENIED}, "the policy of-the-group denies it", "--policy-name of-the-group"),
        ({"CONNECT": {"authDecision": "IMPLICIT_DENY"}}, "iot:Connect on client/", "--update-pol"),
    ],
)
def test_aws_says_what_is_allowed(
    ward: Ward, acting: Any, decisions: dict[str, Any], text: str, remedy: str
) -> None:
    clients = acting("iot", test_authorization=authorizing(**decisions))
    if text:
        ward.assert_broken("policies", text, remedy, clients)
    else:
        assert ward.examine(clients)["policies"].text.endswith("; asked AWS itself")


def test_aws_does_not_know_enough_to_say(ward: Ward, acting: Any) -> None:
    # A variable it could not fill in: then our own evaluation decides.
    unsure = {"authDecision": "IMPLICIT_DENY", "missingContextValues": ["iot:Connection.Thing.X"]}
    unknown = dict.fromkeys(("CONNECT", "PUBLISH", "SUBSCRIBE", "RECEIVE"), unsure)
    clients = acting("iot", test_authorization=authorizing(**unknown))
    assert ward.examine(clients)["policies"].state == OK
    iot, arn = ward.clients.iot, ward.record.certificate_arn
    iot.detach_policy(policyName="fieldmouse-send", target=arn)
    ward.assert_broken("policies", "iot:Connect on client/", "provision", clients)


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


@pytest.fixture
def strict(ward: Ward) -> Iterator[tuple[Context, Server]]:
    """What doctor looks at where the endpoint is the scripted broker, and that broker."""
    ca = authorities.Authority()
    own = ca.client()
    context = Context(ward.clients, ward.name, Folder(ward.folder.path))
    with Server(ca, ca.server()) as broker:
        context.config = {"endpoint": "localhost", "port": broker.port}
        context.identity = Identity(own.cert, own.key, ca.cert)
        yield context, broker


def test_connack_with_a_code(strict: tuple[Context, Server]) -> None:
    # Documents and observations differ on how AWS says no (aws-facts.md 11).
    context, broker = strict
    broker.script.connack_code = 5
    assert doctor_cloud.other_client_id(context) == "another client id is refused"
    (connection,) = [c for c in broker.connections if c.connect]
    assert connection.connect.client_id == f"{context.thing}-doctor"


def test_no_answer_to_the_connect(
    strict: tuple[Context, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.aws.mqtt._CONNECT_S", 1.0)
    context, broker = strict
    broker.script.withhold["CONNACK"] = -1
    found = one("x", lambda: doctor_cloud.other_client_id(context))
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
    """The shadow's `reported`."""
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


SOUND = {"firmware": "1.0.0", "sensor_found": "bme280@0x76", "safe_mode": False}
BIRTH = {**SOUND, "online": True, "clock_source": "ntp", "uptime_s": 99, "reset_cause": "pwron"}


def test_nothing_reported_yet(ward: Ward) -> None:
    found = ward.examine()
    assert found["last report"].text == "it has reported nothing yet"
    assert list(found) == [check.name for check in doctor.CHECKS]


def test_last_report(ward: Ward) -> None:
    report(ward, **SOUND, rssi_dbm=-61)
    found = ward.examine()
    assert list(found) == [check.name for check in (*doctor.CHECKS, *doctor.HEALTH)]
    assert found["last report"].state == OK
    assert found["last report"].text.endswith("ago, firmware 1.0.0")
    assert (found["Wi-Fi"].state, found["Wi-Fi"].text) == (OK, "-61 dBm")
    assert found["sensor"].text == "bme280@0x76"
    # What nobody has said is neither good nor bad.
    unknown = {name for name, f in found.items() if f.state == UNKNOWN}
    assert unknown == {"last session", "connection", "readings", "outbox", "restarts"} | {
        "board's clock"
    }


def test_a_board_that_is_well(ward: Ward) -> None:
    now = int(time.time())
    more = {"last_reading": now, "waiting_readings": 0, "dropped_readings": 0, "boots": 3}
    status(ward, BIRTH | more)
    found = ward.examine()
    assert found["restarts"].text.startswith("starts: 3, the last by ")
    unknown = {name for name, f in found.items() if f.state != OK}
    assert unknown == {"last session", "Wi-Fi"}
    assert re.match(r"the last \d s ago; 0 wait on", found["readings"].text)


@pytest.mark.parametrize(
    ("facts", "check", "text", "remedy"),
    [
        (
            {"sensor_found": None, "sensor_last_error": "no bme280 found; on the bus: nothing"},
            "sensor",
            "no sensor: no bme280 found; on the bus: nothing",
            "(docs/wiring.md); then python -m tools command {0} read_now --local",
        ),
        (
            {"sensor_found": None, "sensor_last_error": "no sht3x found; on the bus: 0x76"},
            "sensor",
            "no sht3x found",
            "python -m tools shadow set {0} sensor=auto --local",
        ),
        (
            {"sensor_found": None, "sensor_last_error": "… 0x44 (no driver sht3x on this board)"},
            "sensor",
            "no driver",
            "config {0} 'sensor=…' --no-send --local; then make deploy THING={0}",
        ),
        ({"dropped_readings": 12}, "outbox", "12 readings dropped", "outbox_bytes=393216"),
        ({"clock_source": None}, "board's clock", "clock unknown", "'ntp=…' --no-send --local"),
        (
            {"other_board": "0a1b"},
            "one board",
            "another board uses this thing: 0a1b",
            "python -m tools provision {0}-2 --local",
        ),
        (
            {"safe_mode": True, "last_crash": "OSError: [Errno 5] EIO"},
            "restarts",
            "safe mode: OSError: [Errno 5] EIO",
            "python -m tools command {0} get_log --local",
        ),
        ({"reset_cause": "wdt"}, "restarts", "restarted: wdt", "get_log --local"),
        ({"rssi_dbm": -86}, "Wi-Fi", "weak, -86 dBm", "'wifi.0.ssid=…'"),
        ({"config_problems": ["port: is bad"]}, "settings", "config.json: port: is bad", "config"),
        ({"online": False}, "connection", "not connected for", "make sim"),
    ],
)
def test_a_board_that_is_not_well(
    ward: Ward, facts: dict[str, Any], check: str, text: str, remedy: str
) -> None:
    said = {key: value for key, value in (BIRTH | facts).items() if value is not None}
    if facts.get("online") is False:
        report(ward, **SOUND)
        said = {"online": False}
    status(ward, said)
    ward.assert_broken(check, text, remedy.format(ward.name))


def test_settings_it_rejects(ward: Ward) -> None:
    report(ward, **SOUND, rejected={"interval_s": "must be a whole number", "x": "unknown"})
    command = f"python -m tools shadow set {ward.name} interval_s=null --local"
    ward.assert_broken("settings", "rejected: interval_s, x", command)


def test_an_old_certificate(ward: Ward, acting: Any) -> None:
    def describe(real: Any, certificateId: str) -> Any:
        answer = real.describe_certificate(certificateId=certificateId)
        year = dt.timedelta(days=366)
        answer["certificateDescription"]["creationDate"] -= year
        return answer

    report(ward, **SOUND)
    clients = acting("iot", describe_certificate=describe)
    ward.assert_broken("certificate's age", "366 d old", f"rotate {ward.name} --local", clients)


@pytest.mark.parametrize("payload", [b"", b"{", b"[1]", b"null", b"\xff"])
def test_a_status_that_another_has_written(ward: Ward, payload: bytes) -> None:
    report(ward, **SOUND)
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
    report(ward, **SOUND)
    denied = refused("ForbiddenException", "GetRetainedMessage")
    found = ward.examine(acting("iot-data", get_retained_message=denied))
    assert found["last report"].state == found["last session"].state == UNKNOWN
    assert "firmware 1.0.0; status: AWS denies" in found["last report"].text


def adopted(ward: Ward, device: Any) -> Ward:
    """The thing of a board of its own, in place of the ward's."""
    return Ward(ward.clients, device.thing, Folder(device.things), ward.record, ward.cloud_file)


def test_a_board_without_a_sensor(ward: Ward, new_device: Any, boot: Any) -> None:
    device = new_device(interval_s=1)
    board = boot(device, sensor="none")
    board.wait_for("link: up", timeout=20)
    own = adopted(ward, device)
    found = _until(own, "sensor", FAILED)
    assert found.text == "no sensor: no known sensor found; on the bus: nothing"
    board.set(sensor="bme280")
    own._shell(found.remedy.partition("; then ")[2])
    assert _until(own, "sensor", OK).text.startswith("bme280@0x76; ")


def test_a_sensor_that_was_asked_for_and_is_not_there(
    ward: Ward, new_device: Any, boot: Any
) -> None:
    device = new_device(interval_s=1)
    board = boot(device)
    board.wait_for("link: up", timeout=20)
    own = adopted(ward, device)
    own.clients.data.update_thing_shadow(
        thingName=device.thing,
        payload=json.dumps({"state": {"desired": {"sensor": "sht3x"}}}).encode(),
    )
    board.wait_for("sensor rejected", timeout=30)  # the board keeps what works, and says so
    found = _until(own, "settings", FAILED)
    assert found.text == "rejected: sensor"
    own._shell(found.remedy)
    _until(own, "settings", OK)


def test_it_listens_for_a_reading(ward: Ward, new_device: Any, boot: Any) -> None:
    device = new_device(interval_s=1)
    own = adopted(ward, device)
    board = boot(device)
    board.wait_for("link: up", timeout=20)
    began = time.monotonic()
    found = {f.check: f for f in doctor.examine(own.clients, own.name, own.folder.path)}
    assert found["readings"].state == OK, found
    assert re.match(r"the last \d s ago, every 1 s", found["readings"].text)
    assert found["connection"].text == "online"
    assert time.monotonic() - began < 14  # it ended with the first one
    board.close()  # as if its sampler hung: the session is as it was
    status(own, BIRTH)
    report(own, **SOUND, interval_s=1)
    context = Context(own.clients, own.name, own.folder)
    late = one("x", lambda: doctor_session.HEALTH["readings"](context))
    assert late.state == FAILED, late
    assert re.match(r"no reading (in|for) 1[3-6] s.*; it measures every 1 s", late.text)
    assert late.remedy == f"python -m tools command {own.name} read_now --local"


def _until(ward: Ward, check: str, state: str) -> Finding:
    deadline = time.monotonic() + 20
    while (found := ward.examine()[check]).state != state:
        assert time.monotonic() < deadline, found
    return found


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

    def examined(check: Callable[[Context], str], text: str) -> Finding:
        deadline = time.monotonic() + 20
        while True:
            context = Context(ward.clients, device.thing, Folder(device.things), listen_s=0)
            found = one("x", partial(check, context))
            if text in found.text:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    examined(doctor_session.last_disconnect, "1 drops, the last by network")
    assert examined(doctor_session.HEALTH["settings"], "settings: file damaged").state == FAILED
