"""The commands for a board that is already flashed: parse, call one function, print its result."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools import options
from tools.errors import ToolError
from tools.options import BoardName, Local, Port, Thing, Wait, Yes, home
from tools.things import bulk
from tools.things.folder import Folder

if TYPE_CHECKING:
    from tools.things.boards import Board

_DEBUG = "python -m tools shadow set THING log_level=debug"  # forgotten at its restart


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command("deploy")(deploy)
    app.command("logs")(logs)
    app.command("repl")(repl)
    app.command("crashlog")(crashlog)
    app.command("config")(config)
    app.command("hil")(hil)


def deploy(
    thing: Thing,
    port: Port = "",
    board: BoardName = "",
    wait: Wait = True,
    local: Local = False,
) -> None:
    """Send the files that changed to a flashed board and restart it.

    A board that sleeps (power=battery) is waited for, or woken up by a reset.
    """
    from tools.board import deploy as deploying
    from tools.board import prepare

    folder = home(thing, None, local)
    kind = prepare.board_of(folder, board)
    where = deploying.reach(port, Folder(folder).read_config() or {}, _say, wait)
    _send_all(where, kind, prepare.tree(folder, kind, True))


def _port(port: str, wait: bool, limit_s: float = 0.0) -> str:
    """The port of a board that may sleep."""
    from tools.board import ports

    return ports.wait(port, _say, (limit_s or ports.WAIT_S) * wait)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _send_all(where: str, kind: Board, tree: dict[str, bytes]) -> None:
    from tools import wire
    from tools.board import deploy as deploying

    done = deploying.deploy(where, kind, tree, typer.echo)
    for path in done.sent:
        typer.echo(f"sent     {path}")
    for path in done.removed:
        typer.echo(f"removed  {wire.text(path)}")
    rom = ", ROMFS renewed" if done.romfs else ""
    same = len(tree) - len(done.sent)
    typer.echo(f"{len(done.sent)} sent, {same} unchanged{rom}; the board restarts")


def logs(
    port: Port = "",
    reset: Annotated[bool, typer.Option(help="restart the board first")] = False,
    seconds: Annotated[float, typer.Option(metavar="S", help="stop after; 0: never")] = 0.0,
    wait: Wait = True,
) -> None:
    """Follow the log of a board, through its resets and sleeps, until Ctrl-C."""
    import time

    from rich.console import Console
    from rich.text import Text

    from tools.board import serial_log

    console = Console(highlight=False, soft_wrap=True)
    end = time.monotonic() + seconds if seconds else None
    with serial_log.SerialLog(_port(port, wait, seconds), patience_s=3600) as log:
        typer.echo(f"following {log.port}; Ctrl-C ends; readings too: {_DEBUG}", err=True)
        if reset:
            log.reset()
        for line in log.lines(end, hint=True):
            console.print(Text(line, serial_log.style(line)))


def repl(port: Port = "", wait: Wait = True) -> None:
    """Open the Python prompt of a board; Ctrl-] leaves it, and the firmware starts again.

    The firmware is stopped for that. Ctrl-C goes to the board: it ends what runs there. One that
    sleeps is woken up by a reset.
    """
    from tools.board import serial_log

    if not sys.stdin.isatty():
        raise ToolError("repl needs a terminal", "python -m mpremote connect PORT exec CODE")
    with serial_log.SerialLog(_port(port, wait)) as log:
        typer.echo(f"the prompt of {log.port}; Ctrl-] leaves it and restarts the firmware")
        log.prompt()
    typer.echo("\nthe board restarts")


def crashlog(port: Port = "", wait: Wait = True) -> None:
    """Show what a board has written about its last crashes, and restart it."""
    from tools.board import deploy as deploying
    from tools.board import mpremote

    where = _port(port, wait)
    mpremote.wake(where)
    text = deploying.crash_log(where, typer.echo)
    typer.echo(text.rstrip() or "no crash is recorded")


def config(
    thing: Thing,
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE…", help="interval_s=30, i2c.sda=4, key=- asks"),
    ] = None,
    fleet: bulk.From = None,
    port: Port = "",
    send: Annotated[bool, typer.Option(help="to the board; else only in things/")] = True,
    wait: Wait = True,
    local: Local = False,
) -> None:
    """Change a thing's config.json, checked as a whole, and send it to the board.

    With another `power` all files are sent: a board that sleeps has others. Of a fleet (--from
    FLEET.CSV KEY=VALUE... --no-send) only on this computer.
    """
    if fleet is not None:
        _config_all(thing, changes or [], fleet, send, local)
        return
    from tools.board import deploy as deploying
    from tools.board import edit_config

    folder = Folder(home(thing, None, local))
    raw = folder.read_config()
    if raw is None:
        raise ToolError(f"{folder.config} is not there", f"make provision THING={thing}")
    new = edit_config.change(raw, changes or [], _ask)
    where = deploying.reach(port, raw, _say, wait) if send else ""
    folder.write(
        folder.config, json.dumps(new, indent=2, ensure_ascii=False).encode() + b"\n", 0o600
    )
    if not send:
        typer.echo(f"{folder.config} is changed; now: {options.deploy(thing)}")
        return
    _send_config(where, folder, new, raw)


def _send_config(where: str, folder: Folder, new: dict[str, Any], raw: Mapping[str, Any]) -> None:
    """``new`` in place of ``raw``."""
    from tools.board import mpremote, prepare
    from tools.things import config as thing_config

    board = prepare.board_of(folder.path, "")
    if new.get("power", "mains") != raw.get("power", "mains"):
        _send_all(where, board, prepare.tree(folder.path, board, True))
        return
    complete = thing_config.checked(new, str(folder.config), board.defaults, board.chip)
    files = {"config.json": thing_config.for_board(complete)}
    sent, _ = mpremote.sync(where, files, [], typer.echo)
    typer.echo("sent; the board restarts" if sent else "the board has it already; it restarts")


def _config_all(thing: str, changes: list[str], fleet: Path, send: bool, local: bool) -> None:
    if send:
        hint = "--no-send, and make deploy THING=... for each board"
        raise ToolError("a fleet's boards are not on one cable", hint)
    names, words = bulk.with_pairs("config", thing, changes, fleet)

    def one(name: str) -> str:
        config(name, words, send=False, local=local)
        return ""

    bulk.run(names, one, 1)


def _ask(key: str) -> str:
    value: str = typer.prompt(key, hide_input=True)
    return value


def hil(
    port: Port = "",
    thing: Annotated[
        str, typer.Option("--thing", help="a provisioned thing; else a made one")
    ] = "",
    board: Annotated[str, typer.Option("--board", "-b", help="default: as provisioned")] = "esp32",
    firmware: Annotated[str, typer.Option(metavar="FILE", help="a MicroPython .bin")] = "",
    yes: Yes = False,
) -> None:
    """Erase a real board and run it through everything that the tests do with a virtual one."""
    from tools.board import ports
    from tools.toolchain import ROOT

    where = ports.choose(port)
    if not yes and not typer.confirm(f"Erase the board at {where} and use it for the tests?"):
        raise typer.Exit(1)
    given = ["--thing", thing, "--board", board, "--firmware", firmware]
    argv = [sys.executable, "-m", "tests.hil", where, *given]
    raise typer.Exit(subprocess.call(argv, cwd=ROOT))
