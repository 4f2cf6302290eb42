"""The command `battery`: parse, reckon, show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.errors import ToolError

_Mah = Annotated[
    float, typer.Option(min=1, max=1e6, metavar="MAH", help="what the battery says; in a row: one")
]
_Interval = Annotated[
    int, typer.Option(min=1, max=86_400, metavar="SECONDS", help="from one reading to the next")
]
_Batch = Annotated[
    int | None,
    typer.Option(min=1, max=500, metavar="N", help="readings a connect; default: 6"),
]
_Board = Annotated[str, typer.Option("--board", "-b", metavar="BOARD", help="esp32, esp32c3, …")]
_Kit = Annotated[str, typer.Option(metavar="KIT", help="which board of that chip; ? lists them")]
_Sensor = Annotated[str, typer.Option(metavar="CHIP", help="as in docs/sensors.md")]
_Rtt = Annotated[
    int, typer.Option("--rtt-ms", min=1, max=10_000, metavar="MS", help="round trip to AWS")
]
_Cell = Annotated[str, typer.Option(metavar="CELL", help="li-ion, alkaline, lithium, nimh")]
_Every = Annotated[bool, typer.Option("--every-reading", help="connect at each: --batch 1")]
_Sleep = Annotated[
    float | None,
    typer.Option(min=0, max=1e6, metavar="UA", help="µA you have measured, instead of the kit's"),
]
_Svg = Annotated[Path | None, typer.Option(metavar="FILE", help="the output as a picture too")]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("battery")(battery)


def battery(
    mah: _Mah = 2600,
    interval: _Interval = 600,
    batch: _Batch = None,
    board: _Board = "esp32",
    kit: _Kit = "",
    sensor: _Sensor = "bme280",
    rtt_ms: _Rtt = 100,
    cell: _Cell = "li-ion",
    every_reading: _Every = False,
    sleep_ua: _Sleep = None,
    svg: _Svg = None,
) -> None:
    """Estimate how long a battery lasts, and show what takes how much of it.

    Three things decide: how often it connects (--interval times --batch: for two seconds the radio
    takes four times what the chip takes without it), what the board takes asleep (--kit: one with
    a power LED and an old regulator empties any battery within weeks), and the sensor.

    All of it is reckoned from published measurements, listed below the result; nothing has been
    measured on a board of ours. Measure your board's current asleep and give it as --sleep-ua.
    """
    from rich.console import Console

    from tools.board import energy, energy_view
    from tools.things import boards

    if every_reading and batch not in (None, 1):
        raise ToolError(f"--every-reading is --batch 1, not {batch}", "one of the two")
    if kit == "?":
        typer.echo(energy.listed(energy.kits(boards.get(board).name)))
        return
    each = 1 if every_reading else batch or 6
    plan = energy.Plan(mah, interval, each, board, kit, sensor, rtt_ms, cell, sleep_ua)
    console = Console(highlight=False, record=svg is not None)
    energy_view.show(console, plan)
    if svg:
        _write(svg, console.export_svg(title="python -m tools battery"))


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as e:
        raise ToolError(f"cannot write {file}: {e.strerror}") from e
