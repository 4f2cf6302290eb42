"""`watch` and `cost`: what is shown, kept and reckoned."""

from __future__ import annotations

import csv
import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tools import cli
from tools.aws import cost, watch
from tools.aws.cost import Fleet
from tools.aws.watch import Watch
from tools.errors import ToolError

NOON = dt.datetime(2026, 11, 21, 12, tzinfo=dt.timezone.utc)


def reading(**more: Any) -> bytes:
    fields = {"device_id": "g-1", "timestamp": 1795248682, "temperature": 21.37, "seq": 1}
    return json.dumps(fields | more).encode()


def shown(seen: Watch) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(seen.table())
    return capture.get()


def test_readings_are_counted_shown_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "readings.csv"
    for temperature in (21.0, 21.5):  # a second run appends
        seen = Watch([], file, lambda: NOON)
        seen.take("devices/g-1/data", reading(temperature=temperature, humidity=40.5))
        seen.close()
    assert seen.things["g-1"].count == 1
    assert "40.50" in shown(seen)
    rows = list(csv.DictReader(file.read_text("utf-8").splitlines()))
    assert [r["temperature"] for r in rows] == ["21.0", "21.5"]
    assert rows[0] == {
        "received": "2026-11-21T12:00:00.000+00:00",
        "thing": "g-1",
        "timestamp": "1795248682",
        "temperature": "21.0",
        "humidity": "40.5",
        "pressure": "",
        "seq": "1",
    }


def test_only_the_wanted_things() -> None:
    seen = Watch(["g-2"])
    seen.take("devices/g-1/data", reading())
    seen.take("devices/g-2/data", reading(device_id="g-2"))
    seen.take("$aws/things/g-1/shadow/update/documents", b"{}")
    assert {name: thing.count for name, thing in seen.things.items()} == {"g-2": 1}
    assert "g-2" in shown(seen)


def test_a_change_of_the_shadow() -> None:
    seen = Watch(now=lambda: NOON)
    before = {"state": {"desired": {"interval_s": 5}, "reported": {"interval_s": 60, "x": 1}}}
    after = {"state": {"desired": {"interval_s": 5}, "reported": {"interval_s": 5}}}
    documents = {"previous": before, "current": after}
    seen.take("$aws/things/g-1/shadow/update/documents", json.dumps(documents).encode())
    assert seen.things["g-1"].change == "12:00:00 reported.interval_s=5, reported.x=null"
    seen.take(
        "$aws/things/g-1/shadow/update/documents",
        json.dumps({"previous": after, "current": after}).encode(),
    )
    assert "reported.interval_s=5" in seen.things["g-1"].change


def test_the_first_shadow_has_no_previous() -> None:
    seen = Watch(now=lambda: NOON)
    first = {"current": {"state": {"reported": {"a": "ü[b]"}}}}
    seen.take("$aws/things/g-1/shadow/update/documents", json.dumps(first).encode())
    assert 'reported.a="ü[b]"' in shown(seen)


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
    assert watch.spark([]) == ""
    assert watch.spark([21.0]) == "▁"
    assert watch.spark([1, 1, 1]) == "▁▁▁"
    assert watch.spark([0, 7, 14]) == "▁▅█"
    assert len(watch.spark(list(range(100)))) == 40
    assert watch.spark(list(range(100)))[-1] == "█"


def test_a_csv_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cannot write"):
        Watch([], tmp_path)


def test_plot_without_matplotlib_is_said_before_watching(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert cli.main(["watch", "--plot", "x.png", "--local"]) == 2
    assert "try: make setup" in capsys.readouterr().err


def test_plot_draws_each_thing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    drawn: list[tuple[str, list[int], list[float]]] = []
    plot = Axes.plot

    def spy(self: Axes, moments: Any, values: Any, label: str) -> Any:
        drawn.append((label, [int(m.timestamp()) for m in moments], list(values)))
        return plot(self, moments, values, label=label)

    monkeypatch.setattr(Axes, "plot", spy)
    seen = Watch(["silent"])
    seen._wanted = frozenset()
    seen.take("devices/g-1/data", reading(timestamp=100, temperature=1))
    seen.take("devices/g-1/data", reading(timestamp=160, temperature=2))
    watch.plotter()(seen, tmp_path / "t.png")
    assert drawn == [("g-1", [100, 160], [1.0, 2.0])]
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


# cost: against the per-device figures of aws-facts.md 10.


def test_the_parts_of_one_device_a_minute() -> None:
    quiet = Fleet(1, 60, reports_per_hour=0, reconnects_per_day=0)
    found = cost.estimate(quiet)
    assert found.connectivity == pytest.approx(0.0035, abs=5e-5)
    assert found.messaging == pytest.approx(0.0438)
    assert found.shadow == found.rules == 0


def test_a_shadow_update_each_minute() -> None:
    busy = Fleet(1, 86_400, reports_per_hour=60, reconnects_per_day=0)
    found = cost.estimate(busy)
    assert found.shadow == pytest.approx(0.0548, abs=1e-4)
    # in, the delivery of `accepted`, and the device's PUBACK
    assert found.messaging == pytest.approx(3 * 0.0438, rel=0.01)


def test_basic_ingest_with_one_rule_and_action() -> None:
    ingest = Fleet(1, 60, 1, True, reports_per_hour=0, reconnects_per_day=0)
    found = cost.estimate(ingest)
    assert found.messaging == 0
    assert found.rules == pytest.approx(0.0131, abs=5e-5)


def test_tiers() -> None:
    # 6e9 messages: 1e9 at 1.00, 4e9 at 0.80, 1e9 at 0.70 per million
    things = 6e9 / (cost.MINUTES * 60)
    fleet = Fleet(int(things), 1, reports_per_hour=0, reconnects_per_day=0)
    assert cost.estimate(fleet).messaging == pytest.approx(1000 + 3200 + 700, rel=0.001)


def test_qos0_halves_a_delivered_message() -> None:
    fleet = Fleet(1, 86_400, reports_per_hour=60, reconnects_per_day=0)
    full = cost.estimate(fleet).messaging
    less = cost.estimate(Fleet(1, 86_400, qos0=True, reports_per_hour=60, reconnects_per_day=0))
    assert full - less.messaging == pytest.approx(0.0438)


def test_advice_saves_what_it_says() -> None:
    fleet = Fleet(100, 60)
    advice = cost.savings(fleet)
    assert [saved for _, saved in advice] == sorted((s for _, s in advice), reverse=True)
    assert any("Basic Ingest" in text for text, _ in advice)
    assert any("QoS 0" in text for text, _ in advice)
    assert all(saved < cost.estimate(fleet).total for _, saved in advice)


def test_the_cost_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cost", "--things", "100", "--interval", "60"]) == 0
    text = capsys.readouterr().out
    total = cost.estimate(Fleet(100, 60)).total
    assert f"{total:.2f}" in text
    assert cost.PRICES_OF in text.replace("\n", " ")
    assert "saves" in text
    assert cli.main(["cost", "--region", "mars-1"]) == 2
    assert cli.main(["cost", "--basic-ingest"]) == 2
    assert cli.main(["cost", "--things", "0"]) == 2
