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
    return boards.get(wanted or str(_noted(folder, "board") or "esp32"))


def _noted(folder: Path, key: str) -> object:
    try:
        return json.loads((folder / "thing.json").read_text("utf-8")).get(key)
    except (OSError, ValueError, AttributeError):
        return None


def is_keyless(folder: Path) -> bool:
    """Whether the key is on the board and nowhere else: the board has made it."""
    return bool(_noted(folder, "key_on_board")) and not (folder / "certs" / "key.pem").exists()


def tree(folder: Path, board: Board, keyless: bool = False) -> dict[str, bytes]:
    """Stage the thing in ``folder`` and return its file system: path on the board -> content.

    ``keyless``: without the key, where that is on the board only. Raises ToolError when it is not
    provisioned, or for every problem that `stage` finds.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise ToolError(f"{folder} has no config.json", f"make provision THING={folder.name}")
    certs, absent = folder / "certs", is_keyless(folder)
    if absent and not keyless:
        raise ToolError(
            f"the key of {folder.name} is on its board and nowhere else (rotate --remote)",
            f"python -m tools rotate {folder.name}: makes one here, and then flash",
        )
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        out = Path(scratch, "tree")
        source = certs if certs.is_dir() else folder
        stage.stage(config, source, out, board.name, keyless=absent)
        return image.tree(out)
