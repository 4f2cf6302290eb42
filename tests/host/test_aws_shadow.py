"""Shadows and commands from the host: parsed, checked by the firmware's table, followed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from tests.host.aws_fakes import Faulty, client_error, environment
from tools import cli
from tools.aws import command, local, shadow
from tools.aws.clients import Clients
from tools.errors import ToolError


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Clients]:
    environment(monkeypatch)
    monkeypatch.setenv("FIELDMOUSE_THINGS", str(tmp_path / "things"))
    with mock_aws():
        made = Clients()
        made.iot.create_thing(thingName="greenhouse-1")
        yield made


def report(clients: Clients, **values: Any) -> None:
    payload = json.dumps({"state": {"reported": values}})
    clients.data.update_thing_shadow(thingName="greenhouse-1", payload=payload)


# Words on the command line.


def test_values_are_json_or_text() -> None:
    words = ["interval_s=5", "sensor=sht3x@0x44", "i2c.sda=21", "i2c.scl=22", "x=null", "y=a=b"]
    assert shadow.parse(words) == {
        "interval_s": 5,
        "sensor": "sht3x@0x44",
        "i2c": {"sda": 21, "scl": 22},
        "x": None,
        "y": "a=b",
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["interval_s"], "'interval_s' is not KEY=VALUE"),
        (["=5"], "is not KEY=VALUE"),
        (["i2c..sda=5"], "is not KEY=VALUE"),
        (["a=1", "a=2"], "a is given twice"),
        (["a=1", "a.b=2"], "a is given as a value and as a group"),
        (["a.b=1", "a=2"], "a is given twice"),
    ],
)
def test_words_that_are_no_assignments(words: list[str], expected: str) -> None:
    with pytest.raises(ToolError, match=expected):
        shadow.parse(words)


def test_infinity_is_text_because_it_is_not_json() -> None:
    assert shadow.parse(["a=NaN", "b=-Infinity"]) == {"a": "NaN", "b": "-Infinity"}


# The check before anything is sent.


def test_good_wishes_pass() -> None:
    shadow.check({"interval_s": 5, "i2c": {"sda": 4}, "sensor": "auto", "drain_per_s": None}, {})


@pytest.mark.parametrize(
    ("desired", "expected"),
    [
        ({"intervall_s": 5}, "intervall_s: unknown setting; did you mean interval_s"),
        ({"interval_s": 0}, "interval_s: must be a whole number from 1 to 86400"),
        ({"interval_s": "5"}, "interval_s: must be"),
        ({"endpoint": "x.example"}, "endpoint: cannot be changed from the cloud"),
        ({"i2c": {"sda": 22}}, "i2c: scl: must not be the pin of sda"),
    ],
)
def test_what_the_device_would_refuse_is_not_sent(desired: dict[str, Any], expected: str) -> None:
    with pytest.raises(ToolError) as caught:
        shadow.check(desired, {})
    assert expected.split(";")[0] in str(caught.value)


def test_pins_are_checked_against_those_in_use() -> None:
    shadow.check({"i2c": {"sda": 22}}, {"i2c": {"id": 0, "sda": 4, "scl": 5, "freq_hz": 100000}})
    with pytest.raises(ToolError, match="i2c"):
        shadow.check({"i2c": {"sda": 5}}, {"i2c": {"id": 0, "sda": 4, "scl": 5, "freq_hz": 1000}})


@pytest.mark.parametrize("junk", [7, None, [], {"sda": "x"}, {"zebra": 1}])
def test_what_is_reported_may_be_anything(junk: Any) -> None:
    shadow.check({"i2c": {"sda": 5}}, {"i2c": junk, "interval_s": "soon", "zebra": 1})


# What the device answers.


def document(desired: Any, reported: Any, asked: int = 10, told: int = 10) -> dict[str, Any]:
    stamp = {"rejected": {"interval_s": {"timestamp": told}}}
    return {
        "state": {"desired": desired, "reported": reported},
        "metadata": {"desired": {"interval_s": {"timestamp": asked}}, "reported": stamp},
    }


def test_met_when_reported_with_the_same_value_and_type() -> None:
    desired = {"interval_s": 1}
    assert shadow.answer(document(desired, {"interval_s": 1}), desired).met == ("interval_s",)
    for other in (2, True, "1", None):
        assert shadow.answer(document(desired, {"interval_s": other}), desired).open == (
            "interval_s",
        )


def test_a_part_of_i2c_is_met_by_the_whole() -> None:
    reported = {"i2c": {"id": 0, "sda": 4, "scl": 5}}
    assert shadow.answer(document({}, reported), {"i2c": {"sda": 4}}).met == ("i2c",)
    assert shadow.answer(document({}, reported), {"i2c": {"sda": 5}}).open == ("i2c",)


def test_a_refusal_counts_unless_it_is_older_than_the_wish() -> None:
    desired = {"interval_s": 5}
    refusal = {"interval_s": 60, "rejected": {"interval_s": "flat battery"}}
    said = shadow.answer(document(desired, refusal), desired)
    assert said.refused == {"interval_s": "flat battery"}
    assert shadow.answer(document(desired, refusal, asked=11), desired).open == ("interval_s",)


@pytest.mark.parametrize("odd", [None, {}, {"state": {}}, {"state": {"reported": None}}])
def test_an_odd_shadow_is_no_answer(odd: Any) -> None:
    assert shadow.answer(odd, {"interval_s": 5}).open == ("interval_s",)


def test_follow_waits_for_the_last_of_them() -> None:
    states = iter(
        [
            None,
            document({}, {"interval_s": 5}),
            document({}, {"interval_s": 5, "sensor": "sht3x"}),
        ]
    )
    pauses: list[float] = []
    said = shadow.follow(
        lambda: next(states), {"interval_s": 5, "sensor": "sht3x"}, 60, pauses.append
    )
    assert said.met == ("interval_s", "sensor")
    assert len(pauses) == 2


def test_follow_gives_up() -> None:
    said = shadow.follow(lambda: None, {"interval_s": 5}, 0)
    assert said.open == ("interval_s",)


# The commands, on moto.


def run(*words: str) -> int:
    return cli.main(list(words))


def test_get_set_delete(clients: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    report(clients, interval_s=60)
    assert run("shadow", "set", "greenhouse-1", "interval_s=5", "--no-wait") == 0
    report(clients, interval_s=5)
    assert run("shadow", "set", "greenhouse-1", "interval_s=5") == 0
    assert "interval_s is 5" in capsys.readouterr().out
    assert run("shadow", "get", "greenhouse-1") == 0
    assert json.loads(capsys.readouterr().out)["state"]["desired"] == {"interval_s": 5}
    assert run("shadow", "delete", "greenhouse-1") == 0
    assert shadow.get(clients.data, "greenhouse-1") is None


def test_delete_where_there_is_none(clients: Clients) -> None:
    # moto knows no such answer.
    error = client_error("ResourceNotFoundException", "DeleteThingShadow")
    assert not shadow.delete(Faulty(clients.data, 1, error), "greenhouse-1")


def test_set_says_what_the_device_refuses_and_what_it_did_not_answer(
    clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("shadow", "set", "greenhouse-1", "interval_s=5", "--timeout", "0")
    assert run(*words) == 2
    shown = capsys.readouterr().err
    assert "interval_s: no answer within 0 s" in shown
    assert "interval_s=null" in shown
    report(clients, rejected={"interval_s": "too fast for this battery"})
    assert run(*words) == 2
    assert "refuses: too fast for this battery" in capsys.readouterr().err


def test_a_bad_wish_reaches_nobody(clients: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("shadow", "set", "greenhouse-1", "interval_s=0") == 2
    assert "interval_s: must be" in capsys.readouterr().err
    assert shadow.get(clients.data, "greenhouse-1") is None
    assert run("shadow", "set", "greenhouse-1") == 2


def test_a_named_shadow(clients: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("shadow", "set", "greenhouse-1", "anything=1", "--name", "notes") == 0
    found = shadow.get(clients.data, "greenhouse-1", "notes")
    assert found is not None
    assert found["state"]["desired"] == {"anything": 1}
    assert shadow.get(clients.data, "greenhouse-1") is None


@pytest.mark.parametrize(
    "words",
    [
        ("shadow", "get", "greenhouse-2"),
        ("shadow", "set", "greenhouse-2", "interval_s=5"),
        ("command", "greenhouse-2", "read_now"),
    ],
)
def test_a_thing_that_is_not_there(
    clients: Clients, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run(*words) == 2
    shown = capsys.readouterr().err
    assert "there is no thing greenhouse-2" in shown
    assert "greenhouse-1" in shown


def test_get_before_there_is_one(clients: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("shadow", "get", "greenhouse-1") == 2
    assert "has no shadow yet" in capsys.readouterr().err


def published(clients: Clients) -> list[tuple[str, dict[str, Any]]]:
    from moto.backends import get_backend

    from tests.host.aws_fakes import ACCOUNT, REGION

    sent = get_backend("iot-data")[ACCOUNT][REGION].published_payloads
    return [(topic, json.loads(payload)) for topic, payload in sent]


def test_a_command(clients: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "command",
        "greenhouse-1",
        "set_reporting_interval",
        "interval_seconds=5",
        "--id",
        "7a",
    )
    assert run(*words) == 0
    wanted = {"id": "7a", "action": "set_reporting_interval", "interval_seconds": 5}
    assert published(clients) == [("devices/greenhouse-1/commands", wanted)]


def test_each_command_has_an_id_of_its_own() -> None:
    made = {json.loads(command.build("read_now", {}))["id"] for _ in range(50)}
    assert len(made) == 50


def test_a_topic_of_ones_own(clients: Clients, tmp_path: Path) -> None:
    folder = tmp_path / "things" / "greenhouse-1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"command_topic": "cmd/{thing}"}')
    assert run("command", "greenhouse-1", "read_now") == 0
    assert published(clients)[0][0] == "cmd/greenhouse-1"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["fly"], "unknown action"),
        (["read_noww"], "read_now"),
        (["set_reporting_interval"], "interval_seconds: must be"),
        (["set_reporting_interval", "interval_seconds=0"], "interval_seconds: must be"),
        (["set_reporting_interval", "interval_seconds=soon"], "interval_seconds: must be"),
        (["read_now", "--id", "x" * 65], "id: must be"),
    ],
)
def test_a_bad_command_reaches_nobody(
    clients: Clients, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    assert run("command", "greenhouse-1", *words) == 2
    assert expected in capsys.readouterr().err
    assert published(clients) == []


# --local


def test_local_without_a_cloud(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIELDMOUSE_CLOUD", str(tmp_path / "cloud.json"))
    assert run("shadow", "get", "greenhouse-1", "--local") == 2
    shown = capsys.readouterr().err
    assert "no local AWS is running" in shown
    assert "make sim" in shown


def test_the_local_cloud_is_written_read_and_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "cloud.json"
    cloud = local.Cloud("http://127.0.0.1:4566", 8883, tmp_path / "ca.pem")
    local.write(cloud, file)
    assert local.read(file) == cloud
    local.forget(file)
    local.forget(file)
    with pytest.raises(ToolError, match="no local AWS is running"):
        local.read(file)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"ca_file": "x", "odd": 1}'])
def test_a_damaged_cloud_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "cloud.json"
    file.write_text(content)
    with pytest.raises(ToolError, match="cannot be used"):
        local.read(file)


def test_local_clients_use_nothing_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREALLYMINE000000")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://192.0.2.1")
    monkeypatch.setenv("AWS_REGION", "ap-southeast-2")
    made = Clients(local.Cloud("http://127.0.0.1:4566", 8883, tmp_path / "ca.pem"))
    assert made.iot.meta.endpoint_url == "http://127.0.0.1:4566"
    assert made.region == "us-east-1"
    assert made.iot._request_signer._credentials.access_key == "test"
