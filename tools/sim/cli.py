"""The commands `sim` and `board`: parse, call one function."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

_SENSOR = "CHIP[@ADDR], several joined by commas; 'none' unplugs it"
_TEMPERATURE = "degrees Celsius, a number or an expression in t (seconds), as '21 + 2*sin(t/60)'"


def register(app: typer.Typer) -> None:
    """Add the commands of this package to ``app``."""
    app.command("board")(board)


def board(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a folder that `stage` has written")],
    heap: Annotated[
        str, typer.Option(metavar="BYTES|esp32|esp8266", help="heap of the firmware")
    ] = "esp32",
    bits: Annotated[int, typer.Option(help="word size of the interpreter, 64 or 32")] = 64,
    sensor: Annotated[str, typer.Option(help=_SENSOR)] = "bme280@0x76",
    temperature: Annotated[str, typer.Option(help=_TEMPERATURE)] = "21 + 2*sin(t/60)",
    umqtt: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder with another umqtt/simple.py")
    ] = None,
    micropython: Annotated[
        Path | None, typer.Option(metavar="PATH", help="another unix port of MicroPython")
    ] = None,
) -> None:
    """Boot a staged folder as a virtual board until Ctrl-C; its log goes to standard output."""
    from tools.sim import board as virtual

    virtual.run(
        lambda echo: virtual.VirtualBoard(
            folder,
            heap=heap,
            bits=bits,
            umqtt=umqtt,
            micropython=micropython,
            on_line=echo,
            sensor=sensor,
            temperature=temperature,
        ),
        sys.stdout,
    )
