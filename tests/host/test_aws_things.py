"""The commands that make, list and end things, on moto; and how trouble with AWS is worded."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import botocore.exceptions as boto
import pytest

from tests.host.aws_fakes import WIFI, Faulty, FaultyClients, client_error, environment, files
from tools import cli
from tools.aws import (
    certificates,
    collect,
    errors,
    health,
    health_table,
    local,
    retire,
    rotate,
    shadow,
    viewer,
)
from tools.aws.clients import Clients
from tools.aws.facts import Evidence
from tools.aws.provision import provision
from tools.errors import ToolError
from tools.options import ACCOUNT, Account
from tools.things import bulk, wifi
from tools.things.folder import Folder, things_dir
from tools.toolchain import ROOT

NAME = "greenhouse-1"


@pytest.fixture
def clients(clients: Clients, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clients:
    monkeypatch.setenv("FIELDMOUSE_THINGS", str(tmp_path / "things"))
    monkeypatch.setenv("WIFI_SSID", WIFI[0]["ssid"])
    monkeypatch.setenv("WIFI_PASSWORD", WIFI[0]["password"])
    return clients


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


def test_provision(clients: Clients, folder: Path, said: Any) -> None:
    words = ("provision", NAME, "--type", "thermometer", "--attribute", "site=north")
    shown = said(*words, "--set", "interval_s=30")
    assert f"{NAME}: made" in shown.out
    assert WIFI[0]["password"] not in shown.out + shown.err
    config = json.loads((folder / "config.json").read_text())
    assert (config["interval_s"], config["wifi"], config["updates"]) == (30, WIFI, True)
    assert clients.iot.describe_thing(thingName=NAME)["attributes"] == {"site": "north"}
    assert "all there already" in said("provision", NAME).out


def test_provision_without_updates(clients: Clients, folder: Path) -> None:
    for words in ((), ("--update-policy",), ("--update-policy", "--no-updates")):
        first = [] if folder.exists() else ["--no-updates"]
        assert run("provision", NAME, *words, *first) == 0
        assert json.loads((folder / "config.json").read_text())["updates"] is False
        assert remains(clients.iot) == (1, 1, 2)


def test_a_fleet_made_before_gets_updates(clients: Clients, tmp_path: Path) -> None:
    table = tmp_path / "fleet.csv"
    table.write_text("thing,board\ng-1,esp32\ng-2,esp8266\ng-3,esp32\n")
    assert run("provision", "--from", str(table), "--no-updates") == 0
    homes = [tmp_path / "things" / name / "config.json" for name in ("g-1", "g-2", "g-3")]
    raw = {k: v for k, v in json.loads(homes[0].read_text()).items() if k != "updates"}
    homes[0].write_text(json.dumps(raw))  # as an earlier version has written it
    assert run("provision", "--from", str(table)) == 0
    assert "updates" not in json.loads(homes[0].read_text())
    assert run("provision", "--from", str(table), "--update-policy") == 0
    assert [json.loads(home.read_text())["updates"] for home in homes] == [True, False, False]
    assert remains(clients.iot) == (3, 3, 3)


def test_provision_into_another_folder(clients: Clients, tmp_path: Path, folder: Path) -> None:
    assert run("provision", NAME, "--out", str(tmp_path / "here")) == 0
    assert "thing.json" in files(tmp_path / "here")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [((), "which thing?"), ((NAME, "--from", "x.csv"), "give one thing, or --from")],
)
def test_one_thing_or_a_fleet(
    clients: Clients, said: Any, words: tuple[str, ...], expected: str
) -> None:
    assert expected in said("provision", *words, code=2).err


def test_no_password_on_a_command_line(clients: Clients, said: Any) -> None:
    secret = '[{"ssid": "a", "password": "do not show"}]'
    shown = said("provision", NAME, "--set", f"wifi={secret}", code=2).err
    assert "WIFI_PASSWORD" in shown
    assert "do not show" not in shown


def test_without_terminal_the_missing_variables_are_named(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    monkeypatch.delenv("WIFI_SSID")
    monkeypatch.delenv("WIFI_PASSWORD")
    assert "WIFI_SSID and WIFI_PASSWORD not set" in said("provision", NAME, code=2).err
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


def test_revoke(clients: Clients, said: Any) -> None:
    assert run("provision", NAME) == 0
    shown = said("revoke", NAME, "--yes")
    (found,) = clients.iot.list_certificates()["certificates"]
    assert found["status"] == "REVOKED"
    assert f"{found['certificateId']} is REVOKED" in shown.out
    assert run("revoke", "greenhouse-2", "--yes") == 2


def test_deprovision_removes_what_was_made(clients: Clients, folder: Path, said: Any) -> None:
    assert run("provision", NAME) == 0
    payload = json.dumps({"state": {"reported": {"interval_s": 1}}})
    clients.data.update_thing_shadow(thingName=NAME, payload=payload)
    (folder / "notes.txt").write_text("mine")
    assert run("deprovision", NAME, "--yes") == 0
    assert remains(clients.iot) == (0, 0, 0)
    assert files(folder) == {"notes.txt"}
    (folder / "notes.txt").unlink()
    assert "there is nothing to remove" in said("deprovision", NAME, "--yes").out


def test_deprovision_asks(clients: Clients, monkeypatch: pytest.MonkeyPatch, said: Any) -> None:
    assert run("provision", NAME) == 0
    assert "--yes" in said("deprovision", NAME, code=2).err
    monkeypatch.setattr("tools.options.terminal", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda question, err=False: False)
    assert "nothing was changed" in said("deprovision", NAME, code=2).err
    assert remains(clients.iot) == (1, 1, 3)
    monkeypatch.setattr("typer.confirm", lambda question, err=False: NAME in question)
    assert run("deprovision", NAME) == 0
    assert remains(clients.iot) == (0, 0, 0)


def test_deprovision_leaves_policies_that_others_use(clients: Clients) -> None:
    assert run("provision", NAME) == 0
    assert run("provision", "greenhouse-2") == 0
    assert run("deprovision", NAME, "--yes") == 0
    assert remains(clients.iot) == (1, 1, 3)


def test_deprovision_leaves_what_others_have_made(clients: Clients, said: Any) -> None:
    assert run("provision", NAME) == 0
    other = clients.iot.create_keys_and_certificate(setAsActive=True)
    clients.iot.attach_thing_principal(thingName=NAME, principal=other["certificateArn"])
    shown = said("deprovision", NAME, "--yes", code=2)
    assert "1 certificate(s) of it were not made here" in shown.err
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
    pytest.fail("deprovision never came to its end")


def test_a_certificate_of_many_things_is_detached_from_all(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = clients.iot.create_keys_and_certificate(setAsActive=True)
    number, arn = made["certificateId"], made["certificateArn"]
    pages = [{"things": ["a", "b"], "nextToken": "1"}, {"things": ["c"]}]
    detached: list[str] = []

    def detach(thingName: str, principal: str) -> None:
        detached.append(thingName)

    monkeypatch.setattr(clients.iot, "list_principal_things", lambda **_: pages.pop(0))
    monkeypatch.setattr(clients.iot, "detach_thing_principal", detach)
    certificates.discard(clients.iot, number, arn)
    assert detached == ["a", "b", "c"]
    assert clients.iot.list_certificates()["certificates"] == []


# Many things at once.


@pytest.fixture
def fleet(clients: Clients, tmp_path: Path) -> Path:
    """Three things, of which one is not in AWS, in a file with a column that AWS would refuse."""
    for name in ("g-1", "g-2"):
        assert run("provision", name) == 0
    file = tmp_path / "fleet-result.csv"
    file.write_text("thing,status,error\ng-1,made,\ng-9,failed,it's over\ng-2,made,\n")
    return file


def statuses(clients: Clients) -> list[str]:
    return sorted(c["status"] for c in clients.iot.list_certificates()["certificates"])


def test_a_fleet_is_revoked_but_for_the_one_that_fails(
    clients: Clients, fleet: Path, said: Any
) -> None:
    assert "--yes to not be asked" in said("revoke", "--from", str(fleet), code=2).err
    assert statuses(clients) == ["ACTIVE", "ACTIVE"]
    shown = said("revoke", "--from", str(fleet), "--yes", code=2)
    assert shown.out.count("is REVOKED") == 2
    assert "2 done, 1 failed" in shown.out
    assert "g-9: g-9 has no certificate of ours" in shown.err
    assert statuses(clients) == ["REVOKED", "REVOKED"]


def test_a_fleet_from_standard_input_is_deprovisioned(
    clients: Clients, fleet: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(fleet.read_text()))
    assert run("deprovision", "--from", "-", "--yes") == 0
    assert remains(clients.iot) == (0, 0, 0)
    assert not list((tmp_path / "things").iterdir())


def test_a_fleet_is_rotated(
    clients: Clients, fleet: Path, monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    before = {c["certificateId"] for c in clients.iot.list_certificates()["certificates"]}
    monkeypatch.setattr(rotate, "connected", lambda _, records, timeout: records[:1])
    shown = said("rotate", "--from", str(fleet), "--timeout", "1", code=2)
    assert "g-9 is not the whole folder" in shown.err.replace("\n", " ")
    assert "not connected within 1 s; both are valid" in shown.err
    assert "1 done, 2 failed" in shown.out
    assert len(statuses(clients)) == 3
    assert run("rotate", "--from", str(fleet), "--now") == 2
    after = {c["certificateId"] for c in clients.iot.list_certificates()["certificates"]}
    assert len(after) == 2
    assert not before & after


def test_what_is_to_be_done_for_a_rotation_keeps_local(
    clients: Clients,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("provision", NAME) == 0
    monkeypatch.setattr(rotate, "connected", lambda _, records, timeout: records)
    with account(Account(local=True)):
        rotate.rotate(clients, {NAME: folder}, 1, False)
    assert f"make deploy THING={NAME} PORT=... LOCAL=1 (in another" in capsys.readouterr().out


def test_settings_of_a_fleet(clients: Clients, fleet: Path, said: Any) -> None:
    words = ("shadow", "set", "--from", str(fleet), "interval_s=5", "drain_per_s=9", "--no-wait")
    assert "there is no thing g-9" in said(*words, code=2).err
    for name in ("g-1", "g-2"):
        found = shadow.get(clients.data, name)
        assert found is not None
        assert found["state"]["desired"] == {"interval_s": 5, "drain_per_s": 9}
    both = said("shadow", "set", "g-1", "--from", str(fleet), "interval_s=5", code=2)
    assert "give one thing, or --from" in both.err


def test_interrupted_no_more_are_begun() -> None:
    begun: list[int] = []
    running = bulk.each(range(100), lambda n: begun.append(n) or n)
    next(running)
    running.close()
    assert 1 <= len(begun) <= 2 * bulk.PARALLEL


def test_interrupted_nobody_waits_for_a_device(clients: Clients, tmp_path: Path) -> None:
    for name in ("g-1", "g-2"):
        clients.iot.create_thing(thingName=name)
    file = tmp_path / "fleet.csv"
    file.write_text("thing\ng-1\ng-2\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "wait", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        begun = time.monotonic()
        words = ("shadow", "set", "--from", str(file), "interval_s=5", "--timeout", "60")
        assert run(*words) == 130
    assert time.monotonic() - begun < 30  # of 60


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--attribute", "a b=1"], "'a b' is no name for an attribute in AWS"),
        (["--attribute", "site=näher dran"], "site: AWS takes letters"),
        (["--attribute", "a=1", "--attribute", "b=1"] * 2, "a is given twice"),
        ([w for n in "abcd" for w in ("--attribute", f"{n}=1")], "without a type AWS takes 3"),
        (["--type", "a b"], "type 'a b' is no name"),
        (["--board", "esp99"], "no such board: 'esp99'"),
    ],
)
def test_attributes_are_checked_before_anything_is_made(
    clients: Clients, said: Any, words: list[str], expected: str
) -> None:
    assert expected in said("provision", NAME, *words, code=2).err
    assert remains(clients.iot) == (0, 0, 0)


# things


def reading(thing: str, age_s: float = 1) -> bytes:
    stamp = int(time.time() - age_s)
    fields = {"device_id": thing, "timestamp": stamp, "temperature": 21.5, "seq": 3}
    return json.dumps(fields).encode()


class Told:
    """Stands in for the telemetry that a listener hears, and for AWS's retained messages."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, clients: Clients) -> None:
        self.readings: dict[str, bytes] = {}
        self.status: dict[str, Any] = {}
        self.denied: set[str] = set()
        self.calls: list[str] = []
        monkeypatch.setattr(viewer, "listening", self._listening)
        self._data = clients.data
        monkeypatch.setattr(Clients, "data", property(lambda _: self))

    @contextlib.contextmanager
    def _listening(self, clients: Any, filters: Any, on_message: Any) -> Iterator[None]:
        if "telemetry" in self.denied:
            raise ToolError("cannot subscribe to devices/+/data: AWS closed the connection")
        for topic, payload in self.readings.items():
            on_message(topic, payload)
        yield

    def get_retained_message(self, topic: str) -> Any:
        self._call("GetRetainedMessage")
        if topic not in self.status:
            raise client_error("ResourceNotFoundException")
        payload = json.dumps(self.status[topic]).encode()
        return {"payload": payload, "lastModifiedTime": int(time.time() - 5) * 1000}

    def get_connection(self, clientId: str) -> Any:
        self._call("GetConnection")
        raise client_error("ResourceNotFoundException")

    def get_thing_shadow(self, **arguments: str) -> Any:
        self._call("GetThingShadow")
        return self._data.get_thing_shadow(**arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.denied:
            raise client_error(
                "AccessDeniedException", text=f"x is not authorized to perform: iot:{name} on"
            )


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, clients: Clients) -> Told:
    return Told(monkeypatch, clients)


BIRTH = {"online": True, "firmware": "1.1.0", "sensor_found": "sht3x@0x44", "clock_source": "ntp"}


def test_things(clients: Clients, told: Told, said: Any) -> None:
    assert run("provision", NAME) == 0
    clients.iot.create_thing(thingName="bare")
    payload = json.dumps({"state": {"reported": {"interval_s": 10}}})
    clients.data.update_thing_shadow(thingName=NAME, payload=payload)
    told.status[f"devices/{NAME}/status"] = BIRTH | {"rssi_dbm": -61}
    told.readings[f"devices/{NAME}/data"] = reading(NAME, 2)
    told.readings["devices/bare/data"] = reading(NAME)  # says that it is another's
    shown = said("things")
    head, *lines = [line.split() for line in shown.out.splitlines()]
    assert [line[:2] for line in lines] == [["bare", "never"], [NAME, "online"]]
    assert {"°C", "dBm", "firmware"} <= set(head)
    assert {"21.50", "s", "10", "-61", "sht3x@0x44", "1.1.0", "known"} <= set(lines[1])
    assert "no certificate" in " ".join(lines[0])
    assert "2 things: 1 never, 1 online" in shown.err
    assert "bare" not in said("things", NAME).out
    assert run("things", "greenhouse-9") == 2


def test_things_that_sleep(clients: Clients, told: Told, said: Any) -> None:
    now = int(time.time())
    for name, wakes_s in (("g-1", 1800), ("g-2", -900)):
        assert run("provision", name) == 0
        payload = json.dumps({"state": {"reported": {"interval_s": 600, "batch": 6}}})
        clients.data.update_thing_shadow(thingName=name, payload=payload)
        more = {"online": False, "asleep_until": now + wakes_s, "waiting_readings": 6}
        told.status[f"devices/{name}/status"] = BIRTH | more
    late, asleep = [line.split() for line in said("things").out.splitlines()[1:]]
    assert late[:2] == ["g-2", "late"] and "overdue for 15 min" in " ".join(late)
    assert asleep[:2] == ["g-1", "asleep"]
    assert " ".join(asleep).endswith(f"until {datetime.fromtimestamp(now + 1800):%H:%M}")
    assert "1.1.0" in asleep
    words = ("--json", "--listen", "0", "--filter")
    (found,) = map(json.loads, said("things", *words, "state=asleep").out.splitlines())
    keys = ("thing", "healthy", "asleep_until", "sensor", "version", "waiting")
    wanted = ["g-1", True, now + 1800, "sht3x@0x44", "1.1.0", None]
    assert [found[key] for key in keys] == wanted
    shown = said("things", *words, f"problem=overdue asleep_until<{now}")
    assert json.loads(shown.out)["thing"] == "g-2"
    assert "1 late" in said("things", "--listen", "0").err


def test_things_as_json_and_filtered(clients: Clients, told: Told, said: Any) -> None:
    for name, version in (("g-10", "1.2.0"), ("g-9", "1.10"), ("g-1", "1.1.9")):
        clients.iot.create_thing(thingName=name)
        told.status[f"devices/{name}/status"] = BIRTH | {"firmware": version}
    shown = said("things", "--json", "--filter", "version<1.10 name~g-*", "--listen", "0")
    found = [json.loads(line) for line in shown.out.splitlines()]
    assert [one["thing"] for one in found] == ["g-1", "g-10"]
    assert found[0]["problems"] == [{"key": "certificate", "text": "no certificate"}]
    page = (ROOT / "docs" / "aws.md").read_text("utf-8")
    assert [key for key in found[0] if f"`{key}`" not in page] == []  # each key is documented
    shown = said("things", "--filter", "rssi>0", "--listen", "0")
    assert (shown.out, shown.err.splitlines()[-1]) == ("", "no things")
    assert "fields: name, " in said("things", "--filter", "colour=red", code=2).err


@pytest.mark.parametrize("many", [1, 30])
def test_what_may_not_be_asked_is_said_and_asked_once(
    clients: Clients, told: Told, said: Any, many: int
) -> None:
    for n in range(many):
        clients.iot.create_thing(thingName=f"g-{n}")
    told.denied = {"GetConnection", "GetRetainedMessage", "GetThingShadow", "telemetry"}
    shown = said("things", "--json")
    one = json.loads(shown.out.splitlines()[0])
    assert one["state"] == "unknown"
    assert one["unknown"]["connection"] == "AWS denies iot:GetConnection"
    assert set(one["unknown"]) == {"connection", "status", "shadow", "telemetry"}
    assert "not known: status: AWS denies iot:GetRetainedMessage" in shown.err
    assert len(told.calls) <= 3 * min(many, 16)  # those under way when the first was denied


def test_certificates_of_many_things_are_listed_at_once(
    clients: Clients, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = clients.iot.create_keys_and_certificate(setAsActive=True)
    for n in range(25):
        clients.iot.create_thing(thingName=f"g-{n}")
    clients.iot.attach_thing_principal(thingName="g-3", principal=made["certificateArn"])
    monkeypatch.setattr(clients.iot, "describe_certificate", None)
    found = {e.thing: e for e in collect.everything(clients, [])}
    assert found["g-3"].certificates == ((made["certificateId"], "ACTIVE"),)
    assert abs(time.time() - (found["g-3"].certified_at or 0)) < 60
    assert found["g-4"].certificates == ()
    assert not any(e.unknown for e in found.values())


def test_listening_ends_when_every_online_thing_was_heard(clients: Clients, told: Told) -> None:
    for name in ("g-1", "g-2", "off"):
        clients.iot.create_thing(thingName=name)
        told.status[f"devices/{name}/status"] = {"online": name != "off"}
        told.readings[f"devices/{name}/data"] = reading(name)
    del told.readings["devices/off/data"]
    began = time.monotonic()
    found = {e.thing: e for e in collect.everything(clients, [], listen_s=60)}
    assert time.monotonic() - began < 30
    assert [found[name].heard_at is not None for name in ("g-1", "g-2", "off")] == [1, 1, 0]
    del told.readings["devices/g-2/data"]
    began = time.monotonic()
    found = {e.thing: e for e in collect.everything(clients, [], listen_s=0.5)}
    assert time.monotonic() - began >= 0.5
    assert found["g-2"].listened_s >= 0.5


def test_a_topic_of_its_own_is_listened_to(clients: Clients, told: Told) -> None:
    assert run("provision", NAME, "--set", "telemetry_topic=farm/{thing}/temp") == 0
    told.status[f"devices/{NAME}/status"] = BIRTH
    told.readings[f"farm/{NAME}/temp"] = reading(NAME)
    (e,) = collect.everything(clients, [NAME], listen_s=5)
    assert e.heard_at is not None


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


@contextlib.contextmanager
def account(given: Account) -> Iterator[None]:
    before = ACCOUNT.set(given)
    yield
    ACCOUNT.reset(before)


def test_the_profile_of_the_command_line_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: Any
) -> None:
    environment(monkeypatch)
    assert Clients().region == "eu-west-1"  # AWS_DEFAULT_REGION
    config = tmp_path / "config"
    keys = "aws_access_key_id = AKIAFARM\naws_secret_access_key = x\n"
    config.write_text(f"[profile farm]\nregion = eu-west-3\n{keys}")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with account(Account("farm")):
        made = Clients()
    assert (made.region, made.credentials()[0]) == ("eu-west-3", "AKIAFARM")
    with account(Account("farm", "us-west-2")):
        assert Clients().region == "us-west-2"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert (Clients().region, Clients().credentials()[0]) == ("eu-west-2", "testing")
    assert "barn" in said("things", "--profile", "barn", code=2).err


def test_the_local_aws_asks_no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment(monkeypatch)
    broken = tmp_path / "config"
    broken.write_text("[profile\n")
    for name, value in (("AWS_PROFILE", "none"), ("AWS_CONFIG_FILE", str(broken))):
        monkeypatch.setenv(name, value)
    cloud = local.Cloud("http://127.0.0.1:1", 2, tmp_path / "ca", region="us-west-1")
    assert Clients(cloud).iot.meta.endpoint_url == "http://127.0.0.1:1"
    assert Clients(cloud).region == "us-west-1"


def test_without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: Any) -> None:
    environment(monkeypatch)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("FIELDMOUSE_THINGS", str(tmp_path))
    monkeypatch.setenv("WIFI_SSID", "x")
    monkeypatch.setenv("WIFI_PASSWORD", "")
    shown = said("provision", NAME, code=2)
    assert shown.err.startswith("error: no AWS credentials found\n  try: ")
    assert not (tmp_path / NAME).exists()
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert "no usable AWS region" in said("things", code=2).err


# Old certificates.


def aged(clients: Clients, monkeypatch: pytest.MonkeyPatch, days: dict[str, int]) -> None:
    """Things with certificates so many days old."""
    iot = clients.iot
    real, ages = iot.describe_certificate, {}
    for thing, age in days.items():
        made = provision(clients, thing, things_dir() / thing, wifi=WIFI)
        ages[made.record.certificate_id] = age

    def described(certificateId: str) -> Any:
        answer = real(certificateId=certificateId)
        born = time.time() - ages[certificateId] * 86_400
        answer["certificateDescription"]["creationDate"] = datetime.fromtimestamp(born)
        return answer

    monkeypatch.setattr(Clients, "iot", property(lambda _: iot))
    monkeypatch.setattr(iot, "describe_certificate", described)


def test_names_of_old_certificates_go_to_rotate(
    clients: Clients, told: Told, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged(clients, monkeypatch, {"g-2": 300, "g-10": 301, "g-1": 299})
    shown = said("things", "--older-than", "300d")
    assert shown.out == "thing\ng-2\ng-10\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(shown.out))
    assert bulk.targets("rotate", "", Path("-")) == ["g-2", "g-10"]
    assert [
        json.loads(line)["thing"]
        for line in said(
            "things", "--older-than", "300d", "--json", "--listen", "0"
        ).out.splitlines()
    ] == ["g-2", "g-10"]
    assert "is compared with a number" in said("things", "--older-than", "old", code=2).err


def test_the_age_has_room_before_the_others() -> None:
    found = [health.assess(Evidence("g-1", certified_at=1.0), 301 * 86_400.0)]
    for kept, wanted in (("certificate", ["thing", "certificate"]), ("thing", ["thing", "state"])):
        made = health_table.table(found, 42, kept=kept)
        assert [column.header for column in made.columns if column.header] == wanted
