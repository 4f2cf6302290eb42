"""The board's file system as one image: LittleFS, exactly as MicroPython would have made it.

Geometry of stock builds (VfsLfs2 over 4 KB flash sectors): block 4096, read and program 32,
lookahead 32, cache 128, names to 255. Builds up to 1.21 refuse disk version 2.1, all take 2.0.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path

from littlefs import LittleFS, LittleFSError

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
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


def build(files: Mapping[str, bytes], size: int) -> bytes:
    """Return an image of exactly ``size`` bytes (the partition's) that holds ``files``.

    ToolError when they do not fit; the message says by how much.
    """
    fs = _filled(files, size)
    fs.unmount()
    return bytes(fs.context.buffer)


def used_blocks(files: Mapping[str, bytes], size: int) -> int:
    """How many blocks ``files`` take on a file system of ``size`` bytes; ToolError as `build`."""
    return int(_filled(files, size).used_block_count)


def _filled(files: Mapping[str, bytes], size: int) -> LittleFS:
    fs = _filesystem(size // BLOCK, _DISK_2_0)
    fs.format()
    fs.mount()
    try:
        for folder in sorted({p for name in files for p in _parents(name)}):
            fs.mkdir(folder)
        for name in sorted(files):
            with fs.open(name, "wb") as file:
                file.write(files[name])
    except LittleFSError as e:
        if e.code != -errno.ENOSPC:
            raise
        need = sum(len(data) for data in files.values())
        raise ToolError(
            f"{len(files)} files with {need:,} bytes do not fit the {size:,} bytes on the board",
            "KEEP=no leaves stored readings behind; or a board with more flash",
        ) from e
    return fs


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


def _filesystem(blocks: int, disk_version: int) -> LittleFS:
    return LittleFS(
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


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]
