"""A board that sleeps, from wake to sleep (bench/bench_awake.py): tools/board/energy.json and
docs/battery.md say what it loads and writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import bench_awake
from bench.bench_awake import Figures, Wake
from tests.host.programs import micropython
from tools.board import energy
from tools.toolchain import ROOT

SCALE = 4  # with less time in each pass more is loaded in one
REMEDY = "python -m tools bench 'awake --update --markdown'"
Found = tuple[list[Wake], dict[str, Figures]]


@pytest.fixture(scope="module")
def found() -> Iterator[Found]:
    """Wakes from the start to the second connect, and the figures of the last of each kind."""
    micropython()
    with bench_awake.rig(scale=SCALE) as board:
        board.board.start()
        wakes: list[Wake] = []
        for wake in board.wakes():
            wakes.append(wake)
            if sum(each.radio for each in wakes) == 2:
                break
        figures = {str(w.radio): board.figures({0: [w]}) for w in wakes[-2:]}
        assert board.bench.broker.violations == []
        yield wakes, figures


def test_what_it_measures_is_a_wake(found: Found) -> None:
    wakes, _ = found
    assert [wake.radio for wake in wakes] == [True, *(bench_awake.BATCH - 1) * [False], True]
    for wake in wakes[1:-1]:
        assert not any(name.startswith("firmware.net") for name in wake.loads)
        assert len(set(wake.loads)) == len(wake.loads)  # nothing comes back
        paths = [path for path, _ in wake.writes]
        assert all(path.startswith("data/outbox/") for path in paths), paths
        assert wake.cpu_ms > 0 and wake.slept_ms <= wake.ms
    # One each, and once a segment more.
    assert sum(len(wake.writes) for wake in wakes[1:-1]) == bench_awake.BATCH


def test_the_estimate_has_what_was_measured(found: Found) -> None:
    said = energy.table()["measured"]
    assert said["by"] == bench_awake.BY
    alone, radio = (found[1][kind] for kind in ("False", "True"))
    own, more = said["without_radio"], said["with_radio"]
    assert own["bytes_loaded"] == pytest.approx(alone.bytes_loaded, rel=0.1), REMEDY
    assert own["flash_writes"] == 1, REMEDY
    # How often a module comes back depends on the time that passes; this asks for the time, too.
    before = radio.bytes_loaded - radio.bytes_on - alone.bytes_loaded
    assert more["bytes_loaded"] == pytest.approx(before, rel=0.1), REMEDY
    assert more["bytes_on"] == pytest.approx(radio.bytes_on, rel=0.3), REMEDY
    assert more["flash_writes"] == radio.writes - 1, REMEDY


def test_the_page_has_these_figures(found: Found) -> None:
    alone = found[1]["False"]
    page = (ROOT / "docs" / "battery.md").read_text("utf-8")
    row = re.search(r"^\| modules, bytes loaded \| (\d+), ([\d,]+) \|", page, re.M)
    assert row, REMEDY
    assert int(row[1]) == alone.modules, REMEDY
    assert int(row[2].replace(",", "")) == pytest.approx(alone.bytes_loaded, rel=0.1), REMEDY


def test_the_table_is_written_in_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ms = {0: 300.0, 50: 550.0, 200: 1290.0, 500: 2780.0}
    alone = Figures(7, 17_000, 0, 1, 90, 20.0, 29.0, (0, 0), {0: 49.0}, {0: 49.0})
    connect = Figures(70, 140_000, 80_000, 3, 142, 270.0, 69.0, (4600, 4400), ms, ms)
    before = energy.TABLE.read_text("utf-8")
    monkeypatch.setattr(energy, "TABLE", tmp_path / "energy.json")
    energy.TABLE.write_text(before, "utf-8")
    bench_awake.update({"alone": alone, "many": connect, "new": connect, "one": connect})
    made = energy.TABLE.read_text("utf-8")
    assert json.loads(made)["measured"] == {
        "by": bench_awake.BY,
        "without_radio": {"bytes_loaded": 17_000, "flash_writes": 1},
        "with_radio": {
            "bytes_loaded": 43_000, "bytes_on": 80_000, "flash_writes": 2, "round_trips": 5
        },
    }  # fmt: skip
    changed = set(made.splitlines()) ^ set(before.splitlines())
    assert all(re.match(r' +"(by|with(out)?_radio)": ', line) for line in changed), changed
