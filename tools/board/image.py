"""The board's file system as one image: LittleFS, exactly as MicroPython would have made it.

Geometry of stock builds (VfsLfs2 over 4 KB flash sectors): block 4096, read and program 32,
lookahead 32, cache 128, names to 255. Builds up to 1.21 refuse disk version 2.1, all take 2.0.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from littlefs import LittleFS, LittleFSError, UserContext

from tools.errors import ToolError

BLOCK = 4096
_DISK_2_0 = 0x00020000
_DISK_NEWEST = 0  # for reading: a board that has written may have made it 2.1
_BLANK = b"\xff" * BLOCK
_GAP_BLOCKS = 8  # a gap shorter than this costs less to send than one more segment


def tree(folder: Path) -> dict[str, bytes]:
    """Read a staged folder: path on the board -> content."""
    if not (folder / "main.py").is_file():
        hint = "python -m tools stage --config FILE --certs DIR --out DIR"
        raise ToolError(f"{folder} is not a staged device file system", hint)
    return files_in(folder)


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below a folder: path -> content."""
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files``, path -> content, below a folder."""
    for name, data in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


class FileSystem:
    """A file system of exactly ``size`` bytes (the partition's) that holds ``files``."""

    def __init__(self, files: Mapping[str, bytes], size: int) -> None:
        self.size = size
        self.files: dict[str, bytes] = {}
        self._fs = _filesystem(size // BLOCK, _DISK_2_0)
        self._fs.format()
        self._fs.mount()
        self.add(files)

    def add(self, files: Mapping[str, bytes]) -> None:
        """Write more files; ToolError when they do not fit, its message says by how much."""
        self.files.update(files)
        try:
            for folder in sorted({name.rpartition("/")[0] for name in files} - {""}):
                self._fs.makedirs(folder, exist_ok=True)
            for name in sorted(files):
                with self._fs.open(name, "wb") as file:
                    file.write(files[name])
        except LittleFSError as e:
            if e.code != -errno.ENOSPC:
                raise
            need = f"{len(self.files)} files with {sum(map(len, self.files.values())):,} bytes"
            raise ToolError(
                f"{need} do not fit the {self.size:,} bytes on the board",
                "KEEP=no leaves stored readings behind; or a board with more flash",
            ) from e

    @property
    def used_blocks(self) -> int:
        """How many blocks the files take."""
        return int(self._fs.used_block_count)

    def image(self) -> bytes:
        """Everything as it lies in flash."""
        return bytes(self._fs.context.buffer)


def read(image: bytes) -> dict[str, bytes]:
    """Return every file of an image; ToolError when it holds no file system we can read."""
    if not has_filesystem(image):
        raise ToolError("there is no LittleFS file system")
    fs = _filesystem(len(image) // BLOCK, _DISK_NEWEST)
    fs.context.buffer = bytearray(image)
    files: dict[str, bytes] = {}
    try:
        fs.mount()
        for folder, _, names in fs.walk("/"):
            for name in names:
                path = f"{folder.rstrip('/')}/{name}".lstrip("/")
                with fs.open(path, "rb") as file:
                    files[path] = file.read()
    except LittleFSError as e:
        raise ToolError(f"the file system is damaged: {e}") from e
    return files


def has_filesystem(start: bytes) -> bool:
    """True if a partition that begins with these bytes (8 KB is enough) is formatted as LittleFS.

    The superblock is a pair of blocks; its name stands at byte 8 of either (littlefs SPEC.md).
    """
    return any(start[at + 8 : at + 16] == b"littlefs" for at in (0, BLOCK))


def segments(image: bytes) -> list[tuple[int, bytes]]:
    """The parts of an image that are not blank, as (offset, bytes): what has to be sent.

    The rest is what an erased chip holds anyway. Short gaps are sent along.
    """
    used = [at for at in range(0, len(image), BLOCK) if image[at : at + BLOCK] != _BLANK]
    runs: list[list[int]] = []
    for at in used:
        if runs and at - runs[-1][1] <= _GAP_BLOCKS * BLOCK:
            runs[-1][1] = at + BLOCK
        else:
            runs.append([at, at + BLOCK])
    return [(start, image[start:end]) for start, end in runs]


class _Flash(UserContext):
    # The library's asks for a logger at each read, of which a file takes a thousand.
    def read(self, cfg: Any, block: int, off: int, size: int) -> bytearray:
        start = block * BLOCK + off
        read: bytearray = self.buffer[start : start + size]
        return read


def _filesystem(blocks: int, disk_version: int) -> LittleFS:
    return LittleFS(
        context=_Flash(buffer=bytearray(_BLANK * blocks)),
        block_size=BLOCK,
        block_count=blocks,
        read_size=32,
        prog_size=32,
        lookahead_size=32,
        cache_size=128,
        name_max=255,
        disk_version=disk_version,
        mount=False,
    )
