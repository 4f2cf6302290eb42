"""`make try-flash`: a local AWS, a thing, a bare virtual board, and `make flash` onto it.

The board is at a serial port (RFC 2217) for every command that takes a PORT, until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from typing import TextIO

from rich.console import Console

from tools import toolchain
from tools.aws.provision import provision
from tools.board import firmware, flash, prepare, view
from tools.endings import interrupt, on_endings
from tools.errors import ToolError
from tools.sim import devices, folders
from tools.sim.cloud import LocalCloud
from tools.sim.esp import chips, images
from tools.sim.esp.board import Board
from tools.sim.esp.server import QUICK, Server
from tools.things import boards
from tools.things.folder import check_name

_SETTINGS = {"interval_s": 5}
_WORLD = {"sensor": "bme280@0x76", "temperature": "21 + 2*sin(t/60)"}


def run(thing: str, board: str, svg: TextIO | None, console: Console) -> None:
    """Run until Ctrl-C or SIGTERM, or write the picture ``svg`` and end; nothing is left behind.

    ToolError when a step fails, and for a board there is no virtual one of.
    """
    kind = boards.get(board)
    if kind.name not in chips.MAKERS:
        raise ToolError(f"there is no virtual {board}", f"BOARD={' or BOARD='.join(chips.MAKERS)}")
    end = threading.Event()
    with on_endings(interrupt) as handle_by, contextlib.ExitStack() as stack:
        try:
            with view.Lines(console) as lines:
                commands = _bring_up(thing, kind, lines, stack)
            handle_by(lambda *_: end.set())
            console.print(commands, highlight=False, markup=False)
            if svg is not None:
                svg.write(console.export_svg(title="make try-flash"))
                return
            end.wait()
        finally:
            handle_by(signal.SIG_IGN)  # nothing may interrupt the stopping
    console.print("everything is stopped, the thing and its board are gone")


def _bring_up(
    thing: str, kind: boards.Board, lines: view.Lines, stack: contextlib.ExitStack
) -> str:
    """Do every step; ``stack`` gets what undoes them. Returns what can be done then, as text."""
    scratch = stack.enter_context(folders.scratch(False))
    announcement = stack.enter_context(folders.place(scratch))
    things = announcement.parent / "things"
    folder = things / check_name(thing)
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier local AWS
    file, what = images.of(kind, scratch)
    lines.step("cloud", "starting a local AWS (MiniStack)")
    cloud = stack.enter_context(LocalCloud())
    folders.renew(things, cloud.info)
    stack.enter_context(folders.announced(cloud.info, announcement))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    lines.step("cloud", f"it is at {cloud.info.gateway_url}, for this machine only")
    provision(cloud.clients, thing, folder, wifi=devices.WIFI, settings=_SETTINGS, board=kind.name)
    shown = os.path.relpath(folder, toolchain.ROOT)
    lines.step("thing", f"{thing}: key, certificate and policy, in {shown}")
    board = Board(scratch / "board", chip_name=kind.name, settings=_WORLD)
    port = stack.enter_context(Server(board)).url
    lines.step("board", f"a bare virtual {kind.name}, {board.flash_bytes >> 20} MB, at {port}")
    lines.step("firmware", f"{what}; what then runs is the unix port of MicroPython")
    place = folders.prefix(announcement)
    known = file == firmware.CACHE / boards.file_name(kind, boards.version())
    named = "" if known else f" FIRMWARE={os.path.relpath(file, toolchain.ROOT)}"
    lines.step("$", f"{place}make flash THING={thing} PORT={port} LOCAL=1{named}")
    job = flash.Job(
        thing=thing,
        folder=folder,
        board=kind,
        port=port,
        tree=prepare.tree(folder, kind),
        firmware=firmware.obtain(kind, local=None if known else file),
    )
    # The virtual line takes no time: without this esptool spends most of the minute waiting.
    former = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(QUICK), former)))
    lines.step("done", flash.summary(job, flash.flash(job, lines)))
    return _commands(place, thing, port)


def _commands(place: str, thing: str, port: str) -> str:
    board, both = f"PORT={port}", f"THING={thing} PORT={port} LOCAL=1"
    config = f"config {thing} interval_s=2 --port {port} --local"
    rows = {
        "follow its log": f"{place}make logs {board}",
        "see its readings": f"{place}make watch THING={thing} LOCAL=1",
        "send changed code": f"{place}make deploy {both}",
        "change a setting": f"{place}.venv/bin/python -m tools {config}",
        "a new certificate": f"{place}make rotate THING={thing} LOCAL=1",
        "its Python prompt": f"{place}make repl {board}",
        "its crash log": f"{place}make crashlog {board}",
        "what is wrong with it": f"{place}make doctor {both}",
    }
    listed = "\n".join(f"  {why:<23}{command}" for why, command in rows.items())
    return f"\nThe board stays at its port. From another terminal:\n{listed}\nCtrl-C stops it all."
