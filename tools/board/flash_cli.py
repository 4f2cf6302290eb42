"""The commands that write boards: parse, call one function, print its result."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.errors import ToolError

if TYPE_CHECKING:
    from tools.board.boards import Board
    from tools.board.firmware import Firmware
    from tools.board.flash import Result
    from tools.board.view import Lines

_Port = Annotated[
    str,
    typer.Option(
        "--port", "-p", metavar="PORT", help="device or rfc2217://host:port; default: the only one"
    ),
]
_Thing = Annotated[str, typer.Argument(metavar="THING", help="folder below things/")]
_BoardName = Annotated[
    str, typer.Option("--board", "-b", help="default: as provisioned, or esp32")
]
_Firmware = Annotated[
    Path | None, typer.Option(metavar="FILE", help="a MicroPython .bin of your own")
]
_Tree = Annotated[
    Path | None, typer.Option(metavar="DIR", help="an output of `stage`, instead of the thing's")
]
_Baud = Annotated[int, typer.Option(help="falls back to 115200 when the link fails")]
_Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="record and labels; default: beside the CSV")
]
_Ports = Annotated[
    list[str] | None, typer.Option("--port", "-p", help="only this port; may be repeated")
]


class YesNo(str, Enum):
    """For options that Make passes on as a word."""

    yes = "yes"
    no = "no"


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    from tools.board import device_cli

    app.command("ports")(ports)
    app.command("flash")(flash)
    app.command("erase")(erase)
    app.command("bench-flash")(bench_flash)
    device_cli.register(app)


def ports() -> None:
    """List the boards that are plugged in."""
    from tools.board import ports as serial_ports

    found = serial_ports.found()
    typer.echo("\n".join(map(str, found)) if found else "no USB serial port is plugged in")


def flash(
    thing: _Thing,
    port: _Port = "",
    board: _BoardName = "",
    firmware: _Firmware = None,
    version: Annotated[
        str, typer.Option(help="MicroPython release; default: the pinned one")
    ] = "",
    tree: _Tree = None,
    baud: _Baud = 921600,
    keep: Annotated[YesNo, typer.Option(help="keep readings that wait on the board")] = YesNo.yes,
    wait: Annotated[bool, typer.Option(help="watch the board until it reports to AWS")] = True,
    timeout: Annotated[float, typer.Option(metavar="S", help="how long to watch")] = 90.0,
) -> None:
    """Put MicroPython, firmware, configuration and certificates onto a board; watch it start."""
    from tools.aws import folder as things
    from tools.board import flash as flashing
    from tools.board import image, prepare, view
    from tools.board import ports as serial_ports

    folder = things.things_dir() / things.check_name(thing)
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
    _finish(thing, result)


def _build(kind: Board, version: str, local: Path | None, lines: Lines) -> Firmware:
    from tools.board import firmware as builds

    def progress(done: int, total: int) -> None:
        lines.progress("download", done / max(total, done, 1))

    build = builds.obtain(kind, version, local, progress=progress)
    lines.step("firmware", f"{build.build or build.path.name} {build.version}, checked")
    return build


def _finish(thing: str, result: Result) -> None:
    outcome = result.outcome
    if outcome is not None and not outcome.ok:
        raise ToolError(
            f"{thing} is flashed, but: {outcome.failed}: {outcome.why}", outcome.remedy
        )
    how = f", reports to AWS after {outcome.seconds:.0f} s" if outcome else ""
    typer.echo(f"{thing} is on the board {result.chip.mac}{how}")


def erase(
    port: _Port = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
) -> None:
    """Erase the whole flash of a board, the readings that wait on it included."""
    from tools.board import esptool
    from tools.board import ports as serial_ports

    where = serial_ports.choose(port)
    if not yes and not typer.confirm(f"Erase everything on the board at {where}?"):
        raise typer.Exit(1)
    esptool.erase(where)
    typer.echo(f"the board at {where} is erased")


def bench_flash(
    fleet: Annotated[Path, typer.Option(metavar="FILE", help="CSV with a column `thing`")],
    out: _Out = None,
    port: _Ports = None,
    board: _BoardName = "",
    firmware: _Firmware = None,
    baud: _Baud = 921600,
    again: Annotated[bool, typer.Option(help="another thing for a board that has one")] = False,
    once: Annotated[
        bool, typer.Option(help="end when the boards now plugged in are done")
    ] = False,
) -> None:
    """Flash a bench full of boards: each that is plugged in gets the next thing of the fleet."""
    from tools.aws import folder as things
    from tools.board import bench_flash as bench

    order = bench.Order(
        fleet=fleet,
        out=out or fleet.parent / f"{fleet.stem}-flashed",
        things=things.things_dir(),
        ports=tuple(port or ()),
        board=board,
        firmware=firmware,
        baud=baud,
        again=again,
        once=once,
    )
    done = bench.run(order)
    typer.echo(f"{done.flashed} flashed, {done.failed} failed, {done.left} things left")
    if done.failed:
        raise typer.Exit(1)
