"""The commands that stage a tree and write boards: parse, call one function, print its result."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.board import battery_cli, device_cli
from tools.options import BoardName, Local, Port, Thing, Yes, home

if TYPE_CHECKING:
    from tools.board.firmware import Firmware
    from tools.board.view import Lines
    from tools.things.boards import Board

_Board = Annotated[str, typer.Option("--board", "-b", metavar="BOARD", help="esp32, esp8266, …")]
_Firmware = Annotated[
    Path | None, typer.Option(metavar="FILE", help="a MicroPython .bin of your own")
]
_Tree = Annotated[
    Path | None, typer.Option(metavar="DIR", help="an output of `stage`, instead of the thing's")
]
_Baud = Annotated[int, typer.Option(help="falls back to 115200 when the link fails")]


class Power(str, Enum):
    """How a board is supplied: other files are one where it sleeps."""

    mains = "mains"
    battery = "battery"


class YesNo(str, Enum):
    """For options that Make passes on as a word."""

    yes = "yes"
    no = "no"


def register(app: typer.Typer) -> None:
    """Add the commands of this package to ``app``."""
    app.command("stage")(stage)
    app.command("traceback")(traceback)
    app.command("ports")(ports)
    app.command("flash")(flash)
    app.command("erase")(erase)
    device_cli.register(app)
    battery_cli.register(app)


def stage(
    config: Annotated[Path, typer.Option(metavar="FILE", help="the config.json to check and use")],
    certs: Annotated[
        Path, typer.Option(metavar="DIR", help="folder with the CA, certificate and private key")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="new, empty, or an earlier output")],
    board: _Board = "esp32",
    sensor: Annotated[
        list[str] | None,
        typer.Option(metavar="CHIP", help="whose drivers go on; default: what fits the board"),
    ] = None,
    py: Annotated[
        bool, typer.Option("--py", help="firmware as .py to look into; takes twice the heap")
    ] = False,
) -> None:
    """Check a configuration and certificates and write the file system of a board.

    The names of the AWS console are understood (*-certificate.pem.crt, *-private.pem.key,
    AmazonRootCA1.pem), and cert.pem, key.pem, ca.pem, certificate.pem.crt, private.key,
    private.pem.key. `data/` in the output, where a board keeps its readings, is left alone.
    """
    from rich.console import Console

    from tools.board import stage as staging

    made = staging.stage(config, certs, out, board, compiled=not py, sensors=sensor or ())
    until = made.certificates.certificate.not_valid_after_utc
    Console(highlight=False, soft_wrap=True).print(
        f"{made.out}: {made.config['thing_name']} for {board}, firmware {made.version}, "
        f"{len(made.files)} files, certificate valid to {until:%Y-%m-%d}",
        markup=False,
    )


def traceback(
    file: Annotated[
        typer.FileText,
        typer.Argument(metavar="FILE", help="a log with tracebacks; - for the input"),
    ] = "-",  # type: ignore[assignment]
    board: _Board = "esp32",
    power: Annotated[Power, typer.Option(help="as in its config.json")] = Power.mains,
) -> None:
    """Show a board's log with the files and lines of the sources in its tracebacks.

    On a board some files of the firmware are one, and on an ESP8266 all have short names: `File
    "app", line 812` becomes `File "firmware/outbox.py", line 97`. The sources here must be those
    on the board.
    """
    from tools import wire
    from tools.board import stage as staging

    text = staging.source_lines(file.read(), board, power=power.value)
    typer.echo(wire.text(text, lines=True), nl=False)


def ports() -> None:
    """List the boards that are plugged in."""
    from tools.board import ports as serial_ports

    found = serial_ports.found()
    typer.echo("\n".join(map(str, found)) if found else "no USB serial port is plugged in")


def flash(
    thing: Thing,
    port: Port = "",
    board: BoardName = "",
    firmware: _Firmware = None,
    version: Annotated[
        str, typer.Option(help="MicroPython release; default: the pinned one")
    ] = "",
    tree: _Tree = None,
    baud: _Baud = 921600,
    keep: Annotated[YesNo, typer.Option(help="keep readings that wait on the board")] = YesNo.yes,
    wait: Annotated[bool, typer.Option(help="watch the board until it reports to AWS")] = True,
    timeout: Annotated[float, typer.Option(metavar="S", help="how long to watch")] = 90.0,
    local: Local = False,
) -> None:
    """Put MicroPython, firmware, configuration and certificates onto a board; watch it start."""
    from tools.board import flash as flashing
    from tools.board import image, prepare, view
    from tools.board import ports as serial_ports

    folder = home(thing, None, local)
    kind = prepare.board_of(folder, board)
    with view.Lines() as lines:
        where = serial_ports.choose(port)
        lines.step("port", where)
        job = flashing.Job(
            thing=thing,
            folder=folder,
            board=kind,
            port=where,
            tree=image.tree(tree) if tree else prepare.tree(folder, kind),
            firmware=_build(kind, version, firmware, lines),
            baud=baud,
            keep=keep is YesNo.yes,
            wait_s=timeout if wait else 0,
        )
        result = flashing.flash(job, lines)
    typer.echo(flashing.summary(job, result))


def _build(kind: Board, version: str, local: Path | None, lines: Lines) -> Firmware:
    from tools.board import firmware as builds

    def progress(done: int, total: int) -> None:
        lines.progress("download", done / max(total, done, 1))

    build = builds.obtain(kind, version, local, progress=progress)
    lines.step("firmware", f"{build.build or build.path.name} {build.version}, checked")
    return build


def erase(
    port: Port = "",
    yes: Yes = False,
) -> None:
    """Erase the whole flash of a board, the readings that wait on it included."""
    from tools.board import esptool
    from tools.board import ports as serial_ports

    where = serial_ports.choose(port)
    if not yes and not typer.confirm(f"Erase everything on the board at {where}?"):
        raise typer.Exit(1)
    esptool.erase(where)
    typer.echo(f"the board at {where} is erased")
