"""What a request to an MQTT file stream asks for, and whether AWS IoT would answer it.

For the local AWS and the tests' one alike. Names and limits: developer guide, "Using AWS IoT
MQTT-based file delivery in devices". Where that leaves a choice, the stricter is taken: a request
has ``n`` or ``b``, and of what it asks for one block at least is in the file.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

MAX_TOTAL = 128 * 1024
_MAX_BITMAP_BYTES = 12288
_MAX_BLOCKS = 98304
_KEYS = {"describe": set("c"), "get": set("csflonb")}


class Rejected(Exception):
    """The answer on ``rejected/json``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def answer(self) -> dict[str, Any]:
        """Its content, without the client's token."""
        return {"o": self.code, "m": str(self)}


def parsed(payload: bytes, verb: str) -> dict[str, Any]:
    """The request of a "get" or "describe", its numbers not yet looked at."""
    try:
        request = json.loads(payload)
    except ValueError as e:
        raise Rejected("InvalidJson", f"not JSON: {e}") from e
    if not isinstance(request, dict):
        raise Rejected("InvalidJson", "not an object")
    if odd := request.keys() - _KEYS[verb]:
        raise Rejected("InvalidRequest", f"unknown: {', '.join(sorted(odd))}")
    token = request.get("c", "x")
    if not isinstance(token, str) or not 1 <= len(token.encode()) <= 64:
        raise Rejected("InvalidRequest", "c")
    return request


def token(request: Mapping[str, Any]) -> dict[str, Any]:
    """The part of each answer that repeats the client's token."""
    return {"c": request["c"]} if "c" in request else {}


def wanted(request: Mapping[str, Any], sizes: Mapping[int, int]) -> tuple[int, int, list[int]]:
    """(file number, block size, blocks): at most 128 KB of what is in the file.

    ``sizes`` are those of the stream's files.
    """
    number = _whole(request, "f", 0, 255, "InvalidRequest")
    size = _whole(request, "l", 256, 131072, "BlockSizeOutOfBounds")
    offset = _whole(request, "o", 0, _MAX_BLOCKS, "OffsetOutOfBounds", 0)
    count = _whole(request, "n", 1, _MAX_BLOCKS, "BlockCountLimitExceeded", 0)
    if "b" in request:
        asked = [offset + bit for bit in _bits(request["b"])][: count or None]
    elif count:
        asked = list(range(offset, offset + count))
    else:
        raise Rejected("InvalidRequest", "neither n nor b")
    if number not in sizes:
        raise Rejected("ResourceNotFound", f"no file {number}")
    found, total = [], 0
    for index in asked:
        length = min(size, sizes[number] - index * size)
        total += length
        if length <= 0 or total > MAX_TOTAL:
            break
        found.append(index)
    if not found:
        raise Rejected("OffsetOutOfBounds", "nothing of it is in the file")
    return number, size, found


def block(number: int, index: int, piece: bytes) -> dict[str, Any]:
    """One data message, without the client's token."""
    text = base64.b64encode(piece).decode()
    return {"f": number, "l": len(piece), "i": index, "p": text}


def _whole(
    request: Mapping[str, Any],
    key: str,
    least: int,
    most: int,
    code: str,
    absent: int | None = None,
) -> int:
    if key not in request and absent is not None:
        return absent
    value = request.get(key)
    if type(value) is not int:
        raise Rejected("InvalidRequest", key)
    if not least <= value <= most:
        raise Rejected(code, f"{key}: {value}")
    return value


def _bits(text: Any) -> list[int]:
    """Which bits are set: bit i of the bytes, the lowest bit of each byte first."""
    if not isinstance(text, str) or not re.fullmatch(r"(0x)?([0-9a-fA-F]{2})+", text):
        raise Rejected("InvalidRequest", "b")
    data = bytes.fromhex(text.removeprefix("0x"))
    if len(data) >= _MAX_BITMAP_BYTES:
        raise Rejected("BlockBitmapLimitExceeded", f"{len(data)} bytes")
    return [i for i in range(8 * len(data)) if data[i // 8] >> i % 8 & 1]
