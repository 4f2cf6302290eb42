"""What each driver takes: heap, the bus, and time, a reading.

Each runs in a 32-bit MicroPython of its own (upy_sensors.py), as the bytecode that an ESP32 loads
into RAM, against its simulated chip, at 21 °C, 45 %RH and 1013.25 hPa.

heap      in use because of the driver once it was found and probe() and the search have left
search    the most in use at any transfer while it is searched for, garbage left out: the search,
          the driver and probe(). What comes and goes between two transfers, as while a file is
          loaded, is not seen: the real peak is higher
          Neither counts names, which stay for good and which the firmware mostly has already
allocated bytes a reading, by start() and finish()
wait      MEASURE_MS, so many times as finish() is called
bus       transfers (an address each) and bytes with these; 9 clocks a byte, at 100 kHz
record    as telemetry.pack() makes it (the outbox adds 7), and its JSON for thing greenhouse-1
CPU       start() and finish() on a bus that answers at once, by the BME280's, in turn; the median
          of many pairs. It varies by a tenth or two
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools import toolchain
from tools.board import bytecode
from tools.board.image import write_files
from tools.errors import ToolError
from tools.things import boards

CLOCKS, BUS_KHZ = 9, 100
TIMES = 200
_HEAP = "400k"
HEADING = "## What a driver takes"  # of the table in docs/sensors.md
_HEAD = (
    *("sensor", "heap", "search", "allocated", "bus", "100 kHz", "wait", "record", "JSON"),
    "CPU",
)


@dataclass(frozen=True)
class Figures:
    """What upy_sensors.py prints."""

    heap: int
    search: int
    allocated: float
    transfers: int
    bus_bytes: int
    waits_ms: int
    record: int
    json: int
    ratio: float
    us: float
    values: list[int | None]

    def cells(self) -> tuple[str, ...]:
        """In the order of _HEAD, without the name."""
        return (
            f"{self.heap:,}",
            f"{self.search:,}",
            f"{self.allocated:g}",
            f"{self.transfers}, {self.bus_bytes}",
            f"{self.bus_bytes * CLOCKS / BUS_KHZ:.1f} ms",
            f"{self.waits_ms} ms",
            f"{self.record}",
            f"{self.json}",
            f"{self.ratio:.1f}",
        )


def build(folder: Path) -> None:
    """The firmware as an ESP32 gets it, into ``folder``, but with its long names: we call them."""
    board = boards.get("esp32")
    root = toolchain.ROOT
    paths = [p.relative_to(root).as_posix() for p in root.glob("firmware/**/*.py")]
    taken = {p: (root / p).read_bytes() for p in paths if board.takes(p, list(boards.chips()))}
    before = os.environ.get(bytecode.LONG_NAMES)
    os.environ[bytecode.LONG_NAMES] = "1"
    try:
        write_files(folder, bytecode.compile_all(taken))
    finally:
        os.environ.pop(bytecode.LONG_NAMES)
        if before is not None:
            os.environ[bytecode.LONG_NAMES] = before


def measure(folder: Path, chip: str, times: int = TIMES) -> Figures:
    """One driver, in a MicroPython of its own; ``folder``: what build() has made."""
    root = toolchain.ROOT
    argv = [*toolchain.micropython(32), "-X", f"heapsize={_HEAP}"]
    ran = subprocess.run(
        [*argv, str(root / "bench" / "upy_sensors.py"), chip, str(times)],
        env={"MICROPYPATH": f"{folder}:{root}:{root / 'tests' / 'device'}"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    if ran.returncode:
        raise ToolError(f"{chip}: {ran.stdout}{ran.stderr}")
    return Figures(**json.loads(ran.stdout))


def measured(chips: Iterable[str], times: int = TIMES, workers: int = 1) -> dict[str, Figures]:
    """All of ``chips``; one by one unless the times are of no interest."""
    chips = list(chips)
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        build(Path(scratch))
        with ThreadPoolExecutor(workers) as pool:
            found = pool.map(lambda chip: measure(Path(scratch), chip, times), chips)
            return dict(zip(chips, found, strict=True))


def markdown(figures: dict[str, Figures]) -> str:
    """The table of docs/sensors.md."""
    rows = [_HEAD, ["---"] * len(_HEAD)]
    rows += [(f"`{chip}`", *each.cells()) for chip, each in figures.items()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="bench sensors")
    parser.add_argument("--markdown", action="store_true", help="as in docs/sensors.md")
    parser.add_argument("--chip", action="append", choices=list(boards.chips()), metavar="CHIP")
    given = parser.parse_args()
    console = Console(highlight=False, width=100)
    with console.status("measuring"):
        figures = measured(given.chip or boards.chips())
    if given.markdown:
        print(markdown(figures), end="")
        return
    table = Table(*_HEAD, "µs here", box=None)
    for chip, each in figures.items():
        table.add_row(chip, *each.cells(), f"{each.us:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
