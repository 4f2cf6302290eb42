"""`watch` and `cost`: what is shown, kept and reckoned."""

from __future__ import annotations

import csv
import datetime as dt
import json
import queue
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tools.aws import cli_watch, cost, health_filter, health_table, plot
from tools.aws.cost import Usage
from tools.aws.facts import Evidence
from tools.aws.tally import Tally
from tools.aws.watch import Watch
from tools.errors import ToolError

NOON = dt.datetime(2026, 11, 21, 12, tzinfo=dt.timezone.utc).timestamp()
DOCUMENTS = "$aws/things/g-1/shadow/update/documents"


def reading(**more: Any) -> bytes:
    fields = {"device_id": "g-1", "timestamp": 1795248682, "temperature": 21.37, "seq": 1}
    return json.dumps(fields | more).encode()


def shown(seen: Watch) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(seen.table(title="watch"))
    return capture.get()


def clock(unix_s: float) -> str:
    return f"{dt.datetime.fromtimestamp(unix_s):%H:%M:%S}"


def rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text("utf-8").splitlines()))


def test_readings_are_counted_shown_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "readings.csv"
    for temperature in (21.0, 21.5):  # a second run appends
        seen = Watch([], file, lambda: NOON)
        seen.take("devices/g-1/data", reading(temperature=temperature, humidity=40.5))
        seen.close()
    assert seen.things["g-1"].count == 1
    assert "40.5 " in shown(seen)
    assert [row["temperature"] for row in rows(file)] == ["21.0", "21.5"]
    assert rows(file)[0] == {
        "received": "2026-11-21T12:00:00.000+00:00",
        "thing": "g-1",
        "timestamp": "1795248682",
        "temperature": "21.0",
        "humidity": "40.5",
        "pressure": "",
        "co2": "",
        "battery_v": "",
        "seq": "1",
        "time": "",
    }


def test_the_csv_has_what_the_filter_lets_through(tmp_path: Path) -> None:
    file = tmp_path / "r.csv"
    seen = Watch(file=file, now=lambda: NOON, accept=lambda h: h.thing == "g-2")
    for name in ("g-1", "g-2"):
        seen.take(f"devices/{name}/data", reading(device_id=name))
    seen.close()
    assert [row["thing"] for row in rows(file)] == ["g-2"]


def test_an_estimated_time_is_marked(tmp_path: Path) -> None:
    file = tmp_path / "readings.csv"
    seen = Watch([], file, lambda: NOON)
    at = clock(1795248682)
    for seq, (time_is, mark) in enumerate((("", ""), ("estimated", "~"), ("=1+1", ""))):
        seen.take("devices/g-1/data", reading(seq=seq, **{"time": time_is} if time_is else {}))
        assert (f" {mark}{at}" in shown(seen), "~" in shown(seen)) == (True, bool(mark))
    seen.close()
    assert [row["time"] for row in rows(file)] == ["", "estimated", ""]


def test_only_the_wanted_things() -> None:
    seen = Watch(["g-2"])
    seen.take("devices/g-1/data", reading())
    seen.take("devices/g-2/data", reading(device_id="g-2"))
    seen.take("$aws/things/g-1/shadow/update/documents", b"{}")
    assert {name: thing.count for name, thing in seen.things.items()} == {"g-2": 1}
    assert "g-2" in shown(seen)


def test_a_thing_is_who_its_topic_says() -> None:
    seen = Watch()
    seen.take("devices/g-1/data", reading(temperature=20))
    seen.take("devices/mallory/data", reading(temperature=99))  # says that it is g-1
    assert set(seen.things) == {"g-1"}
    last = seen.things["g-1"].evidence.reading or {}
    assert (seen.things["g-1"].count, last["temperature"]) == (1, 20)
    assert seen.odd == 1
    assert seen.odd_last == "devices/mallory/data: says that it is of g-1"
    assert "1 odd messages; devices/mallory/data: says" in shown(seen)


@pytest.mark.parametrize(
    ("data", "topic", "name"),
    [
        ("dt/north/+/temp", "dt/north/g-1/temp", "g-1"),
        ("+/data", "g-1/data", "g-1"),
        ("sensors/data", "sensors/data", "g-1?"),
        ("+/+/data", "north/g-1/data", "g-1?"),
        ("dt/#", "dt/x", "g-1?"),
    ],
)
def test_other_topics(data: str, topic: str, name: str) -> None:
    for wanted in ([], ["g-1"]):
        seen = Watch(wanted, data=data)
        seen.take(topic, reading())
        assert [n for n, thing in seen.things.items() if thing.count] == [name]


def test_a_csv_with_other_columns_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "old.csv"
    old = "received,thing,timestamp,temperature,humidity,pressure,seq\n"  # as 0.1.0 wrote it
    file.write_text(old)
    with pytest.raises(ToolError, match="other columns"):
        Watch([], file)
    assert file.read_text() == old


def test_a_change_of_the_shadow_is_one_line() -> None:
    seen = Watch(now=lambda: NOON)
    before = {"state": {"desired": {"interval_s": 5}, "reported": {"interval_s": 60, "x": 1}}}
    after = {"state": {"desired": {"interval_s": 5}, "reported": {"interval_s": 5, "rssi_dbm": 3}}}
    documents = {"previous": before, "current": after}
    event = seen.take(DOCUMENTS, json.dumps(documents).encode())
    assert event is not None
    assert event.text == "g-1: shadow: interval_s = 5, x = null"
    assert event.fields == {
        "desired": {},
        "reported": {"interval_s": 5, "rssi_dbm": 3, "x": None},
    }
    assert seen.things["g-1"].change == f"{clock(NOON)} interval_s = 5, x = null"
    event = seen.take(DOCUMENTS, json.dumps({"previous": after, "current": after}).encode())
    assert event is not None and event.text == ""
    assert "interval_s = 5" in seen.things["g-1"].change


def test_the_first_shadow_has_no_previous() -> None:
    seen = Watch(now=lambda: NOON)
    first = {"current": {"state": {"desired": {"a": "ü[b]"}}}}
    seen.take(DOCUMENTS, json.dumps(first).encode())
    assert 'a = "ü[b]" desired' in shown(seen)


def test_health_comes_from_what_is_heard_and_what_aws_knew() -> None:
    now = [NOON]
    seen = Watch(now=lambda: now[0])
    seen.take("devices/g-1/data", reading(timestamp=int(NOON)))
    assert "online" in shown(seen)
    shadow = {"state": {"reported": {"interval_s": 5}}}
    seen.learn(Evidence("g-1", shadow=shadow, certificates=(("a", "ACTIVE"),)))
    seen.learn(Evidence("g-2", status={"online": False}, status_at=NOON - 600))
    lines = shown(seen).splitlines()
    assert lines[2].split()[:2] == ["g-2", "offline"] and "not connected for 10 min" in lines[2]
    assert lines[3].split()[:2] == ["g-1", "online"]
    now[0] += 30
    assert "no reading for 30 s; it measures every 5 s" in shown(seen)
    # What is heard is newer than what AWS was asked for.
    seen.take("devices/g-2/status", b'{"online": true}')
    seen.learn(Evidence("g-2", status={"online": False}, status_at=NOON - 600))
    assert "offline" not in shown(seen)


@pytest.mark.parametrize(
    ("data", "topic", "state"),
    [
        ("devices/+/data", "", "late"),
        ("devices/+/data", "devices/g-1/data", "late"),
        ("devices/+/data", "$aws/rules/keep/g-1", "online"),  # nobody can subscribe to that
        ("devices/+/data", "dt/north/g-1", "online"),
        ("dt/+/#", "dt/g-1/temp", "late"),
        ("sensors/data", "sensors/data", "online"),  # its row is g-1?
    ],
)
def test_who_is_not_listened_to_is_not_late(data: str, topic: str, state: str) -> None:
    now, birth = [NOON], {"online": True, "sensor_found": "x", "clock_source": "ntp"}
    seen = Watch(now=lambda: now[0], data=data)
    seen.learn(Evidence("g-1", status=birth, status_at=NOON, topic=topic))
    now[0] += 600
    found = seen.health("g-1")
    assert found is not None and found.state == state


def test_lost_readings_are_counted_but_not_those_of_a_lost_connection() -> None:
    seen = Watch(now=lambda: NOON)
    for seq in (5, 6, 9):
        seen.take("devices/g-1/data", reading(seq=seq))
    assert seen.things["g-1"].evidence.lost == 2
    seen.take("devices/g-1/data", reading(seq=7))
    seen.link("connection lost (X); trying again")
    assert "connection lost, trying again" in shown(seen)
    seen.link("connected again")
    for seq in (20, 21):
        seen.take("devices/g-1/data", reading(seq=seq))
    assert seen.things["g-1"].evidence.lost == 1
    assert "1 readings lost" in shown(seen)


@pytest.mark.parametrize("seed", range(20))
def test_tally_against_a_set(seed: int) -> None:
    rng = random.Random(seed)
    tally, came = Tally(), set[int]()
    numbers = [1, *(n for n in range(2, 60) if rng.random() < 0.8)]
    for seq in sorted(numbers, key=lambda n: n + (rng.randrange(6) if n > 1 else 0)):
        for _ in range(rng.choice((1, 1, 2))):  # some come twice
            tally.take(seq, 1000 + seq)
        came.add(seq)
    high = max(came) + 5
    for low in (1, 7, 50):
        assert tally.missing(low, high) == len(set(range(low, high)) - came), seed


def test_tally_of_an_erased_board_and_of_anything() -> None:
    tally = Tally()
    for seq, stamp in ((900, 10), (901, 20), (1, 30), (2, 40), (4, 50)):
        tally.take(seq, stamp)
    assert (tally.top, tally.missing(0, 5)) == (4, 1)
    for n in range(5000):
        tally.take(2**31 + 2 * n, 60)
    assert len(tally._gaps) <= 1000


def test_a_reading_of_the_future_does_not_stay() -> None:
    seen = Watch(now=lambda: NOON)
    seen.take("devices/g-1/data", reading(timestamp=2**33))
    seen.take("devices/g-1/data", reading(timestamp=int(NOON), seq=2))
    found = seen.health("g-1")
    assert found is not None and found.last_reading_at == NOON


def piped(
    seen: Watch, messages: list[tuple[str, bytes]], count: int, as_json: bool = False
) -> None:
    arrived: Any = queue.SimpleQueue()
    for message in messages:
        arrived.put(message)
    cli_watch._show(seen, arrived, count, live=False, as_json=as_json)
    assert arrived.empty()


def test_piped_the_filter_holds_and_n_ends(capsys: pytest.CaptureFixture[str]) -> None:
    given = [
        ("devices/g-1/data", reading()),
        ("devices/barn/data", reading(device_id="barn")),
        ("devices/g-1/status", b'{"online": true}'),
        ("devices/barn/status", b'{"online": true}'),
        ("devices/g-1/data", reading(seq=2)),
    ]
    at = clock(1795248682)
    expected = [f"{at}  g-1  21.37 °C  seq 1", "g-1: online", f"{at}  g-1  21.37 °C  seq 2"]
    now = 1795248683.0
    for seen in (
        Watch(["g-1"], now=lambda: now),
        Watch(accept=health_filter.parse("name~g-*"), now=lambda: now),
    ):
        piped(seen, given, 2)
        assert capsys.readouterr().out.splitlines() == expected


def test_one_json_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    change = {"previous": {"state": {}}, "current": {"state": {"desired": {"sensor": "\x1b[m"}}}}
    given = [
        (DOCUMENTS, json.dumps(change).encode()),
        ("devices/g-1/status", b'{"online": true, "thing": "other"}'),
        ("devices/g-1/commands/result", b'{"action": "identify", "ok": true}'),
        ("devices/g-1/data", reading(note="not ours")),
    ]
    piped(Watch(), given, 1, as_json=True)
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines)
    found = [json.loads(line) for line in lines]
    received = [dt.datetime.fromisoformat(one.pop("received")).timestamp() for one in found]
    assert all(abs(at - time.time()) < 60 for at in received)
    assert found == [
        {"event": "shadow", "thing": "g-1", "desired": {"sensor": "\x1b[m"}, "reported": {}},
        {"event": "status", "thing": "g-1", "online": True},
        {"event": "command", "thing": "g-1", "action": "identify", "ok": True},
        {"event": "reading", "thing": "g-1", "timestamp": 1795248682, "temperature": 21.37}
        | {"seq": 1},
    ]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[1]",
        b"{}",
        b"[" * 100_000,
        reading(temperature="hot"),
        reading(temperature=True),
        reading(timestamp=None),
        reading(timestamp=1e300),
        reading(timestamp=-(2**36)),
        reading(timestamp=2**36),
        reading(timestamp=-1),
        reading(temperature=10**400),
        reading(temperature=float("nan")),
        reading().replace(b"21.37", b"1e999"),
        reading(humidity="40"),
        reading(seq=-1),
        reading(seq=2**32),
        reading(seq="1"),
        b'{"timestamp": ' + b"9" * 5000 + b"}",
        reading(device_id=7),
    ],
)
def test_junk_is_counted(payload: bytes) -> None:
    seen = Watch()
    seen.take("devices/g-1/data", payload)
    assert seen.odd == 1
    assert seen.things == {}


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_any_shadow_document_is_survived(value: Any) -> None:
    seen = Watch()
    for document in ({"current": value}, {"current": {"state": value}, "previous": value}):
        seen.take("$aws/things/g/shadow/update/documents", json.dumps(document).encode())
    seen.table()


def test_sparkline() -> None:
    assert health_table.spark([]) == ""
    assert health_table.spark([21.0]) == "▁"
    assert health_table.spark([1, 1, 1]) == "▁▁▁"
    assert health_table.spark([0, 7, 14]) == "▁▅█"
    assert len(health_table.spark(list(range(100)))) == 16
    assert health_table.spark(list(range(100)))[-1] == "█"


def test_a_csv_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cannot write"):
        Watch([], tmp_path)


def test_plot_without_matplotlib_is_said_before_watching(
    monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "try: make setup" in said("watch", "--plot", "x.png", "--local", code=2).err


def test_plot_draws_each_thing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    drawn: list[tuple[str, list[int], list[float]]] = []
    original = Axes.plot

    def spy(self: Axes, moments: Any, values: Any, label: str) -> Any:
        drawn.append((label, [int(m.timestamp()) for m in moments], list(values)))
        return original(self, moments, values, label=label)

    monkeypatch.setattr(Axes, "plot", spy)
    seen = Watch(["silent"])
    seen._wanted = frozenset()
    seen.take("devices/g-1/data", reading(timestamp=100, temperature=1))
    seen.take("devices/g-1/data", reading(timestamp=160, temperature=2))
    plot.plotter()(seen, tmp_path / "t.png")
    assert drawn == [("g-1", [100, 160], [1.0, 2.0])]
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


# cost: against the per-device figures of aws-facts.md 10.

PER_MESSAGE = pytest.approx(0.0438)  # USD for one each minute, a month


def usage(things: int = 1, interval_s: int = 60, reports: float = 0, **more: Any) -> Usage:
    return Usage(things, interval_s, reports_per_hour=reports, reconnects_per_day=0, **more)


def test_the_parts_of_one_device_a_minute() -> None:
    found = cost.estimate(usage())
    assert found["connectivity"] == pytest.approx(0.0035, abs=5e-5)
    assert found["messaging"] == PER_MESSAGE
    assert found["shadow"] == found["rules"] == 0


def test_a_shadow_update_each_minute() -> None:
    full = cost.estimate(usage(interval_s=86_400, reports=60))
    assert full["shadow"] == pytest.approx(0.0548, abs=1e-4)
    # In, the delivery of `accepted`, and the device's PUBACK, of which there is none at QoS 0.
    assert full["messaging"] == pytest.approx(3 * 0.0438, rel=0.01)
    less = cost.estimate(usage(interval_s=86_400, reports=60, qos0=True))
    assert full["messaging"] - less["messaging"] == PER_MESSAGE


def test_basic_ingest_with_one_rule_and_action() -> None:
    found = cost.estimate(usage(actions=1, basic_ingest=True))
    assert found["messaging"] == 0
    assert found["rules"] == pytest.approx(0.0131, abs=5e-5)


def test_tiers() -> None:
    # 6e9 messages: 1e9 at 1.00, 4e9 at 0.80, 1e9 at 0.70 per million
    things = 6e9 / (cost.MINUTES * 60)
    found = cost.estimate(usage(int(things), 1))
    assert found["messaging"] == pytest.approx(1000 + 3200 + 700, rel=0.001)


def test_advice_saves_what_it_says() -> None:
    fleet = Usage(100, 60)
    advice = cost.savings(fleet)
    assert [saved for _, saved in advice] == sorted((s for _, s in advice), reverse=True)
    assert any("Basic Ingest" in text for text, _ in advice)
    assert any("QoS 0" in text for text, _ in advice)
    assert all(saved < cost.estimate(fleet)["total"] for _, saved in advice)


def test_the_cost_command(said: Any) -> None:
    text = said("cost", "--things", "100", "--interval", "60").out
    total = cost.estimate(Usage(100, 60))["total"]
    assert f"{total:.2f}" in text
    assert cost.PRICES_OF in text.replace("\n", " ")
    assert "saves" in text
    for wrong in (["--region", "mars-1"], ["--basic-ingest"], ["--things", "0"]):
        said("cost", *wrong, code=2)
