"""How long a board takes: one image in one pass, against the same tree copied file by file.

A virtual ESP32 behind a serial port that takes as long as a wire would; the programs are the
real esptool and mpremote. What flash chips need for erasing is not in it (a 4 MB chip
takes about 10 s, the same for everyone who erases). mpremote speaks at 115200 baud, the rate of
MicroPython's REPL; it is measured at 921600 as well, a rate it cannot have on a stock build.

Run by `make bench-flash-time`; nothing here is asserted by time.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.esp import fixtures
from tools.board import esptool, firmware, flash, image, mpremote, prepare
from tools.board.view import Lines
from tools.sim import devices
from tools.sim.cloud import LocalCloud
from tools.sim.esp import images
from tools.sim.esp.board import Board
from tools.sim.esp.server import Server
from tools.things import boards

FAST, SLOW = esptool.FAST_BAUD, esptool.SAFE_BAUD


@dataclass(frozen=True)
class Figure:
    """One way of doing it."""

    name: str
    sent: int
    received: int
    seconds: float


def plugged(folder: Path, line_baud: int = 0) -> Server:
    """A bare board whose line takes its time."""
    return Server(Board(folder / "board"), timed=True, line_baud=line_baud)


def measured(name: str, server: Server, work: Callable[[], object]) -> Figure:
    """Do ``work`` and count what went over the wire."""
    sent, received, begin = server.received, server.sent, time.monotonic()
    work()
    taken = time.monotonic() - begin
    return Figure(name, server.received - sent, server.sent - received, taken)


def one_pass(folder: Path, tree: dict[str, bytes]) -> Figure:
    """The file system as an image, by esptool: connect, erase, write, verify."""
    start, size = images.VFS
    with plugged(folder) as server:
        parts = [
            (start + at, data) for at, data in image.segments(image.FileSystem(tree, size).image())
        ]
        return measured(
            f"image, one esptool call, {FAST} baud",
            server,
            lambda: esptool.write(server.url, "esp32", parts, FAST, lambda part: None),
        )


def file_by_file(folder: Path, tree: dict[str, bytes], baud: int) -> Figure:
    """The same tree by one run of `mpremote cp -r`."""
    source = folder / "tree"
    image.write_files(source, tree)
    with plugged(folder, baud) as server:
        fixtures.put(server, images.firmware(), {"boot.py": b""})
        server.wait_for(">>> ")
        return measured(
            f"mpremote cp -r, {baud} baud",
            server,
            lambda: mpremote.run(server.url, ["cp", "-r", f"{source}/.", ":"], 900),
        )


def bare_to_running(folder: Path, cloud: LocalCloud) -> Figure:
    """The whole of `make flash` with stock MicroPython, until the board has reached AWS."""
    kind = boards.get("esp32")
    devices.make(cloud.clients, "bench-1", folder / "device", interval_s=1)
    thing = folder / "device" / "thing"
    with plugged(folder) as server:
        server.board.settings = {"sensor": "bme280@0x76"}
        job = flash.Job(
            thing="bench-1",
            folder=thing,
            board=kind,
            port=server.url,
            tree=prepare.tree(thing, kind),
            firmware=firmware.obtain(kind, local=images.stock("esp32")),
        )
        unseen = Lines(Console(quiet=True))
        figure = measured(
            "make flash: bare board to AWS", server, lambda: flash.flash(job, unseen)
        )
        server.wait_for("link: up")
    return figure


def main() -> int:
    """Measure, and print the table."""
    os.environ.update(fixtures.environment())
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch, LocalCloud() as cloud:
        root = Path(scratch)
        whole = bare_to_running(root / "whole", cloud)
        thing = root / "whole" / "device" / "thing"
        tree = prepare.tree(thing, boards.get("esp32"))
        image_pass = one_pass(root / "image", tree)
        copies = [file_by_file(root / str(baud), tree, baud) for baud in (FAST, SLOW)]
    size = sum(map(len, tree.values()))
    table = Table("way", "to the board", "from it", "seconds", "times", box=None)
    for figure in (image_pass, *copies, whole):
        ratio = "" if figure is whole else f"{figure.seconds / image_pass.seconds:.1f}"
        table.add_row(
            figure.name,
            f"{figure.sent:,} B",
            f"{figure.received:,} B",
            f"{figure.seconds:.1f}",
            ratio,
        )
    Console(width=100).print(f"{len(tree)} files, {size:,} bytes", table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
