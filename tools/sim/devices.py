"""Makes the device file systems of virtual things: provisioned on a local AWS, then staged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.aws.clients import Clients
from tools.aws.provision import provision
from tools.board.stage import stage
from tools.things import boards

WIFI = [{"ssid": "fieldmouse", "password": "in-the-barn"}]


def names(first: str, count: int) -> list[str]:
    """``count`` thing names: demo-1 gives demo-1, demo-2, …; barn gives barn, barn-2, …"""
    stem, _, number = first.rpartition("-")
    if stem and number.isdecimal():
        return [f"{stem}-{int(number) + i}" if i else first for i in range(count)]
    return [first, *(f"{first}-{i + 2}" for i in range(count - 1))]


def make(
    clients: Clients,
    thing: str,
    folder: Path,
    board: str = "esp32",
    home: Path | None = None,
    keys: Path | None = None,
    **settings: Any,
) -> Path:
    """Provision ``thing`` with the code of real AWS and stage its board; returns what to boot.

    ``folder`` gets `board/` (the device file system); ``home``, or `thing/` in ``folder``, gets
    config.json and certificates.
    ``board`` (tools/things/boards.json) decides kind and format of the key. ``settings`` go into
    config.json. Raises ToolError when either step does.
    """
    kind = boards.get(board).profile
    made = provision(
        clients,
        thing,
        home or folder / "thing",
        wifi=WIFI,
        settings=settings,
        board=board,
        updates=keys is not None,
    )
    return stage(made.folder.config, made.folder.certs, folder / "board", kind, keys=keys).out
