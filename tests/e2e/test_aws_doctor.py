"""`doctor`: healthy, and each check with exactly what it looks for broken."""

from __future__ import annotations

import datetime as dt
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.host import pki
from tools import cli
from tools.aws import doctor, doctor_cloud, doctor_link, local
from tools.aws.clients import Clients
from tools.aws.doctor import FAILED, OK, UNKNOWN, UNTRIED, Finding
from tools.aws.provision import Place, Provisioned, provision

WIFI = [{"ssid": "virtual"}]


@pytest.fixture(autouse=True)
def nearby(monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback an alert comes at once."""
    monkeypatch.setattr("tools.aws.tls._ALERT_S", 0.2)


@pytest.fixture
def made(clients: Clients, tmp_path: Path, request: pytest.FixtureRequest) -> Provisioned:
    # One thing a test: each is broken in its own way.
    name = "patient-" + str(abs(hash(request.node.nodeid)))[:10]
    return provision(clients, name, tmp_path / name, wifi=WIFI)


@pytest.fixture
def report(clients: Clients, made: Provisioned) -> Callable[[], dict[str, Finding]]:
    def examine() -> dict[str, Finding]:
        found = doctor.examine(clients, made.record.thing_name, made.folder.path)
        return {finding.check: finding for finding in found}

    return examine


Report = Callable[[], dict[str, Finding]]


def only_broken(found: dict[str, Finding], check: str, text: str, remedy: str) -> None:
    """Exactly ``check`` has failed; what needs it was not tried; all else is well."""
    assert found[check].state == FAILED, found
    assert text in found[check].text, found[check]
    assert remedy in found[check].remedy, found[check]
    needs = {name: needs for name, _, needs in doctor.CHECKS}

    def hangs_on(name: str) -> bool:
        return check in needs[name] or any(hangs_on(need) for need in needs[name])

    for name, finding in found.items():
        if name != check:
            wanted = {UNTRIED} if hangs_on(name) else {OK, UNKNOWN}
            assert finding.state in wanted, finding


def edit(made: Provisioned, **fields: Any) -> None:
    config = json.loads(made.folder.config.read_text())
    made.folder.config.write_text(json.dumps(config | fields))


def test_all_is_well(report: Report) -> None:
    found = report()
    assert [f for f in found.values() if f.state not in (OK, UNKNOWN)] == []
    assert list(found) == [name for name, _, _ in doctor.CHECKS]
    assert found["other client id"].state == OK


# Folder.


def test_config_missing(report: Report, made: Provisioned) -> None:
    made.folder.config.unlink()
    only_broken(report(), "config", "is missing", "provision")


def test_config_bad(report: Report, made: Provisioned) -> None:
    edit(made, interval_s=0)
    only_broken(report(), "config", "interval_s: must be", "config.example.json")


def test_config_of_another_thing(report: Report, made: Provisioned) -> None:
    edit(made, thing_name="other")
    only_broken(report(), "config", "for another thing, other", "thing_name=patient")


def test_key_missing(report: Report, made: Provisioned) -> None:
    made.folder.key.unlink()
    only_broken(report(), "files", "key: no such file", "rotate")


def test_everything_missing(report: Report, made: Provisioned) -> None:
    made.folder.key.unlink()
    made.folder.cert.unlink()
    only_broken(report(), "files", "cert: no such file", "provision")


def test_key_of_another_certificate(report: Report, made: Provisioned) -> None:
    made.folder.key.write_bytes(pki.key_pem(pki.key("ec", 7)))
    only_broken(report(), "files", "does not belong to the key", "rotate")


def test_certificate_expired(report: Report, made: Provisioned) -> None:
    ca = made.folder.ca.read_bytes()
    pki.folder(made.folder.certs, start=pki.NOW - 9 * pki.DAY, end=pki.NOW - pki.DAY)
    made.folder.ca.write_bytes(ca)
    only_broken(report(), "files", "cert.pem: expired on 2026-11-20", "rotate")


# The way.


def test_not_the_ats_endpoint(report: Report, made: Provisioned) -> None:
    edit(made, endpoint="abc.iot.eu-west-1.amazonaws.com")
    only_broken(report(), "endpoint", "is not the ATS endpoint", "endpoint=localhost")


def test_endpoint_of_another_account(report: Report, made: Provisioned) -> None:
    edit(made, endpoint="abc-ats.iot.eu-west-1.amazonaws.com")
    only_broken(report(), "endpoint", "is not this account's endpoint localhost", "config")


def test_endpoint_that_has_no_address(
    report: Report, made: Provisioned, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(made, endpoint="no-such-host.invalid")
    place = Place("no-such-host.invalid", 8883, b"")
    monkeypatch.setattr(doctor_link, "place_of", lambda clients: place)
    only_broken(report(), "endpoint", "cannot be resolved", "DNS")


def test_nobody_at_the_port(report: Report, made: Provisioned) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    edit(made, port=port)
    only_broken(report(), "TCP", f"localhost:{port} cannot be reached", f"open TCP {port}")


def test_wrong_authority(report: Report, made: Provisioned) -> None:
    made.folder.ca.write_bytes(pki.authority())
    only_broken(report(), "TLS", "the server's certificate", "ca.pem && python -m tools provision")


def test_wrong_host_name(
    report: Report, made: Provisioned, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 127.0.0.2 is this computer, and not in MiniStack's certificate.
    edit(made, endpoint="127.0.0.2")
    place = Place("127.0.0.2", made.place.port, made.place.ca_pem)
    monkeypatch.setattr(doctor_link, "place_of", lambda clients: place)
    only_broken(report(), "TLS", "mismatch", "ca.pem && python -m tools provision")


# AWS.


class Dated:
    """An "iot" client whose answers come from another time."""

    def __init__(self, iot: Any, date: str) -> None:
        self._iot, self._date = iot, date

    def describe_endpoint(self, **arguments: Any) -> Any:
        answer = self._iot.describe_endpoint(**arguments)
        answer["ResponseMetadata"]["HTTPHeaders"]["date"] = self._date
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._iot, name)


@pytest.mark.parametrize(("seconds", "side"), [(600, "behind"), (-600, "ahead")])
def test_clock(clients: Clients, made: Provisioned, seconds: int, side: str, cloud: Any) -> None:
    then = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=seconds)
    shifted = Clients(cloud.info)
    shifted._made["iot"] = Dated(clients.iot, f"{then:%a, %d %b %Y %H:%M:%S GMT}")
    found = doctor.examine(shifted, made.record.thing_name, made.folder.path)
    only_broken({f.check: f for f in found}, "clock", f"s {side} of AWS", "timedatectl")


@pytest.mark.parametrize(
    ("status", "remedy"), [("INACTIVE", "--new-status ACTIVE"), ("REVOKED", "rotate")]
)
def test_certificate_not_active(
    clients: Clients,
    report: Report,
    made: Provisioned,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    remedy: str,
) -> None:
    number = made.record.certificate_id
    clients.iot.update_certificate(certificateId=number, newStatus=status)
    # MiniStack refuses such a certificate at the MQTT CONNECT, AWS at the handshake or there.
    only_broken(report(), "certificate", f"it is {status}", remedy)


def test_certificate_gone(clients: Clients, report: Report, made: Provisioned) -> None:
    number, arn = made.record.certificate_id, made.record.certificate_arn
    clients.iot.update_certificate(certificateId=number, newStatus="INACTIVE")
    clients.iot.detach_thing_principal(thingName=made.record.thing_name, principal=arn)
    clients.iot.delete_certificate(certificateId=number, forceDelete=True)
    found = report()
    assert found["certificate"].state == FAILED
    assert "not in this account and region" in found["certificate"].text
    assert "rotate" in found["certificate"].remedy


def test_another_certificate_than_the_recorded_one(
    clients: Clients, report: Report, made: Provisioned
) -> None:
    other = clients.iot.create_keys_and_certificate(setAsActive=True)
    made.folder.cert.write_text(other["certificatePem"])
    made.folder.key.write_text(other["keyPair"]["PrivateKey"])
    only_broken(report(), "certificate", "it is not the one in", "rotate")


def test_not_attached(clients: Clients, report: Report, made: Provisioned) -> None:
    clients.iot.detach_thing_principal(
        thingName=made.record.thing_name, principal=made.record.certificate_arn
    )
    only_broken(report(), "thing", "is not attached to it", "provision")
    remedy = provision(clients, made.record.thing_name, made.folder.path)
    assert not remedy.fresh
    assert report()["thing"].state == OK


def test_a_policy_is_missing(clients: Clients, report: Report, made: Provisioned) -> None:
    clients.iot.detach_policy(policyName="fieldmouse-hear", target=made.record.certificate_arn)
    only_broken(report(), "policies", "iot:Subscribe on topicfilter/devices/", "provision")
    provision(clients, made.record.thing_name, made.folder.path)
    assert report()["policies"].state == OK


def test_a_topic_of_ones_own_that_no_policy_knows(report: Report, made: Provisioned) -> None:
    edit(made, telemetry_topic="dt/{thing}/temp")
    only_broken(report(), "policies", "iot:Publish on topic/dt/patient-", "--update-policy")


def test_a_policy_that_lets_anybody_in(
    clients: Clients, report: Report, made: Provisioned
) -> None:
    wide = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [wide]})
    clients.iot.create_policy(policyName="wide", policyDocument=text)
    arn = made.record.certificate_arn
    clients.iot.attach_policy(policyName="wide", target=arn)
    try:
        only_broken(report(), "other client id", "connect under any name", arn)
    finally:
        clients.iot.detach_policy(policyName="wide", target=arn)
        clients.iot.delete_policy(policyName="wide")


class Connections:
    """An "iot-data" client that knows one connection."""

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    def get_connection(self, clientId: str) -> dict[str, Any]:
        return self._fields


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
    cloud: Any, made: Provisioned, fields: Any, state: str, text: str, remedy: str
) -> None:
    knowing = Clients(cloud.info)
    knowing._made["iot-data"] = Connections(**fields)
    examined = doctor.examine(knowing, made.record.thing_name, made.folder.path)
    found = {f.check: f for f in examined}
    if state == FAILED:
        only_broken(found, "last session", text, remedy)
    else:
        assert (found["last session"].state, found["last session"].remedy) == (state, remedy)
        assert text in found["last session"].text


# The command.


def test_the_command(
    cloud: Any,
    made: Provisioned,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FIELDMOUSE_CLOUD", str(local.write(cloud.info, tmp_path / "cloud.json")))
    words = ["doctor", made.record.thing_name, "--out", str(made.folder.path), "--local"]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert "ok   config: " in shown
    assert "FAIL" not in shown
    made.folder.key.unlink()
    assert cli.main(words) == 1
    shown = capsys.readouterr().out
    assert "FAIL files: key: no such file" in shown
    assert "try: python -m tools rotate" in shown
    assert "-    TLS: not tried, as files is not good" in shown


def test_skew_is_below_what_aws_refuses() -> None:
    assert doctor_cloud.SKEW_S < 300
