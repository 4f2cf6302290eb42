"""Provisioning on moto: what is made, and that no failure at any point leaves an orphan."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path
from typing import Any

import certifi
import pytest
from botocore.awsrequest import AWSResponse
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.host.aws_fakes import (
    NETWORK_GONE,
    WIFI,
    Faulty,
    FaultyClients,
    client_error,
    empty_account,
    files,
)
from tools.aws import certificates, retire
from tools.aws.clients import Clients
from tools.aws.policy import Policies
from tools.aws.provision import ROOTS, Place, Provisioned, provision
from tools.errors import ToolError

FILES = {"config.json", "thing.json", "certs/ca.pem", "certs/cert.pem", "certs/key.pem"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "things" / "greenhouse-1"


def make(clients: Clients, out: Path, **more: Any) -> Provisioned:
    return provision(clients, "greenhouse-1", out, **{"wifi": WIFI, **more})


def config_of(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())


def active_without_thing(iot: Any) -> list[str]:
    active = [c for c in iot.list_certificates()["certificates"] if c["status"] == "ACTIVE"]
    return [
        c["certificateId"]
        for c in active
        if not iot.list_principal_things(principal=c["certificateArn"])["things"]
    ]


def remains(iot: Any) -> tuple[int, int, int]:
    return (
        len(iot.list_things()["things"]),
        len(iot.list_certificates()["certificates"]),
        len(iot.list_policies()["policies"]),
    )


def test_makes_thing_certificate_policies_and_folder(clients: Clients, out: Path) -> None:
    made = make(clients, out, thing_type="thermometer", attributes={"site": "north"})
    iot = clients.iot
    thing = iot.describe_thing(thingName="greenhouse-1")
    assert thing["thingTypeName"] == "thermometer"
    assert thing["attributes"] == {"site": "north"}
    (arn,) = iot.list_thing_principals(thingName="greenhouse-1")["principals"]
    assert arn == made.record.certificate_arn
    found = iot.describe_certificate(certificateId=made.record.certificate_id)
    assert found["certificateDescription"]["status"] == "ACTIVE"
    attached = iot.list_attached_policies(target=arn)["policies"]
    assert {p["policyName"] for p in attached} == {"fieldmouse-send", "fieldmouse-hear"}
    assert files(out) == FILES
    config = config_of(out)
    assert config["endpoint"] == made.place.endpoint
    assert made.place.endpoint.endswith("-ats.iot.eu-west-1.amazonaws.com")
    assert config["wifi"] == WIFI
    record = json.loads((out / "thing.json").read_text())
    assert record["certificate_arn"] == arn
    assert WIFI[0]["password"] not in (out / "thing.json").read_text()
    assert (out / "certs" / "ca.pem").read_bytes() == b"".join(p.read_bytes() for p in ROOTS)


def test_the_key_is_made_here_and_only_for_the_owner(
    clients: Clients, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    iot = Faulty(clients.iot)
    make(FaultyClients(iot), out)
    key = out / "certs" / "key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE((out / "config.json").stat().st_mode) == 0o600
    assert isinstance(certificates.read_key(key), ec.EllipticCurvePrivateKey)
    assert "create_certificate_from_csr" in iot.calls
    assert "create_keys_and_certificate" not in iot.calls
    shown = capfd.readouterr()
    assert "PRIVATE" not in shown.out + shown.err


def test_an_esp8266_gets_an_rsa_key_and_its_pins(clients: Clients, out: Path) -> None:
    make(clients, out, board="esp8266")
    key = certificates.read_key(out / "certs" / "key.pem")
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048
    assert config_of(out)["i2c"]["sda"] == 4


def test_the_csr_names_the_thing_and_carries_the_key() -> None:
    key = certificates.make_key("ec")
    csr = x509.load_pem_x509_csr(certificates.request(key, "t" * 128).encode())
    assert csr.is_signature_valid
    assert csr.public_key() == key.public_key()
    assert csr.subject.rfc4514_string() == "CN=" + "t" * 64


def test_again_changes_nothing(clients: Clients, out: Path) -> None:
    first = make(clients, out)
    before = {name: (out / name).read_bytes() for name in FILES}
    second = make(clients, out)
    assert first.fresh
    assert not second.fresh
    assert {name: (out / name).read_bytes() for name in FILES} == before
    assert remains(clients.iot) == (1, 1, 2)
    (out / "config.json").write_text(json.dumps(config_of(out) | {"interval_s": 5}))
    make(clients, out)
    assert config_of(out)["interval_s"] == 5


def calls_of_a_whole_run(clients: Clients, out: Path) -> int:
    iot = Faulty(clients.iot)
    make(FaultyClients(iot), out, thing_type="thermometer")
    return len(iot.calls)


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer lost"])
@pytest.mark.parametrize(
    "error", [NETWORK_GONE, client_error("AccessDeniedException"), KeyboardInterrupt()], ids=type
)
def test_a_failure_at_any_call_leaves_nothing_behind_and_can_be_repeated(
    clients: Clients, tmp_path: Path, error: BaseException, after: bool
) -> None:
    calls = calls_of_a_whole_run(clients, tmp_path / "whole")
    assert calls > 8
    for at in range(1, calls + 1):
        empty_account()
        out = tmp_path / str(at)
        iot = Faulty(clients.iot, at, error, after)
        with pytest.raises((ToolError, KeyboardInterrupt)):
            make(FaultyClients(iot), out, thing_type="thermometer")
        assert active_without_thing(clients.iot) == [], iot.calls[at - 1]
        if not after:
            assert remains(clients.iot) == (0, 0, 0), iot.calls[at - 1]
            assert not out.exists()
        make(clients, out, thing_type="thermometer")
        assert remains(clients.iot)[0] == 1
        assert active_without_thing(clients.iot) == []


def test_when_the_network_is_gone_for_good_the_second_run_continues(
    clients: Clients, tmp_path: Path
) -> None:
    # Nothing can be taken back then; the folder keeps what the next run needs.
    calls = calls_of_a_whole_run(clients, tmp_path / "whole")
    for at in range(1, calls + 1):
        empty_account()
        out = tmp_path / str(at)
        iot = Faulty(clients.iot, at, lasting=True)
        with pytest.raises(ToolError):
            make(FaultyClients(iot), out, thing_type="thermometer")
        assert active_without_thing(clients.iot) == [], iot.calls[at - 1]
        make(clients, out, thing_type="thermometer")
        assert remains(clients.iot) == (1, 1, 2), iot.calls[at - 1]


def test_what_could_not_be_taken_back_is_said(clients: Clients, out: Path) -> None:
    iot = Faulty(clients.iot, 10, lasting=True)
    with pytest.raises(ToolError) as caught:
        provision(FaultyClients(iot), "greenhouse-2", out, wifi=WIFI)
    assert "cannot reach iot.eu-west-1.amazonaws.com" in str(caught.value)
    assert "could not be taken back: certificate" in str(caught.value)
    assert "run the same command again" in caught.value.hint


def test_a_full_disk_leaves_nothing_behind(
    clients: Clients, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ToolError, match="No space left on device"):
        make(clients, out)
    assert remains(clients.iot) == (0, 0, 0)
    assert not out.exists()


# What differs is said.


def test_a_key_without_record_is_used_not_replaced(clients: Clients, out: Path) -> None:
    (out / "certs").mkdir(parents=True)
    certificates.write_secret(
        out / "certs" / "key.pem", certificates.key_pem(certificates.make_key("ec"))
    )
    before = (out / "certs" / "key.pem").read_bytes()
    make(clients, out)
    assert (out / "certs" / "key.pem").read_bytes() == before


def test_a_folder_of_somebody_else(clients: Clients, out: Path) -> None:
    (out / "certs").mkdir(parents=True)
    (out / "certs" / "cert.pem").write_text("x")
    with pytest.raises(ToolError, match=r"cert\.pem is there, but no thing\.json"):
        make(clients, out)
    assert remains(clients.iot) == (0, 0, 0)


def test_a_thing_whose_key_is_elsewhere(clients: Clients, out: Path) -> None:
    make(clients, out)
    with pytest.raises(ToolError, match="has a certificate already"):
        make(clients, out.with_name("elsewhere"))
    assert remains(clients.iot) == (1, 1, 2)


def test_a_certificate_that_is_gone_or_switched_off(clients: Clients, out: Path) -> None:
    record = make(clients, out).record
    number = record.certificate_id
    clients.iot.update_certificate(certificateId=number, newStatus="REVOKED")
    with pytest.raises(ToolError, match="is REVOKED") as caught:
        make(clients, out)
    assert "rotate greenhouse-1" in caught.value.hint
    clients.iot.detach_thing_principal(thingName="greenhouse-1", principal=record.certificate_arn)
    clients.iot.delete_certificate(certificateId=number, forceDelete=True)
    with pytest.raises(ToolError, match="no longer in AWS"):
        make(clients, out)


def test_another_account_or_region(clients: Clients, out: Path) -> None:
    make(clients, out)
    record = json.loads((out / "thing.json").read_text())
    record["thing_arn"] = "arn:aws:iot:us-east-1:000000000000:thing/greenhouse-1"
    (out / "thing.json").write_text(json.dumps(record))
    with pytest.raises(ToolError, match="belongs to arn:aws:iot:us-east-1"):
        make(clients, out)


def test_another_type_or_other_attributes(clients: Clients, out: Path) -> None:
    make(clients, out, attributes={"site": "north"})
    with pytest.raises(ToolError, match="other attributes: site"):
        make(clients, out, attributes={"site": "south"})
    with pytest.raises(ToolError, match="has the type None"):
        make(clients, out, thing_type="thermometer")


def test_an_endpoint_of_ones_own_is_noted_and_another_thing_refused(
    clients: Clients, out: Path
) -> None:
    place = Place("abc-ats.iot.eu-west-1.amazonaws.com", 8883, ROOTS[0].read_bytes())
    assert make(clients, out, place=place).notes == ()
    config = config_of(out) | {"endpoint": "iot.example.org"}
    (out / "config.json").write_text(json.dumps(config))
    (note,) = make(clients, out, place=place).notes
    assert "endpoint is iot.example.org, AWS says abc-ats" in note
    (out / "config.json").write_text(json.dumps(config | {"thing_name": "other"}))
    with pytest.raises(ToolError, match="is for another thing"):
        make(clients, out)


def test_damaged_files_of_the_folder(clients: Clients, out: Path) -> None:
    make(clients, out)
    (out / "config.json").write_text("{")
    with pytest.raises(ToolError, match="not readable JSON"):
        make(clients, out)
    (out / "config.json").unlink()
    (out / "thing.json").write_text("{}")
    with pytest.raises(ToolError, match=r"thing\.json is damaged"):
        make(clients, out)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ü", "x" * 129, "a#", "../etc"])
def test_names_aws_would_refuse(clients: Clients, out: Path, name: str) -> None:
    iot = Faulty(clients.iot)
    with pytest.raises(ToolError, match="must be 1 to 128 characters"):
        provision(FaultyClients(iot), name, out, wifi=WIFI)
    assert iot.calls == []


def test_a_bad_setting_is_found_before_anything_is_made(clients: Clients, out: Path) -> None:
    with pytest.raises(ToolError, match="interval_s: must be") as caught:
        make(clients, out, settings={"interval_s": 0})
    assert WIFI[0]["password"] not in str(caught.value)
    assert remains(clients.iot) == (0, 0, 0)
    with pytest.raises(ToolError, match="wifi: is missing"):
        make(clients, out, wifi=())


# Policies.


def test_a_policy_that_differs_is_not_changed_unasked(clients: Clients, out: Path) -> None:
    other = json.dumps({"Version": "2012-10-17", "Statement": []})
    clients.iot.create_policy(policyName="fieldmouse-send", policyDocument=other)
    with pytest.raises(ToolError, match="fieldmouse-send in AWS is not the one") as caught:
        make(clients, out)
    assert "--update-policy" in caught.value.hint
    assert clients.iot.get_policy(policyName="fieldmouse-send")["policyDocument"] == other
    for number in range(2, 6):
        text = json.dumps({"Version": "2012-10-17", "Statement": [], "Id": str(number)})
        clients.iot.create_policy_version(policyName="fieldmouse-send", policyDocument=text)
    make(clients, out, policies=Policies(clients.iot, update=True))
    now = json.loads(clients.iot.get_policy(policyName="fieldmouse-send")["policyDocument"])
    assert now["Statement"][0]["Action"] == "iot:Connect"
    versions = clients.iot.list_policy_versions(policyName="fieldmouse-send")["policyVersions"]
    assert len(versions) == 5


def test_two_things_share_the_policies(clients: Clients, out: Path) -> None:
    shared = Policies(clients.iot)
    make(clients, out, policies=shared)
    provision(clients, "greenhouse-2", out.with_name("2"), wifi=WIFI, policies=shared)
    assert remains(clients.iot) == (2, 2, 2)


def test_a_failure_does_not_remove_a_policy_somebody_uses(clients: Clients, out: Path) -> None:
    make(clients, out)
    iot = Faulty(clients.iot, 9, client_error("AccessDeniedException"))
    with pytest.raises(ToolError):
        provision(FaultyClients(iot), "greenhouse-2", out.with_name("2"), wifi=WIFI)
    assert remains(clients.iot) == (1, 1, 2)


def test_the_roots_are_certifis(clients: Clients) -> None:
    known = certifi.contents()
    for root in ROOTS:
        assert root.read_text().strip() in known


def test_throttling_is_waited_out(clients: Clients, out: Path) -> None:
    answers = [429, 400]

    def throttle(request: Any, **_: Any) -> AWSResponse | None:
        if not answers:
            return None
        headers = {"x-amzn-errortype": "ThrottlingException"}
        raw = io.BytesIO(b'{"message": "Rate exceeded"}')
        raw.stream = lambda *_, **__: [raw.getvalue()]  # type: ignore[attr-defined]
        return AWSResponse(request.url, answers.pop(), headers, raw)

    clients.iot.meta.events.register_first("before-send.iot.CreateThing", throttle)
    make(clients, out)
    assert answers == []
    assert remains(clients.iot) == (1, 1, 2)


def test_throttling_that_does_not_end_is_said(clients: Clients, out: Path) -> None:
    iot = Faulty(clients.iot, 4, client_error("ThrottlingException", "CreateThing"))
    with pytest.raises(ToolError, match="slow down, also after several tries"):
        make(FaultyClients(iot), out)
    assert remains(clients.iot) == (0, 0, 0)


# Updates by jobs.

BOTH = {"fieldmouse-send", "fieldmouse-hear"}


def attached(made: Provisioned, iot: Any) -> set[str]:
    found = iot.list_attached_policies(target=made.record.certificate_arn)["policies"]
    return {p["policyName"] for p in found}


def again(clients: Clients, out: Path, **more: Any) -> Provisioned:
    return make(clients, out, policies=Policies(clients.iot, update=True), updates=True, **more)


def test_a_thing_that_takes_updates_has_policy_and_key(clients: Clients, out: Path) -> None:
    made = make(clients, out, updates=True)
    assert config_of(out)["updates"] is True
    assert attached(made, clients.iot) == BOTH | {"fieldmouse-update"} == set(made.record.policies)
    left = retire.look(clients, "greenhouse-1", made.folder)
    assert "policy fieldmouse-update" in retire.deprovision(clients, left)
    assert remains(clients.iot) == (0, 0, 0)


@pytest.mark.parametrize(
    "more",
    [
        {"board": "esp8266"},
        {"settings": {"power": "battery"}},
        {"settings": {"updates": False}},
    ],
)
def test_what_cannot_or_shall_not_be_updated_has_none(
    clients: Clients, out: Path, more: dict[str, Any]
) -> None:
    for made in (make(clients, out, updates=True, **more), again(clients, out, **more)):
        assert attached(made, clients.iot) == BOTH
        assert not config_of(out).get("updates")
        assert "updates" not in " ".join(made.notes)


def test_updates_that_the_board_cannot_take_are_refused(clients: Clients, out: Path) -> None:
    with pytest.raises(ToolError, match="ROMFS"):
        make(clients, out, board="esp8266", settings={"updates": True})
    assert remains(clients.iot) == (0, 0, 0)


def test_a_thing_made_before_gets_updates_when_asked(clients: Clients, out: Path) -> None:
    made = make(clients, out)
    before = config_of(out)
    same = make(clients, out, updates=True)  # run again, without --update-policy
    assert config_of(out) == before
    assert attached(same, clients.iot) == BOTH
    now = again(clients, out)
    assert config_of(out) == {**before, "updates": True}
    assert "updates is true now" in " ".join(now.notes)
    assert attached(now, clients.iot) == BOTH | {"fieldmouse-update"} == set(now.record.policies)
    assert now.record.certificate_id == made.record.certificate_id
    assert "updates" not in " ".join(again(clients, out).notes)


def test_the_policy_is_attached_before_the_key_is_written(clients: Clients, out: Path) -> None:
    # AWS ends every session of a board that subscribes to what it may not.
    make(clients, out)
    for at in range(1, 40):
        iot = Faulty(clients.iot, at)
        faulty = FaultyClients(iot)
        try:
            again(faulty, out)
        except ToolError:
            assert "updates" not in config_of(out)
            continue
        break
    assert at > 5
    assert config_of(out)["updates"] is True
