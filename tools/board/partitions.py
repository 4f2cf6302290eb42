"""Where the file system lies: read out of the firmware image itself, never assumed.

ESP32 family: the partition table at flash 0x8000 (ESP-IDF "Partition Tables"): rows of 32 bytes,
magic AA 50, an MD5 row EB EB, then FF. MicroPython to 1.25 names the partition there; from 1.26
its table has no "vfs" and the board makes one from the end of the last partition to the end of the
chip (ports/esp32/main.c). ESP8266: from 1 MB to 20 KB before the end (its flashbdev.py).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from tools.errors import ToolError
from tools.things.boards import Board

TABLE_OFFSET = 0x8000  # in flash
TABLE_BYTES = 0xC00
_ROW = struct.Struct("<HBBII16sI")
_MAGIC = 0x50AA
_MD5_MAGIC = b"\xeb\xeb"
_ESP32_START = 0x200000  # MicroPython 1.22 to 1.28, partitions-4MiB.csv: the app ends there
_ESP8266_START = 0x100000
_ESP8266_TAIL = 0x5000  # the SDK keeps its parameters there


@dataclass(frozen=True)
class Partition:
    """One row; offset and size in bytes of flash."""

    name: str
    type: int
    subtype: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.size


def parse(table: bytes) -> list[Partition]:
    """Return the rows of a partition table; ToolError when it is none or its MD5 is wrong."""
    rows: list[Partition] = []
    for at in range(0, len(table) - _ROW.size + 1, _ROW.size):
        row = table[at : at + _ROW.size]
        if row[:2] == _MD5_MAGIC:
            if row[16:] != hashlib.md5(table[:at]).digest():
                raise ToolError("the partition table is damaged (MD5)", "get the firmware again")
            break
        magic, kind, subtype, offset, size, name, _flags = _ROW.unpack(row)
        if magic != _MAGIC:
            break
        rows.append(Partition(name.split(b"\0")[0].decode(), kind, subtype, offset, size))
    if not rows:
        raise ToolError(
            "no partition table at 0x8000", "is this a MicroPython build for an ESP32?"
        )
    return rows


def of_image(firmware: bytes, board: Board) -> list[Partition]:
    """The table inside a firmware file that is written at the board's flash offset."""
    start = TABLE_OFFSET - board.flash_offset
    return parse(firmware[start : start + TABLE_BYTES])


def vfs(firmware: bytes, board: Board, flash_bytes: int) -> Partition:
    """Where this firmware will look for its file system on a chip with ``flash_bytes`` of flash.

    ToolError when there is no room for one, or when the build expects FAT.
    """
    if board.chip == "esp8266":
        size = flash_bytes - _ESP8266_TAIL - _ESP8266_START
        return _roomy(Partition("vfs", 1, 0x81, _ESP8266_START, size), flash_bytes)
    return vfs_of(of_image(firmware, board), flash_bytes)


def least_bytes(board: Board) -> int:
    """The file system on the smallest flash that the board's stock build can do with.

    What there really is `flash` finds in the firmware, this is for who has none at hand.
    """
    if board.chip == "esp8266":
        return vfs(b"", board, board.flash_bytes).size
    return board.flash_bytes - _ESP32_START


def vfs_of(rows: list[Partition], flash_bytes: int) -> Partition:
    """The file system partition of a table, made up as the board does where it is not named."""
    named = {row.name: row for row in rows}
    if "ffat" in named and "vfs" not in named:
        hint = "use a build without TinyUF2: the standard ESP32_GENERIC ones"
        raise ToolError("this firmware keeps its files on FAT", hint)
    if "vfs" in named:
        return _roomy(named["vfs"], flash_bytes)
    start = max(row.end for row in rows)
    return _roomy(Partition("vfs", 1, 0x81, start, flash_bytes - start), flash_bytes)


def _roomy(found: Partition, flash_bytes: int) -> Partition:
    if found.size <= 0 or found.end > flash_bytes:
        need = max(found.end, found.offset + 1)
        raise ToolError(
            f"this firmware needs {_mb(need)} of flash, the board has {_mb(flash_bytes)}",
            "a build for smaller flash (FIRMWARE=file.bin), or another board",
        )
    return found


def _mb(size: int) -> str:
    return f"{size / 1048576:g} MB"
