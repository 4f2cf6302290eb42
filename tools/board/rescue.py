"""Readings that wait on a board are read out before it is erased, and go back with the new image.

A board without a file system is known by its first blocks. Else MicroPython itself is asked (data/
only, seconds); a board that gives no REPL has its whole partition read by esptool. What was found
is kept on the host until the new image is verified, so that a power cut in between loses nothing.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.board import esptool, image, mpremote, partitions
from tools.board.esptool import Chip
from tools.board.partitions import Partition
from tools.errors import ToolError
from tools.things.boards import Board
from tools.things.values import thing_name

DATA = "data"
_CONFIG = "config.json"
CRASH_COUNT = "data/crash.log.runs"  # crashes of the former firmware are not held against the new
_NAMELESS = "unknown"  # the thing of a board whose name is none
_PENDING = "rescued"  # things/THING/rescued/<mac>/data/…
_TRIES = 1  # there is another way
_BOOT_S = 1.0  # esptool has just let the board go: what is typed while it boots is lost
_START_BYTES = 2 * image.BLOCK

Note = Callable[[str], None]


@dataclass(frozen=True)
class Rescued:
    """Files under data/, the thing they belong to ("" when the board does not say), and how."""

    files: dict[str, bytes]
    thing: str
    how: str

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(map(len, self.files.values()))


def read(
    port: str, chip: Chip, board: Board, baud: int, note: Note, progress: esptool.Progress
) -> Rescued:
    """Return what is on the board; empty when it holds no file system.

    Raises ToolError when there is one that neither way can read: KEEP=no goes on without.
    """
    where = _partition(chip, board)
    if where is None:
        return Rescued({}, "", "no file system on the board")
    start = esptool.read(port, where.offset, _START_BYTES, baud, lambda part: None)
    if not image.has_filesystem(start):
        return Rescued({}, "", "no file system on the board")
    time.sleep(_BOOT_S)
    try:
        return _through_repl(port)
    except ToolError as e:
        note(f"{e.message}; reading the flash instead")
    try:
        files = image.read(esptool.read(port, where.offset, where.size, baud, progress))
    except ToolError as e:
        raise ToolError(
            f"the stored readings cannot be read: {e}", "KEEP=no flashes anyway"
        ) from e
    kept = {path: data for path, data in files.items() if _is_kept(path)}
    return Rescued(kept, _thing(files.get(_CONFIG, b"")), "read from the flash")


def _partition(chip: Chip, board: Board) -> Partition | None:
    """Where the board's present file system is, by the table in its own flash."""
    try:
        if board.chip == "esp8266":
            return partitions.vfs(b"", board, chip.flash_bytes)
        return partitions.vfs_of(partitions.parse(chip.table), chip.flash_bytes)
    except ToolError:
        return None


def _through_repl(port: str) -> Rescued:
    listed, _ = mpremote.listing(port, [DATA, _CONFIG], tries=_TRIES)
    files = mpremote.fetch(port, sorted(listed))
    config = files.get(_CONFIG, b"")
    kept = {path: data for path, data in files.items() if _is_kept(path)}
    return Rescued(kept, _thing(config), "read through the REPL")


def _is_kept(path: str) -> bool:
    # The names are the board's: none may lead out of the folder they are kept in.
    inside = ".." not in path.replace("\\", "/").split("/")
    return path.startswith(f"{DATA}/") and inside and path != CRASH_COUNT


def _thing(config: bytes) -> str:
    try:
        name = json.loads(config)["thing_name"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    # It becomes the name of a folder here, and anybody may have written it there.
    return str(name) if thing_name(name) is None else _NAMELESS


def save(folder: Path, mac: str, files: dict[str, bytes]) -> None:
    """Keep ``files`` below the thing's folder until forget(); an older rescue is replaced."""
    target = _pending(folder, mac)
    shutil.rmtree(target, ignore_errors=True)
    image.write_files(target, files)


def pending(folder: Path, mac: str) -> dict[str, bytes]:
    """What an interrupted flash of this very board had saved."""
    return image.files_in(_pending(folder, mac))


def forget(folder: Path, mac: str) -> None:
    """The board has its files back."""
    shutil.rmtree(_pending(folder, mac), ignore_errors=True)


def _pending(folder: Path, mac: str) -> Path:
    return folder / _PENDING / mac.replace(":", "")
