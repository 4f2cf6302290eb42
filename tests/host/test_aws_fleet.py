"""Fleets: what a CSV may hold, rates, interruptions, and that nothing is ever doubled."""

from __future__ import annotations

import collections
import csv
import itertools
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.host.aws_fakes import WIFI, Faulty, FaultyClients
from tools.aws import fleet
from tools.aws.clients import Clients
from tools.aws.fleet import Limiter
from tools.errors import ToolError
from tools.things import bulk
from tools.things import fleet as files
from tools.things.fleet import Spec

SETTINGS: dict[str, Any] = {"wifi": WIFI}


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def rows(count: int) -> list[Spec]:
    return [Spec(f"t-{i}") for i in range(count)]


def counts(iot: Any) -> tuple[int, int]:
    things = [t for p in iot.get_paginator("list_things").paginate() for t in p["things"]]
    return len(things), len(iot.list_certificates(pageSize=250)["certificates"])


# The file.


def test_columns(tmp_path: Path) -> None:
    text = "\ufeffsite,thing,type,board\nnorth,g-1,thermometer,esp8266\n\n ,g-2,,\n"
    assert files.read(write(tmp_path / "f.csv", text)) == [
        Spec("g-1", "thermometer", "esp8266", {"site": "north"}),
        Spec("g-2"),
    ]


@pytest.mark.parametrize("name", ["thing", "thing_name", "name"])
def test_the_column_of_names(tmp_path: Path, name: str) -> None:
    assert files.read(write(tmp_path / "f.csv", f"site,{name}\nx,g-1\n"))[0].thing == "g-1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1: no column named thing"),
        ("thing\n", "no things in it"),
        ("device\ng-1\n", "line 1: no column named thing"),
        ("thing,site,site\n", "line 1: column site twice"),
        ("thing,a b\ng-1,x\n", "line 2: 'a b' is no name for an attribute"),
        ("thing\ng 1\n", "line 2: thing 'g 1' must be 1 to 128 characters"),
        ("thing,site\n,north\n", "line 2: thing '' must be"),
        ("thing\ng-1\ng-2\ng-1\n", "line 4: g-1 is on line 2 already"),
        ("thing\ng-1,x\n", "line 2: 2 cells, but 1 columns"),
        ("thing,board\ng-1,esp99\n", "line 2: no such board: 'esp99'"),
        ("thing,type\ng-1,a b\n", "line 2: type 'a b' is no name"),
        ("thing,site\ng-1,näher dran\n", "line 2: site: AWS takes letters"),
        ("thing,a,b,c,d\ng-1,1,2,3,4\n", "line 2: 4 attributes; without a type AWS takes 3"),
        ('thing\n"g-1\n', "is not a CSV file"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ToolError) as caught:
        files.read(write(tmp_path / "f.csv", text))
    assert expected in str(caught.value)


def test_every_bad_line_is_named_up_to_twenty(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        files.read(write(tmp_path / "f.csv", "thing\n" + "a b\n" * 3))
    assert all(f"line {n}: " in str(caught.value) for n in (2, 3, 4))
    with pytest.raises(ToolError, match="and 480 more"):
        files.read(write(tmp_path / "f.csv", "thing\n" + "".join(f"a {i}\n" for i in range(500))))


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="No such file"):
        files.read(tmp_path / "f.csv")
    (tmp_path / "f.csv").write_bytes(b"thing\n\xff\n")
    with pytest.raises(ToolError, match="is not a CSV file in UTF-8"):
        files.read(tmp_path / "f.csv")


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_a_fleet_or_a_clear_refusal(tmp_path_factory: Any, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    refused = ""
    found: list[Spec] = []
    try:
        found = files.read(write(path, "thing\n" + text))
    except ToolError as e:
        refused = str(e)
    assert found or refused.startswith(str(path))


# Rates.


def test_no_kind_of_call_is_faster_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waited = [100.0], []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(fleet, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    monkeypatch.setattr(fleet, "PER_SECOND", 9)
    limiter = Limiter()
    times = []
    for _ in range(50):
        limiter.wait("CreateThing")
        times.append(now[0])
    assert all(b - a >= 1 / 9 - 1e-9 for a, b in itertools.pairwise(times))
    assert sum(waited) == pytest.approx(49 / 9)
    limiter.wait("AttachPolicy")
    assert sum(waited) == pytest.approx(49 / 9)


def test_every_attempt_of_the_client_goes_through_the_limiter(clients: Clients) -> None:
    seen: collections.Counter[str] = collections.Counter()

    class Counting(Limiter):
        def wait(self, kind: str) -> None:
            seen[kind] += 1

    Counting().attach(clients.iot)
    clients.iot.create_thing(thingName="g")
    clients.iot.list_things()
    assert seen == {"before-send.iot.CreateThing": 1, "before-send.iot.ListThings": 1}


def test_the_default_rate_is_below_ten() -> None:
    assert fleet.PER_SECOND < 10


# Provisioning.


@pytest.fixture
def wifi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIFI_SSID", "field")
    monkeypatch.setenv("WIFI_PASSWORD", "")


def test_a_fleet_and_again(clients: Clients, tmp_path: Path) -> None:
    made = list(fleet.provision_all(clients, rows(20), tmp_path, SETTINGS))
    assert sorted(r.thing for r in made) == sorted(r.thing for r in rows(20))
    assert {r.status for r in made} == {"made"}
    assert counts(clients.iot) == (20, 20)
    assert len(clients.iot.list_policies()["policies"]) == 2
    again = list(fleet.provision_all(clients, rows(22), tmp_path, SETTINGS))
    assert collections.Counter(r.status for r in again) == {"there": 20, "made": 2}
    assert counts(clients.iot) == (22, 22)


def test_interrupted_and_continued_without_doubles(clients: Clients, tmp_path: Path) -> None:
    running = fleet.provision_all(clients, rows(30), tmp_path, SETTINGS)
    for _ in range(5):
        next(running)
    running.close()  # as Ctrl-C does: those under way come to their end, no more begin
    done = counts(clients.iot)
    assert 5 <= done[0] == done[1] < 30
    list(fleet.provision_all(clients, rows(30), tmp_path, SETTINGS))
    assert counts(clients.iot) == (30, 30)


def test_a_failed_thing_does_not_stop_the_others(clients: Clients, tmp_path: Path) -> None:
    iot = Faulty(clients.iot, 25)
    made = list(fleet.provision_all(FaultyClients(iot), rows(20), tmp_path, SETTINGS))
    failed = [r for r in made if r.status == "failed"]
    assert len(failed) == 1
    assert "cannot reach" in failed[0].error
    assert counts(clients.iot) == (19, 19)
    list(fleet.provision_all(clients, rows(20), tmp_path, SETTINGS))
    assert counts(clients.iot) == (20, 20)


def test_the_network_gone_for_good_and_back(clients: Clients, tmp_path: Path) -> None:
    iot = Faulty(clients.iot, 60, lasting=True)
    made = list(fleet.provision_all(FaultyClients(iot), rows(20), tmp_path, SETTINGS))
    assert 0 < sum(r.status == "made" for r in made) < 20
    list(fleet.provision_all(clients, rows(20), tmp_path, SETTINGS))
    assert counts(clients.iot) == (20, 20)


def test_it_is_parallel(clients: Clients, tmp_path: Path) -> None:
    threads: set[int] = set()
    register = clients.iot.meta.events.register
    register("before-send.iot.CreateThing", lambda **_: threads.add(threading.get_ident()))
    list(fleet.provision_all(clients, rows(20), tmp_path, SETTINGS))
    assert 1 < len(threads) <= bulk.PARALLEL


def test_the_command(clients: Clients, wifi: None, tmp_path: Path, said: Any) -> None:
    file = write(tmp_path / "fleet.csv", "thing,site\ng-1,north\ng-2,south\n")
    shown = said("provision", "--from", str(file), "--set", "interval_s=5").out
    assert "2 made, 0 there already; " in shown
    with (tmp_path / "fleet-result.csv").open(newline="") as result:
        found = {r["thing"]: r for r in csv.DictReader(result)}
    assert set(found) == {"g-1", "g-2"}
    assert found["g-1"]["status"] == "made"
    assert Path(found["g-1"]["folder"]) == tmp_path / "g-1"
    assert len(found["g-1"]["certificate_id"]) == 64


def test_the_command_tells_what_failed(
    clients: Clients, wifi: None, tmp_path: Path, said: Any
) -> None:
    clients.iot.create_thing(thingName="g-1", attributePayload={"attributes": {"site": "x"}})
    file = write(tmp_path / "fleet.csv", "thing,site\ng-1,north\ng-2,south\n")
    shown = said("provision", "--from", str(file), code=2)
    assert "1 made, 0 there already; " in shown.out
    assert "g-1: the thing g-1 has other attributes: site" in shown.err
