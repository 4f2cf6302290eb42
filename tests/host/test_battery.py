"""`battery`: the sums, that more rest never costs life, and what is refused."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tools.board import energy, energy_view
from tools.board.energy import Plan, estimate
from tools.errors import ToolError
from tools.things import boards, sensors
from tools.toolchain import ROOT

BOARDS = boards.names()
CHIPS = list(sensors.table())


@st.composite
def plans(draw: Any) -> Plan:
    """Anything that comes to sleep: a connect takes half a minute at most."""
    board = draw(st.sampled_from(BOARDS))
    return Plan(
        mah=draw(st.floats(10, 50_000)),
        interval_s=draw(st.integers(600, 86_400)),
        batch=draw(st.integers(1, 500)),
        board=board,
        kit=draw(st.sampled_from(list(energy.kits(board)))),
        sensor=draw(st.sampled_from(CHIPS)),
        rtt_ms=draw(st.integers(1, 1000)),
        cell=draw(st.sampled_from(list(energy.table()["cells"]))),
        sleep_ua=draw(st.none() | st.floats(0, 20_000)),
    )


@given(plans())
def test_the_charges_add_up(plan: Plan) -> None:
    found = estimate(plan)
    # Again, from currents and times alone.
    awake_ms = found.awake_s_a_day * 1000
    kit = energy.kits(plan.board)[plan.kit]["ua"] if plan.sleep_ua is None else plan.sleep_ua
    idle = sensors.get(plan.sensor).idle_ua + energy.table()["divider"]["ua"]
    uc = kit * (energy.DAY_MS - awake_ms) / 1000 + idle * 86_400
    uc += sum(part.ms * part.ma * part.times for part in found.wake + found.connect)
    assert found.board_c_a_day == pytest.approx(uc / 1e6)
    assert found.c_a_day == pytest.approx(found.board_c_a_day + found.loss.c_a_day)
    assert found.days * found.c_a_day == pytest.approx(found.usable_c)
    assert 0 < found.usable_c < plan.mah * 3.6
    assert all(part.c_a_day >= 0 for part in found.parts)


@given(plans(), st.integers(1, 500))
def test_fewer_connects_never_cost_life(plan: Plan, more: int) -> None:
    assert estimate(replace(plan, batch=plan.batch + more)).days > estimate(plan).days


@given(plans(), st.integers(1, 43_200))
def test_fewer_readings_never_cost_life(plan: Plan, more: int) -> None:
    slower = replace(plan, interval_s=plan.interval_s + more)
    if plan.sleep_ua is None or plan.sleep_ua < 10_000:  # or sleeping takes as much as waking
        assert estimate(slower).days > estimate(plan).days


@given(plans())
def test_life_is_within_what_sleep_and_the_cell_allow(plan: Plan) -> None:
    found = estimate(plan)
    all_day = sum(part.c_a_day for part in (*found.rest, found.loss))
    assert found.days < found.usable_c / all_day
    assert found.days < found.usable_c / found.loss.c_a_day
    longer = estimate(replace(plan, mah=plan.mah * 2))
    assert found.days < longer.days < 2.000001 * found.days


def test_the_example_by_hand() -> None:
    """An ESP32 on a FireBeetle 2, BME280, every 10 minutes, hourly; mC, from next to nothing."""
    found = estimate(Plan())
    wake = (418 + 17.289 * 5 + 9.3 + 10) * 28.9 / 1000 + 0.00369 - 0.1 * 0.008 / 1000
    connect = 62.059 * 5 * 28.9 + 664 * 131
    connect += (75.596 * 5 + 1200 + (5 + 5 / 24) * 100 + 2 * 10) * 100
    awake = sum(part.c_a_day for part in found.wake)
    assert awake == pytest.approx(144 * wake / 1000, rel=1e-6)
    assert sum(p.c_a_day for p in found.connect) == pytest.approx(24 * connect / 1e6, rel=1e-6)
    sleeping = 11.6e-6 * (86_400 - found.awake_s_a_day)
    assert found.rest[0].c_a_day == pytest.approx(sleeping)


def test_the_parts_come_to_what_was_measured_as_a_whole() -> None:
    # Boot from frozen code 70 ms, Wi-Fi with DHCP instead of a static address, 1,626 ms instead of
    # 734, on a board of 15 mA: 204.3 mC (glenn20/upy-esp32-experiments, ESPNowvsWifiEnergyUsage).
    # What listening takes was measured for itself (there, ESPNowPowerManagement).
    (join,) = (part for part in estimate(Plan()).connect if part.what == "joins the Wi-Fi")
    waits = (1626 - 734) * energy.table()["boards"]["esp32"]["radio_ma"] / 1000
    own = 15 * (1626 - 70) / 1000
    assert 3.32 + join.ms * join.ma / 1000 + waits + own == pytest.approx(204.3, rel=0.01)


def test_batching_takes_five_times_less_charge() -> None:
    # The aim of the firmware: readings every 5 minutes, reported hourly.
    hourly = estimate(Plan(interval_s=300, batch=12))
    each = estimate(Plan(interval_s=300, batch=1))
    assert each.board_c_a_day > 5 * hourly.board_c_a_day


@pytest.mark.parametrize("board", BOARDS)
def test_every_board_has_its_figures_and_their_sources(board: str) -> None:
    row = energy.table()["boards"][board]
    assert 0 < row["cpu_ma"] <= row["radio_ma"]
    for entry in (row, *row["kits"].values()):
        assert len(entry["source"]) > 10
    found = estimate(Plan(board=board))
    assert all(part.source for part in found.parts)
    assert found.plan.kit == next(iter(row["kits"]))


def test_the_tables_know_the_same_boards_and_say_where_from() -> None:
    table = energy.table()
    assert list(table["boards"]) == BOARDS
    for row in (*table["times"].values(), *table["cells"].values(), table["divider"]):
        assert len(row["source"]) > 10
    assert set(table["measured"]) == {"by", "without_radio", "with_radio"}


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["--board", "esp32c33"], "no such board: esp32c33", "--board esp32c3"),
        (["--sensor", "bme289"], "no such sensor: bme289; there are bme280", "--sensor bme280"),
        (["--kit", "devkit"], "no such kit: devkit; there are:", "--kit devkitc"),
        (["--cell", "liion"], "no such cell: liion; there are:", "--cell li-ion"),
        (["--interval", "2"], "leaves no time to sleep", "--interval 4 or more"),
        (["--every-reading", "--batch", "6"], "--every-reading is --batch 1, not 6", "one of the"),
        (["--svg", "/nowhere/x.svg"], "cannot write /nowhere/x.svg", ""),
    ],
)
def test_what_cannot_be_is_refused(said: Any, words: list[str], error: str, hint: str) -> None:
    shown = said("battery", *words, code=2).err
    assert shown.startswith("error: ") and error in shown
    assert f"try: {hint}" in shown if hint else "try:" not in shown


@pytest.mark.parametrize(
    "words", [["--mah", "0"], ["--batch", "0"], ["--batch", "501"], ["--interval", "x"]]
)
def test_numbers_out_of_range_are_named(said: Any, words: list[str]) -> None:
    assert words[0] in said("battery", *words, code=2).err


def test_what_it_prints(said: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = said("battery", "--svg", str(tmp_path / "b.svg")).out
    found = estimate(Plan())
    assert out.startswith(f"{found.days:.0f} days")
    assert "BME280" not in out and "bme280, idle" in out
    each = estimate(Plan(batch=1))
    assert f"awake {each.awake_s_a_day:.0f} s a day" in " ".join(out.split())
    for number in energy.BATCHES:
        assert re.search(rf"^ *{number} █+ ", out, re.M), number
    assert re.search(r"^  6 █+ .*<$", out, re.M)
    bars = [len(bar) for bar in re.findall(r"^ *\d+ (█+) ", out, re.M)]
    assert bars == sorted(bars)
    for kit in energy.kits("esp32"):
        assert re.search(rf"^ *{kit} ", out, re.M)
    # Each part has a number, and each number its source.
    used = set(re.findall(r"\((\d+)\)$", out, re.M))
    given_ = dict(re.findall(r"^\((\d+)\) (.+)", out, re.M))
    assert used == set(given_) and all(given_.values())
    assert "assumed" in given_["2"]
    assert (tmp_path / "b.svg").read_text("utf-8").startswith("<svg")
    columns = [line for line in out.splitlines() if line.startswith("  ") and "(" in line]
    assert all(len(line) <= 80 for line in columns)


def test_more_ways_to_ask(said: Any) -> None:
    each = said("battery", "--every-reading").out
    assert "connects at each" in each
    assert "it connects at each reading." in each
    own = said("battery", "--sleep-ua", "5000", "--kit", "devkitc").out
    assert "given by --sleep-ua" in own
    assert said("battery", "--kit", "?", "-b", "esp32s2").out.startswith("  tinys2 ")
    # With --rtt-ms 10000 the largest batches do not come to sleep any more; that is no error.
    slow = said("battery", "--interval", "70", "--rtt-ms", "10000").out
    assert "no time to sleep" in slow


@given(plans())
def test_any_plan_can_be_shown(plan: Plan) -> None:
    shown = io.StringIO()
    energy_view.show(Console(file=shown, width=80), plan)
    assert "together" in shown.getvalue()


def test_spans() -> None:
    assert [energy_view.span(d) for d in (0.5, 1.99, 2, 364, 730.5)] == [
        "12 hours",
        "48 hours",
        "2 days",
        "364 days",
        "730 days (2.0 years)",
    ]


def test_the_first_kit_of_each_board_is_made_for_a_battery() -> None:
    assert all(next(iter(energy.kits(board).values()))["ua"] <= 150 for board in BOARDS)


def test_a_battery_too_small_for_its_sensor_is_no_error() -> None:
    assert estimate(Plan(mah=1, sensor="scd41")).days < 0.1
    with pytest.raises(ToolError, match="no time to sleep"):
        estimate(Plan(interval_s=5, sensor="scd41"))


def test_the_page_has_the_figures_of_the_tool() -> None:
    text = (ROOT / "docs" / "battery.md").read_text("utf-8")
    table = text.partition("## How it is reckoned")[0]
    rows = re.findall(r"^\| [^|]+ \| (\d+) \| (\d+) \| ([\d.]+) \| (\d+) \|$", table, re.M)
    assert len(rows) == 3
    for connects, awake, mah, days in rows:
        found = estimate(Plan(batch=144 // int(connects)))
        assert f"{found.awake_s_a_day:.0f}" == awake
        assert f"{found.c_a_day / 3.6:.2f}" == mah
        assert f"{found.days:.0f}" == days
    found = estimate(Plan())
    radio = sum(part.ms * part.ma for part in found.wake + found.connect) / 1000
    assert f"one with radio {5 * round(radio / 5)}:" in text
    each, hourly = (estimate(Plan(interval_s=300, batch=n)) for n in (1, 12))
    times = each.board_c_a_day / hourly.board_c_a_day
    assert f"{times:.1f} times less charge" in text
    awake = f"{hourly.awake_s_a_day:,.0f} s a day in place of {each.awake_s_a_day:,.0f}"
    for page in (text, (ROOT / "README.md").read_text("utf-8")):
        assert awake in page
    assert f"{times:.1f} times less" in (ROOT / "README.md").read_text("utf-8")
