"""Is this file a firmware for this chip, and whole? Decided before a board is erased.

ESP32 family (ESP-IDF "App Image Format"): header of 24 bytes (magic E9, number of segments, chip
id at 12, hash flag at 23), segments, padding, XOR checksum, SHA-256. A MicroPython file holds two
such images, the bootloader and the application, with the partition table between them. ESP8266:
the boot image, then code; MicroPython's makeimg.py puts the length at 0x8ffc, an MD5 at the end.
"""

from __future__ import annotations

import hashlib
import struct

from tools.board import boards, partitions
from tools.board.boards import Board
from tools.errors import ToolError

_MAGIC = 0xE9
_HEADER = 24
_HEADER_8266 = 8
_XOR_START = 0xEF
_HINT = "FIRMWARE= wants a MicroPython .bin file for this board, as downloaded"


def check(data: bytes, board: Board, name: str) -> None:
    """Return quietly if ``data`` can be written to ``board``; else ToolError saying what it is."""
    if len(data) < 0x9000:
        raise ToolError(f"{name}: {len(data):,} bytes are not a firmware", _HINT)
    if data[0] != _MAGIC:
        raise ToolError(f"{name}: not an Espressif firmware (first byte {data[0]:02x})", _HINT)
    if board.chip_id is None:
        _check_8266(data, name)
        return
    _check_chip(data, board, name)
    _check_image(data, 0, f"{name}: bootloader")
    apps = [row for row in partitions.of_image(data, board) if row.type == 0]
    if not apps:
        raise ToolError(f"{name}: the partition table has no application", _HINT)
    start = apps[0].offset - board.flash_offset
    if data[start : start + 1] != bytes([_MAGIC]):
        raise ToolError(f"{name}: no application where the partition table says", _HINT)
    _check_image(data, start, f"{name}: application")


def _check_chip(data: bytes, board: Board, name: str) -> None:
    # An ESP8266 file has no chip id: its second word is the entry point, in IRAM at 0x4010xxxx,
    # and the first segment loads there too.
    if struct.unpack_from("<I", data, 8)[0] == 0x40100000:
        raise ToolError(f"{name}: made for the ESP8266, not for {board.name}", _HINT)
    found = struct.unpack_from("<H", data, 12)[0]
    if found != board.chip_id:
        rows = (boards.get(n) for n in boards.names())
        made_for = next((b.name for b in rows if b.chip_id == found), f"chip id {found}")
        raise ToolError(f"{name}: made for {made_for}, not for {board.name}", _HINT)


def _check_image(data: bytes, start: int, name: str) -> None:
    """Checksum and SHA-256 of one image (ESP32 family)."""
    end, checksum = _walk(data, start, _HEADER, name)
    if data[end - 1] != checksum:
        raise ToolError(f"{name} is damaged (checksum)", "get the file again")
    if data[start + 23] != 1:
        return
    if data[end : end + 32] != hashlib.sha256(data[start:end]).digest():
        raise ToolError(f"{name} is damaged (SHA-256)", "get the file again")


def _walk(data: bytes, start: int, header: int, name: str) -> tuple[int, int]:
    """Follow the segments: (where the image ends, the checksum it should have)."""
    at = start + header
    xor = _XOR_START
    for _ in range(data[start + 1]):
        if at + 8 > len(data):
            raise ToolError(f"{name} is cut off", "get the file again")
        size = struct.unpack_from("<I", data, at + 4)[0]
        body = data[at + 8 : at + 8 + size]
        if len(body) != size:
            raise ToolError(f"{name} is cut off", "get the file again")
        xor ^= _fold(body)
        at += 8 + size
    end = start + (at - start | 15) + 1
    if end > len(data):
        raise ToolError(f"{name} is cut off", "get the file again")
    return end, xor


def _fold(body: bytes) -> int:
    """XOR of all bytes, by halving: a megabyte byte by byte would take a second."""
    size = 1 << max(len(body) - 1, 0).bit_length()
    value, width = int.from_bytes(body, "little"), size * 8
    while width > 8:
        width //= 2
        value = value >> width ^ value & (1 << width) - 1
    return value


def _check_8266(data: bytes, name: str) -> None:
    if struct.unpack_from("<I", data, 8)[0] != 0x40100000:
        raise ToolError(f"{name}: made for an ESP32, not for esp8266", _HINT)
    end, checksum = _walk(data, 0, _HEADER_8266, name)
    if data[end - 1] != checksum:
        raise ToolError(f"{name} is damaged (checksum)", "get the file again")
    size = struct.unpack_from("<I", data, 0x8FFC)[0]
    if size + 16 > len(data):
        raise ToolError(f"{name} is cut off", "get the file again")
    # The first four bytes hold flash size and mode, which esptool may change.
    if data[size : size + 16] != hashlib.md5(data[4:size]).digest():
        raise ToolError(f"{name} is damaged (MD5)", "get the file again")
