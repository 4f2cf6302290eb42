"""The commands that make, list and end things, on moto; and how trouble with AWS is worded."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions as boto
import pytest
from moto import mock_aws

from tests.host.aws_fakes import WIFI, Faulty, FaultyClients, client_error, environment, files
from tools import cli
from tools.aws import certificates, errors, retire, things, wifi
from tools.aws.clients import Clients
from tools.aws.folder import Folder
from tools.aws.provision import provision
from tools.errors import ToolError

NAME = "greenhouse-1"


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Clients]:
    environment(monkeypatch)
    monkeypatch.setenv("FIELDMOUSE_THINGS", str(tmp_path / "things"))
    monkeypatch.setenv("WIFI_SSID", WIFI[0]["ssid"])
    monkeypatch.setenv("WIFI_PASSWORD", WIFI[0]["password"])
    with mock_aws():
        yield Clients()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "things" / NAME


def run(*words: str) -> int:
    return cli.main(list(words))


def remains(iot: Any) -> tuple[int, int, int]:
    return (
        len(iot.list_things()["things"]),
        len(iot.list_certificates()["certificates"]),
        len(iot.list_policies()["policies"]),
    )


# provision


def test_provision(clients: Clients, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("provision", NAME, "--type", "thermometer", "--attribute", "site=north")
    assert run(*words, "--set", "interval_s=30") == 0
    shown = capsys.readouterr()
    assert f"{NAME}: made" in shown.out
    assert WIFI[0]["password"] not in shown.out + shown.err
    config = json.loads((folder / "config.json").read_text())
    assert (config["interval_s"], config["wifi"]) == (30, WIFI)
    assert clients.iot.describe_thing(thingName=NAME)["attributes"] == {"site": "north"}
    assert run("provision", NAME) == 0
    assert "all there already" in capsys.readouterr().out


def test_provision_into_another_folder(clients: Clients, tmp_path: Path, folder: Path) -> None:
    assert run("provision", NAME, "--out", str(tmp_path / "here")) == 0
    assert "thing.json" in files(tmp_path / "here")
    assert not folder.exists()


@pytest.mark.parametrize("words", [(), (NAME, "--from", "x.csv")])
def test_one_thing_or_a_fleet(
    clients: Clients, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run("provision", *words) == 2
    assert "give one thing name, or --from" in capsys.readouterr().err


def test_no_password_on_a_command_line(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = '[{"ssid": "a", "password": "do not show"}]'
    assert run("provision", NAME, "--set", f"wifi={secret}") == 2
    shown = capsys.readouterr().err
    assert "WIFI_PASSWORD" in shown
    assert "do not show" not in shown


def test_without_terminal_the_missing_variables_are_named(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WIFI_SSID")
    monkeypatch.delenv("WIFI_PASSWORD")
    assert run("provision", NAME) == 2
    assert "WIFI_SSID and WIFI_PASSWORD not set" in capsys.readouterr().err
    assert remains(clients.iot) == (0, 0, 0)


def test_wifi_from_environment_or_asked_for() -> None:
    asked: list[tuple[str, bool]] = []

    def ask(question: str, hide: bool) -> str:
        asked.append((question, hide))
        return "answer"

    both = {"WIFI_SSID": "field", "WIFI_PASSWORD": "secret"}
    assert wifi.networks(both, ask) == [{"ssid": "field", "password": "secret"}]
    assert asked == []
    assert wifi.networks({}, ask) == [{"ssid": "answer", "password": "answer"}]
    assert [hide for _, hide in asked] == [False, True]
    assert wifi.networks({"WIFI_SSID": "field", "WIFI_PASSWORD": ""}, None) == [{"ssid": "field"}]
    with pytest.raises(ToolError, match="WIFI_PASSWORD not set"):
        wifi.networks({"WIFI_SSID": "field"}, None)


# revoke and deprovision


def test_revoke(clients: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("provision", NAME) == 0
    assert run("revoke", NAME) == 0
    (found,) = clients.iot.list_certificates()["certificates"]
    assert found["status"] == "REVOKED"
    assert f"{found['certificateId']} is REVOKED" in capsys.readouterr().out
    assert run("revoke", "greenhouse-2") == 2


def test_deprovision_removes_what_was_made(
    clients: Clients, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("provision", NAME) == 0
    payload = json.dumps({"state": {"reported": {"interval_s": 1}}})
    clients.data.update_thing_shadow(thingName=NAME, payload=payload)
    (folder / "notes.txt").write_text("mine")
    assert run("deprovision", NAME, "--yes") == 0
    assert remains(clients.iot) == (0, 0, 0)
    assert files(folder) == {"notes.txt"}
    (folder / "notes.txt").unlink()
    assert run("deprovision", NAME, "--yes") == 0
    assert "there is nothing to remove" in capsys.readouterr().out


def test_deprovision_asks(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("provision", NAME) == 0
    assert run("deprovision", NAME) == 2
    assert "--yes" in capsys.readouterr().err
    monkeypatch.setattr("tools.aws.cli_things.terminal", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda question, err: False)
    assert run("deprovision", NAME) == 2
    assert "nothing was removed" in capsys.readouterr().err
    assert remains(clients.iot) == (1, 1, 2)
    monkeypatch.setattr("typer.confirm", lambda question, err: NAME in question)
    assert run("deprovision", NAME) == 0
    assert remains(clients.iot) == (0, 0, 0)


def test_deprovision_leaves_policies_that_others_use(clients: Clients) -> None:
    assert run("provision", NAME) == 0
    assert run("provision", "greenhouse-2") == 0
    assert run("deprovision", NAME, "--yes") == 0
    assert remains(clients.iot) == (1, 1, 2)


def test_deprovision_leaves_what_others_have_made(
    clients: Clients, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("provision", NAME) == 0
    other = clients.iot.create_keys_and_certificate(setAsActive=True)
    clients.iot.attach_thing_principal(thingName=NAME, principal=other["certificateArn"])
    assert run("deprovision", NAME, "--yes") == 2
    assert "1 certificate(s) of it were not made here" in capsys.readouterr().err
    assert remains(clients.iot) == (1, 1, 0)
    found = clients.iot.describe_certificate(certificateId=other["certificateId"])
    assert found["certificateDescription"]["status"] == "ACTIVE"


def test_deprovision_without_the_folder(clients: Clients, folder: Path) -> None:
    assert run("provision", NAME) == 0
    folder.rename(folder.with_name("lost"))
    assert run("deprovision", NAME, "--yes") == 0
    assert remains(clients.iot) == (0, 0, 0)


def test_deprovision_can_be_repeated_after_a_failure_anywhere(
    clients: Clients, tmp_path: Path
) -> None:
    counted = Faulty(clients.iot)
    provision(clients, NAME, tmp_path / "0", wifi=WIFI)
    retire.deprovision(clients, retire.look(FaultyClients(counted), NAME, Folder(tmp_path / "0")))
    for at in range(1, 30):
        out = tmp_path / str(at)
        provision(clients, NAME, out, wifi=WIFI)
        broken = FaultyClients(Faulty(clients.iot, at))
        broken._made["iot-data"] = clients.data
        try:
            retire.deprovision(broken, retire.look(broken, NAME, Folder(out)))
        except (ToolError, boto.EndpointConnectionError):
            retire.deprovision(clients, retire.look(clients, NAME, Folder(out)))
        else:
            assert at > 10
            assert not out.exists()
            return
        assert remains(clients.iot) == (0, 0, 0), at
        assert not out.exists()
    raise AssertionError("deprovision never came to its end")


def test_a_certificate_of_many_things_is_detached_from_all(clients: Clients) -> None:
    made = clients.iot.create_keys_and_certificate(setAsActive=True)
    number, arn = made["certificateId"], made["certificateArn"]
    pages = [{"things": ["a", "b"], "nextToken": "1"}, {"things": ["c"]}]
    detached: list[str] = []

    class Paged:
        def list_principal_things(self, **_: Any) -> Any:
            return pages.pop(0)

        def detach_thing_principal(self, thingName: str, principal: str) -> None:
            detached.append(thingName)

        def __getattr__(self, name: str) -> Any:
            return getattr(clients.iot, name)

    certificates.discard(Paged(), number, arn)
    assert detached == ["a", "b", "c"]
    assert clients.iot.list_certificates()["certificates"] == []


# things


def test_things(clients: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("provision", NAME) == 0
    clients.iot.create_thing(thingName="bare")
    payload = json.dumps({"state": {"reported": {"interval_s": 1}}})
    clients.data.update_thing_shadow(thingName=NAME, payload=payload)
    capsys.readouterr()
    assert run("things") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    bare = next(line for line in lines if line.startswith("bare"))
    ours = next(line for line in lines if line.startswith(NAME))
    assert re.search(r"none +never$", bare)
    assert re.search(r" ACTIVE +\d+ s +\d+ s$", ours)
    assert run("things", NAME) == 0
    assert "bare" not in capsys.readouterr().out
    assert run("things", "greenhouse-9") == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (86_400 * 3, "3 d"), (-5, "0 s")],
)
def test_ages(seconds: int, text: str) -> None:
    now = dt.datetime(2026, 11, 21, tzinfo=dt.timezone.utc)
    assert things.age(now - dt.timedelta(seconds=seconds), now) == text


# Trouble with AWS: one line and a hint each.

TROUBLE = [
    (boto.NoCredentialsError(), "no AWS credentials found", "aws configure"),
    (boto.PartialCredentialsError(provider="env", cred_var="x"), "no AWS credentials", "aws"),
    (boto.ProfileNotFound(profile="farm"), "farm", "aws configure list"),
    (boto.NoRegionError(), "no usable AWS region", "AWS_REGION="),
    (boto.InvalidRegionError(region_name="x y"), "no usable AWS region", "AWS_REGION="),
    (
        boto.EndpointConnectionError(endpoint_url="https://iot.eu-wst-1.amazonaws.com/things"),
        "cannot reach iot.eu-wst-1.amazonaws.com",
        "region right?",
    ),
    (boto.ConnectTimeoutError(endpoint_url="https://x.example/"), "cannot reach x.example", "net"),
    (boto.ReadTimeoutError(endpoint_url="https://x.example/"), "cannot reach x.example", "net"),
    (boto.ConnectionClosedError(endpoint_url="https://x.example/"), "cannot reach", "network"),
    (boto.SSLError(endpoint_url="https://x.example/", error="x"), "TLS connection", "CA_BUNDLE"),
    (boto.ParamValidationError(report="Invalid\n length"), "would refuse this: ", ""),
    (client_error("ExpiredTokenException"), "credentials have expired", "aws sso login"),
    (client_error("ExpiredToken"), "credentials have expired", "aws"),
    (client_error("UnrecognizedClientException"), "does not accept these credentials", "aws"),
    (client_error("InvalidClientTokenId"), "does not accept these credentials", "aws"),
    (
        client_error(
            "AccessDeniedException",
            text="User: x is not authorized to perform: iot:CreateThing on",
        ),
        "AWS denies iot:CreateThing",
        "docs/aws.md",
    ),
    (client_error("UnauthorizedException"), "AWS denies CreateThing", "docs/aws.md"),
    (client_error("ThrottlingException"), "slow down", "wait a minute"),
    (client_error("LimitExceededException"), "limit of the AWS account", "Service Quotas"),
    (client_error("InternalFailureException"), "fault of its own", "run it again"),
    (client_error("InvalidRequestException", text="odd\n name"), "CreateThing: odd name", ""),
    (client_error("Strange", text=""), "CreateThing: Strange", ""),
]


@pytest.mark.parametrize(("error", "message", "hint"), TROUBLE, ids=lambda x: type(x).__name__)
def test_trouble_is_one_clear_line(error: Exception, message: str, hint: str) -> None:
    told = errors.explain(error)
    assert message in told.message
    assert hint in told.hint
    assert "\n" not in told.message


def test_the_region_comes_from_either_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch)
    assert Clients().region == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert Clients().region == "eu-north-1"


def test_without_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment(monkeypatch)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("FIELDMOUSE_THINGS", str(tmp_path))
    monkeypatch.setenv("WIFI_SSID", "x")
    monkeypatch.setenv("WIFI_PASSWORD", "")
    assert run("provision", NAME) == 2
    assert capsys.readouterr().err.startswith("error: no AWS credentials found\n  try: ")
    assert not (tmp_path / NAME).exists()
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert run("things") == 2
    assert "no usable AWS region" in capsys.readouterr().err
