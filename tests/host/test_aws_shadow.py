"""Shadows and commands from the host: parsed, checked by the firmware's table, followed."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from moto.backends import get_backend

from tests.host.aws_fakes import ACCOUNT, REGION
from tools import cli
from tools.aws import command, health, local, shadow
from tools.aws.clients import Clients
from tools.errors import ToolError

NAME = "greenhouse-1"


@pytest.fixture
def clients(clients: Clients) -> Clients:
    clients.iot.create_thing(thingName=NAME)
    return clients


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


def test_good_values_pass() -> None:
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


def document(desired: Any, reported: Any, asked: int = 10, said: int = 10) -> dict[str, Any]:
    stamp = {"rejected": {"interval_s": {"timestamp": said}}}
    return {
        "state": {"desired": desired, "reported": reported},
        "metadata": {"desired": {"interval_s": {"timestamp": asked}}, "reported": stamp},
    }


def test_applied_when_reported_with_the_same_value_and_type() -> None:
    desired = {"interval_s": 1}
    assert shadow.answer(document(desired, {"interval_s": 1}), desired).applied == {
        "interval_s": 1
    }
    for other in (2, True, "1", None):
        assert shadow.answer(document(desired, {"interval_s": other}), desired).open == (
            "interval_s",
        )


def test_a_part_of_i2c_is_applied_by_the_whole() -> None:
    reported = {"i2c": {"id": 0, "sda": 4, "scl": 5}, "sensor_found": "bme280@0x76"}
    said = shadow.answer(document({}, reported), {"i2c": {"sda": 4}})
    assert said.applied == {"i2c": reported["i2c"]}
    assert shadow.answer(document({}, reported), {"i2c": {"sda": 5}}).open == ("i2c",)


def test_a_sensor_is_on_trial_until_it_is_found() -> None:
    desired = {"sensor": "sht3x"}
    reported = {"sensor": "sht3x", "sensor_last_error": "no sht3x found"}
    said = shadow.answer(document(desired, reported), desired)
    assert (said.on_trial, said.applied, said.final) == ({"sensor": "no sht3x found"}, {}, False)
    reported["sensor_found"] = "sht3x@0x44"
    assert shadow.answer(document(desired, reported), desired).applied == desired
    rejected = {"sensor": "auto", "rejected": {"sensor": "restored: the sensor was lost"}}
    said = shadow.answer(document(desired, rejected), desired)
    assert said.rejected == {"sensor": "restored: the sensor was lost"}


@pytest.mark.parametrize(
    ("was", "reported", "version", "config", "back"),
    [
        ({}, 60, 7, {}, True),  # it was not desired: nothing will happen
        ({"interval_s": 5}, 60, 7, {}, True),
        ({"interval_s": 5}, 5, 7, {}, False),  # not followed yet
        ({"interval_s": 5}, 5, 8, {}, True),  # config.json has the same
        ({"interval_s": 5}, 5, 7, {"interval_s": 5}, True),
        ({"interval_s": 60}, 60, 7, {}, True),  # the default
    ],
)
def test_null_is_back_to_config_json(
    was: dict[str, Any], reported: int, version: int, config: dict[str, Any], back: bool
) -> None:
    found = {"state": {"reported": {"interval_s": reported}}, "version": version}
    said = shadow.answer(found, {"interval_s": None}, shadow.Before(was, 7, config))
    assert said.final is back
    assert said.applied == ({"interval_s": reported} if back else {})


def test_a_rejection_counts_unless_it_is_older_than_the_value() -> None:
    desired = {"interval_s": 5}
    rejection = {"interval_s": 60, "rejected": {"interval_s": "flat battery"}}
    said = shadow.answer(document(desired, rejection), desired)
    assert said.rejected == {"interval_s": "flat battery"}
    assert shadow.answer(document(desired, rejection, asked=11), desired).open == ("interval_s",)


@pytest.mark.parametrize("odd", [None, {}, {"state": {}}, {"state": {"reported": None}}])
def test_an_odd_shadow_is_no_answer(odd: Any) -> None:
    assert shadow.answer(odd, {"interval_s": 5}).open == ("interval_s",)


def test_follow_waits_for_the_last_of_them() -> None:
    states = iter(
        [
            None,
            document({}, {"interval_s": 5}),
            document({}, {"interval_s": 5, "sensor": "sht3x", "sensor_found": "sht3x@0x44"}),
        ]
    )
    pauses: list[float] = []
    said = shadow.follow(
        lambda: next(states), {"interval_s": 5, "sensor": "sht3x"}, 60, pauses.append
    )
    assert list(said.applied) == ["interval_s", "sensor"]
    assert len(pauses) == 2


# The commands, on moto.


def run(*words: str) -> int:
    return cli.main(list(words))


def test_get_set_delete(clients: Clients, said: Any) -> None:
    report(clients, interval_s=60)
    assert run("shadow", "set", "greenhouse-1", "interval_s=5", "--no-wait") == 0
    report(clients, interval_s=5)
    assert "interval_s is 5" in said("shadow", "set", "greenhouse-1", "interval_s=5").out
    assert json.loads(said("shadow", "get", "greenhouse-1").out)["state"]["desired"] == {
        "interval_s": 5
    }
    assert run("shadow", "delete", "greenhouse-1") == 0
    assert shadow.get(clients.data, "greenhouse-1") is None


def test_set_says_what_the_device_refuses_and_what_it_did_not_answer(
    clients: Clients, said: Any
) -> None:
    words = ("shadow", "set", "greenhouse-1", "interval_s=5", "--timeout", "0")
    shown = said(*words, code=2).err
    assert "interval_s: no answer within 0 s" in shown
    assert "interval_s=null" in shown
    report(clients, rejected={"interval_s": "too fast for this battery"})
    assert "has rejected it: too fast for this battery" in said(*words, code=2).err


def test_a_bad_value_reaches_nobody(clients: Clients, said: Any) -> None:
    shown = said("shadow", "set", "greenhouse-1", "interval_s=0", code=2).err
    assert "interval_s: must be" in shown
    assert shadow.get(clients.data, "greenhouse-1") is None
    assert run("shadow", "set", "greenhouse-1") == 2


def test_a_named_shadow(clients: Clients) -> None:
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
def test_a_thing_that_is_not_there(clients: Clients, said: Any, words: tuple[str, ...]) -> None:
    shown = said(*words, code=2).err
    assert "there is no thing greenhouse-2" in shown
    assert "greenhouse-1" in shown


def test_get_before_there_is_one(clients: Clients, said: Any) -> None:
    assert "has no shadow yet" in said("shadow", "get", "greenhouse-1", code=2).err


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the device says to a command, after its status; moto has no MQTT."""
    told: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def listening(clients: Clients, filters: Any, on_message: Any, *_: Any) -> Iterator[None]:
        assert published(clients) == []  # it listens before it sends
        assert filters == [f"devices/{NAME}/commands/result", f"devices/{NAME}/status"]
        for document in told:
            kind = "status" if "online" in document else "commands/result"
            on_message(f"devices/{NAME}/{kind}", json.dumps(document).encode())
        yield

    monkeypatch.setattr("tools.aws.viewer.listening", listening)
    return told


@pytest.mark.parametrize(
    ("action", "told", "code", "out", "err"),
    [
        ("read_now", [{"id": "7", "ok": True}], 0, "greenhouse-1: read_now: done\n", ""),
        ("read_now", [{"id": "8", "ok": True}, {"id": "7", "ok": True}], 0, "done", ""),
        ("reboot", [{"id": "7", "ok": False, "reason": "no \x1b[31m"}], 1, "", r"no \x1b[31m"),
        (
            "get_log",
            [{"id": "7", "ok": True, "log": "one\ntwo\x1b\n", "crash": "boom"}],
            0,
            "boom\none\ntwo\\x1b\n",
            "get_log: done",
        ),
        ("get_log", [{"id": "7", "ok": True}], 0, "", "get_log: done"),
        ("get_log", [{"id": "7", "ok": True, "log": "", "crash": "\n"}], 0, "", "get_log: done"),
        ("get_log", [{"id": "7", "ok": True, "log": "", "crash": ""}], 0, "", "no running log"),
        ("get_log", [{"id": "7", "ok": True, "log": 7}], 0, "", "get_log: done"),
        ("read_now", [{"id": "8", "ok": True}], 2, "", "has not answered (within 0.2 s)"),
        ("read_now", [{"online": True}], 2, "", "has not answered (within 0.2 s)"),
        ("read_now", [{"online": False}], 2, "", "greenhouse-1 is not connected"),
        ("read_now", [{"online": False}, {"online": True}], 2, "", "has not answered"),
    ],
)
def test_the_result_of_a_command(
    clients: Clients,
    said: Any,
    answers: list[dict[str, Any]],
    action: str,
    told: list[dict[str, Any]],
    code: int,
    out: str,
    err: str,
) -> None:
    answers += told
    shown = said("command", NAME, action, "--id", "7", "--timeout", "0.2", code=code)
    assert (out in shown.out) if out else not shown.out
    assert err in shown.err
    assert ("doctor greenhouse-1" in shown.err) == (code == 2)


@pytest.mark.parametrize(
    ("wakes_s", "said_s", "expected", "hint"),
    [
        (1800, 1000, "asleep until {}; AWS keeps the command for an hour\n", "tools watch"),
        (1800, 6000, "asleep until {}; AWS keeps the command for an hour only", "shadow set"),
        (-900, 4000, "overdue for 15 min; AWS keeps the command for an hour", "tools doctor"),
    ],
)
def test_a_command_to_a_board_that_sleeps(
    clients: Clients,
    said: Any,
    answers: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    wakes_s: int,
    said_s: int,
    expected: str,
    hint: str,
) -> None:
    monkeypatch.setattr(command, "AWAKE_S", 0.1)
    now = int(time.time())
    status = {"online": False, "asleep_until": now + wakes_s, "timestamp": now - said_s}
    answers.append(status)
    timeout = "30" if wakes_s > 0 else "0.2"  # one that is overdue is waited for
    shown = said("command", NAME, "read_now", "--timeout", timeout, code=2).err
    wakes = f"{datetime.fromtimestamp(now + wakes_s):%H:%M}"
    assert f"{NAME} is {expected.format(wakes)}" in shown
    assert hint in shown.split("try:")[1]
    answers[:] = [status, {"id": "7", "ok": True}]  # it had just said so, and was awake
    get_backend("iot-data")[ACCOUNT][REGION].published_payloads.clear()
    assert "done" in said("command", NAME, "read_now", "--id", "7").out


def test_what_is_desired_of_a_board_that_sleeps_waits_in_the_shadow(
    clients: Clients, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wakes, data = int(time.time()) + 1800, clients.data
    status: dict[str, Any] = {"online": False, "asleep_until": wakes}

    def retained(topic: str) -> dict[str, Any]:
        assert topic == f"devices/{NAME}/status"
        return {"payload": json.dumps(status).encode(), "lastModifiedTime": 1000 * (wakes - 3600)}

    monkeypatch.setattr(data, "get_retained_message", retained)
    monkeypatch.setattr(Clients, "data", property(lambda _: data))
    monkeypatch.setattr(health, "AWAKE_S", 0.1)
    shown = said("shadow", "set", NAME, "interval_s=30").out
    until = f"{datetime.fromtimestamp(wakes):%H:%M}"
    wanted = f"{NAME}: interval_s: kept in the shadow, the board is asleep until {until}\n"
    assert shown == wanted
    report(clients, interval_s=30)  # it has just said that it sleeps, and still is awake
    assert said("shadow", "set", NAME, "interval_s=30").out == f"{NAME}: interval_s is 30\n"
    status["asleep_until"] -= 2700
    shown = said("shadow", "set", NAME, "interval_s=31", "--timeout", "0.1", code=2).err
    assert "no answer within 0.1 s; it is overdue for 15 min" in shown


@pytest.mark.parametrize("ident", ["7", ""])
def test_no_answer_to_an_id_may_mean_that_it_was_used_before(
    clients: Clients, said: Any, answers: list[Any], ident: str
) -> None:
    words = ["--id", ident] if ident else []
    shown = said("command", NAME, "read_now", "--timeout", "0.1", *words, code=2).err
    assert ("the same id acts once: nothing is done if 7 was sent before" in shown) == bool(ident)
    assert ("try: another --id, or none; python -m tools doctor" in shown) == bool(ident)


def published(clients: Clients) -> list[tuple[str, dict[str, Any]]]:
    sent = get_backend("iot-data")[ACCOUNT][REGION].published_payloads
    return [(topic, json.loads(payload)) for topic, payload in sent]


def test_a_command(clients: Clients) -> None:
    words = ("set_reporting_interval", "interval_seconds=5", "--id", "7a", "--no-wait")
    assert run("command", NAME, *words) == 0
    wanted = {"id": "7a", "action": "set_reporting_interval", "interval_seconds": 5}
    assert published(clients) == [("devices/greenhouse-1/commands", wanted)]


def test_each_command_has_an_id_of_its_own() -> None:
    made = {command.build("read_now", {})["id"] for _ in range(50)}
    assert len(made) == 50


def test_a_topic_of_ones_own(clients: Clients, tmp_path: Path) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "config.json").write_text('{"command_topic": "cmd/{thing}"}')
    assert run("command", "greenhouse-1", "read_now", "--no-wait") == 0
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
    clients: Clients, said: Any, words: list[str], expected: str
) -> None:
    assert expected in said("command", "greenhouse-1", *words, code=2).err
    assert published(clients) == []


# --local


def test_local_without_a_cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: Any) -> None:
    monkeypatch.setenv("FIELDMOUSE_CLOUD", str(tmp_path / "cloud.json"))
    shown = said("shadow", "get", "greenhouse-1", "--local", code=2).err
    assert "no local AWS is running" in shown
    assert "make sim" in shown


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
