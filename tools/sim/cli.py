"""The commands `sim` and `board`: parse, call one function."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tools.errors import ToolError

_SENSOR = "CHIP[@ADDR], several joined by commas; 'none' unplugs it"
_CHAOS = "a bad network on purpose: 'latency=200ms,reset@20s*1m', or random:7; see docs/faults.md"
_Chaos = Annotated[str | None, typer.Option(metavar="FAULTS", help=_CHAOS)]
_TEMPERATURE = (
    "degrees Celsius: a number, an expression in t (seconds), as '21 + 2*sin(t/60)', or csv:FILE"
)
_SCENE = "what happens to the chips, and when: 'unplug@30,plug@60,crc@70..80'; docs/simulator.md"
_Scene = Annotated[str | None, typer.Option(metavar="EVENTS", help=_SCENE)]

_Duration = Annotated[float | None, typer.Option(metavar="S", help="stop after so many seconds")]
_ASLEEP = "battery: they sleep between readings, and send six at once"
_UPDATE = "then roll out a next version to them, signed with a key of this run; docs/updates.md"
_Power = Annotated[str, typer.Option(metavar="mains|battery", help=_ASLEEP)]


def _writable(path: Path | None) -> Path | None:
    """``path``, or a ToolError now: not after the run."""
    if path and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
        raise ToolError(
            f"cannot write {path}", "a file in a folder that is there, as --svg sim.svg"
        )
    return path


_Svg = Annotated[
    Path | None,
    typer.Option(metavar="FILE", callback=_writable, help="write the last picture as SVG"),
]


def register(app: typer.Typer) -> None:
    app.command("sim")(sim)
    app.command("board")(board)
    app.command("try-flash")(try_flash)


def sim(
    thing: Annotated[str, typer.Option(help="name of the (first) thing")] = "demo-1",
    things: Annotated[int, typer.Option("--things", "-n", help="how many boards")] = 1,
    interval: Annotated[int, typer.Option(help="seconds between two readings")] = 5,
    sensor: Annotated[str, typer.Option(help=_SENSOR)] = "bme280@0x76",
    temperature: Annotated[str, typer.Option(help=_TEMPERATURE)] = "21 + 2*sin(t/60)",
    scene: _Scene = None,
    duration: _Duration = None,
    svg: _Svg = None,
    keep: Annotated[bool, typer.Option(help="keep the boards' files and logs in .sim/")] = False,
    board: Annotated[str, typer.Option(help="which board they are: esp32, esp8266, …")] = "esp32",
    chaos: _Chaos = None,
    lan: Annotated[bool, typer.Option("--lan", help="open MQTT to the local network")] = False,
    power: _Power = "mains",
    update: Annotated[bool, typer.Option("--update", help=_UPDATE)] = False,
) -> None:
    """Run the whole of it here: a local AWS, virtual boards, and a live view, until Ctrl-C."""
    from rich.console import Console

    from tools.sim.options import Options
    from tools.sim.run import run

    options = Options(
        thing=thing,
        things=things,
        interval_s=interval,
        sensor=sensor,
        temperature=temperature,
        scene=scene,
        board=board,
        duration_s=duration,
        svg=svg,
        keep=keep,
        chaos=chaos,
        lan=lan,
        power=power,
        update=update,
    )
    run(options, Console())


def board(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="a folder that `stage` has written")
    ],
    heap: Annotated[
        str, typer.Option(metavar="BYTES|esp32|esp8266", help="what the firmware has for a heap")
    ] = "esp32",
    bits: Annotated[int, typer.Option(help="word size of the interpreter, 64 or 32")] = 64,
    sensor: Annotated[str, typer.Option(help=_SENSOR)] = "bme280@0x76",
    temperature: Annotated[str, typer.Option(help=_TEMPERATURE)] = "21 + 2*sin(t/60)",
    scene: _Scene = None,
    umqtt: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder with another umqtt/simple.py")
    ] = None,
    micropython: Annotated[
        Path | None, typer.Option(metavar="PATH", help="another unix port of MicroPython")
    ] = None,
    world: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="its world, JSON, read again whenever it changes"),
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
            world=world,
            sensor=sensor,
            temperature=temperature,
            **({} if scene is None else {"scene": scene}),
        ),
        sys.stdout,
    )


def try_flash(
    thing: Annotated[str, typer.Option(help="name of the thing")] = "try-1",
    board: Annotated[
        str, typer.Option("--board", "-b", help="esp32, esp32c3 or esp8266")
    ] = "esp32",
    svg: Annotated[
        typer.FileTextWrite | None,
        typer.Option(metavar="FILE", lazy=False, help="write a picture of it as SVG, and end"),
    ] = None,
) -> None:
    """Flash a virtual board: a local AWS, a thing, a bare chip at a serial port, until Ctrl-C.

    All that `flash` does to a real board happens to this one: esptool talks to its ROM loader,
    the image lies in its flash, and MicroPython boots from that. At the end come the commands
    that work on it from another terminal, by the port it prints.
    """
    from rich.console import Console

    from tools.sim import try_flash as trial

    plain = {"record": True, "width": 120, "force_terminal": False} if svg else {"soft_wrap": True}
    trial.run(thing, board, svg, Console(highlight=False, **plain))
