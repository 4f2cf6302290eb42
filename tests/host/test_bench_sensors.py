"""What each driver takes (bench/bench_sensors.py): nothing of the heap a reading, and what
docs/sensors.md says."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import bench_sensors
from bench.bench_sensors import Figures
from tests.host.programs import micropython
from tools.things import boards
from tools.toolchain import ROOT

CHIPS = list(boards.chips())
ROOM = 100  # bytes of heap by which docs/sensors.md may be out


@pytest.fixture(scope="module")
def figures() -> dict[str, Figures]:
    micropython(32)
    return bench_sensors.measured(CHIPS, times=1, workers=2)


@pytest.mark.parametrize("chip", CHIPS)
def test_no_driver_allocates_a_reading(figures: dict[str, Figures], chip: str) -> None:
    assert figures[chip].allocated == 0


@pytest.mark.parametrize("chip", CHIPS)
def test_it_has_measured_what_is_there(figures: dict[str, Figures], chip: str) -> None:
    got = figures[chip]
    temperature, humidity, pressure = (*got.values, None, None)[:3]
    assert temperature == pytest.approx(2100, abs=50)  # an LM75 knows half degrees
    assert humidity is None or humidity == pytest.approx(4500, abs=100)
    assert pressure is None or pressure == pytest.approx(101_325, abs=20)
    assert 0 < got.heap < got.search


@pytest.mark.parametrize("chip", CHIPS)
def test_none_takes_more_than_that_of_a_bme280(figures: dict[str, Figures], chip: str) -> None:
    """The session that has to fit (test_memory.py) has a BME280: so it fits with any one."""
    most = figures["bme280"]
    assert figures[chip].heap <= most.heap
    assert figures[chip].search <= most.search + ROOM


def test_allocating_is_seen(figures: dict[str, Figures], tmp_path: Path) -> None:
    bench_sensors.build(tmp_path)
    sound = (ROOT / "firmware" / "drivers" / "sht4x.py").read_text()
    worse = sound.replace("        buf = self.buf\n", "        buf = bytearray(self.buf)\n", 1)
    assert worse != sound
    # A .py goes before its .mpy.
    (tmp_path / "firmware" / "drivers" / "sht4x.py").write_text(worse)
    assert bench_sensors.measure(tmp_path, "sht4x", times=1).allocated >= 16
    assert figures["sht4x"].allocated == 0


@pytest.mark.parametrize("chip", CHIPS)
def test_the_page_has_these_figures(figures: dict[str, Figures], chip: str) -> None:
    # Its last column is a time.
    page = (ROOT / "docs" / "sensors.md").read_text("utf-8").partition(bench_sensors.HEADING)[2]
    rows = [line.strip("| ").split(" | ") for line in page.splitlines()]
    said = next(cells[1:] for cells in rows if cells[0] == f"`{chip}`")
    wanted = figures[chip].cells()
    assert said[2:-1] == list(wanted[2:-1]), "python -m tools bench 'sensors --markdown'"
    for i in (0, 1):
        heap, now = (int(cells[i].replace(",", "")) for cells in (said, wanted))
        assert abs(heap - now) <= ROOM, "python -m tools bench 'sensors --markdown'"
