"""From a thing's name to what a board gets: its folder, its staged file system."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tools.board import image, stage
from tools.errors import ToolError
from tools.things import boards
from tools.things.boards import Board


def board_of(folder: Path, wanted: str) -> Board:
    """The board asked for; else the one the thing was provisioned for; else an ESP32."""
    if wanted:
        return boards.get(wanted)
    try:
        noted = str(json.loads((folder / "thing.json").read_text("utf-8")).get("board", ""))
    except (OSError, ValueError, AttributeError):
        noted = ""
    return boards.get(noted or "esp32")


def tree(folder: Path, board: Board) -> dict[str, bytes]:
    """Stage the thing in ``folder`` and return its file system: path on the board -> content.

    Raises ToolError when it is not provisioned, or for every problem that `stage` finds.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise ToolError(f"{folder} has no config.json", f"make provision THING={folder.name}")
    certs = folder / "certs"
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        out = Path(scratch, "tree")
        stage.stage(config, certs if certs.is_dir() else folder, out, board.name)
        return image.tree(out)
