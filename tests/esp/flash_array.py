"""NOR flash in a file that outlives a power cut: erasing sets bits, programming clears them."""

from __future__ import annotations

import hashlib
from pathlib import Path

SECTOR = 4096


class FlashArray:
    """``size`` bytes; ``counters`` say how much was erased and programmed."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.erased = 0
        self.programmed = 0
        if not path.exists():
            path.write_bytes(b"\xff" * size)

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes."""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def program(self, offset: int, data: bytes) -> None:
        """Clear bits; a bit that is 0 stays 0 until its sector is erased."""
        old = self.read(offset, len(data))
        if old.count(0xFF) != len(old):
            both = int.from_bytes(old, "little") & int.from_bytes(data, "little")
            data = both.to_bytes(len(old), "little")
        self._write(offset, data)
        self.programmed += len(data)

    def erase(self, offset: int, size: int) -> None:
        """Erase every sector that the range touches."""
        start = offset // SECTOR * SECTOR
        end = min(self.size, -(-(offset + size) // SECTOR) * SECTOR)
        self._write(start, b"\xff" * (end - start))
        self.erased += end - start

    def md5(self, offset: int, size: int) -> bytes:
        """What the loader answers to SPI_FLASH_MD5."""
        return hashlib.md5(self.read(offset, size)).digest()

    def _write(self, offset: int, data: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(data)
