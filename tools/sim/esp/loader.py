"""The flash, and the chip in download mode: the ROM's serial protocol, and the flasher stub's.

Source: Espressif, "Serial Protocol" (esptool documentation): packets of direction, command, size,
checksum or value, data; the answer ends in status bytes (2 from the stub and the ESP8266, 4 else).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import reduce
from operator import xor
from pathlib import Path

from tools.sim.esp.chips import Chip

SYNC, READ_REG, WRITE_REG, SECURITY_INFO = 0x08, 0x0A, 0x09, 0x14
_INVALID, _BAD_CHECKSUM, _BAD_FLASH = 0x05, 0x07, 0x08
_USR = 1 << 18  # SPI_CMD: run the user command
_RDID, _RDSFDP = 0x9F, 0x5A
_XOR = 0xEF
SECTOR = 4096
_END = b"\xc0"  # SLIP framing (RFC 1055)


class FlashArray:
    """NOR flash in a file that outlives a power cut: erasing sets bits, programming clears them.

    ``erased`` and ``programmed`` count bytes.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.erased = 0
        self.programmed = 0
        if not path.exists():
            path.write_bytes(b"\xff" * size)

    def read(self, offset: int, size: int) -> bytes:
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


class Loader:
    """One boot into download mode; ``baud`` is what the chip's UART is set to.

    ``run`` becomes true when the host has asked the loader to start the program in flash.
    """

    def __init__(self, chip: Chip, flash: FlashArray) -> None:
        self.chip, self.flash = chip, flash
        self.baud: int | None = None  # None: the ROM takes the rate of whoever speaks first
        self.stub = False
        self.run = False
        self._back_to_rom = False
        self._held = b""  # of a packet that is not whole
        self._registers = dict(chip.registers)
        self._ram: dict[int, bytes] = {}
        self._at = self._left = self._seq = 0
        self._inflate: zlib._Decompress | None = None
        self._reading: Iterator[bytes] | None = None  # what is left of a READ_FLASH
        self.next_baud: int | None = None  # set by CHANGE_BAUDRATE, in force after the answer
        self._commands: dict[int, Callable[[bytes], bytes]] = {
            0x02: self._flash_begin,
            0x03: self._flash_data,
            0x04: self._flash_end,
            0x05: self._mem_begin,
            0x06: self._mem_end,
            0x07: self._mem_data,
            0x0B: lambda data: b"",
            0x0D: lambda data: b"",
            0x0F: self._change_baud,
            0x10: self._flash_begin_deflated,
            0x11: self._flash_data,
            0x12: self._flash_end,
            0x13: self._md5,
        }
        self._stub_commands: dict[int, Callable[[bytes], bytes]] = {
            0xD0: lambda data: self._erase(0, flash.size),
            0xD1: lambda data: self._erase(*struct.unpack("<II", data[:8])),
            0xD2: self._read_flash,
        }

    def feed(self, data: bytes) -> bytes:
        *whole, self._held = (self._held + data).split(_END)
        packets = (p.replace(b"\xdb\xdc", _END).replace(b"\xdb\xdd", b"\xdb") for p in whole if p)
        return b"".join(map(self._packet, packets))

    def _packet(self, packet: bytes) -> bytes:
        if self._reading is not None and len(packet) == 4:
            return self._next_block()
        if len(packet) < 8 or packet[0] != 0:
            return b""
        command, size, checksum = struct.unpack("<xBHI", packet[:8])
        data = packet[8 : 8 + size]
        if command == SYNC:
            return self._answer(SYNC, 0 if self.stub else 0x20120707) * 8
        if command == READ_REG:
            return self._answer(READ_REG, self._read_register(*struct.unpack("<I", data)))
        if command == WRITE_REG:
            return self._write_registers(data)
        if command == SECURITY_INFO and self.chip.chip_id is not None:
            info = struct.pack("<IBBBBBBBBII", 0, *(0,) * 8, self.chip.chip_id, 0)
            return self._answer(command, 0, info)
        return self._run(command, data, checksum)

    def _run(self, command: int, data: bytes, checksum: int) -> bytes:
        known = self._commands | (self._stub_commands if self.stub else {})
        if not self.stub and self.chip.name == "esp8266" and command > READ_REG:
            known = {}  # its ROM has no more than that
        if command not in known:
            if self.stub:
                return self._answer(command, 0, error=_INVALID)
            return self._answer(0, 0, error=_INVALID) * 8
        if command in (0x03, 0x07, 0x11) and reduce(xor, data[16:], _XOR) != checksum & 0xFF:
            return self._answer(command, 0, error=_BAD_CHECKSUM)
        try:
            extra = known[command](data)
        except (ValueError, zlib.error):
            return self._answer(command, 0, error=_BAD_FLASH)
        answer = self._answer(command, 0, extra)
        if command == 0xD2:
            answer += self._next_block()
        if command == 0x06 and self.stub:
            answer += _framed(b"OHAI")
        if self._back_to_rom:
            self.stub, self.baud, self._back_to_rom = False, None, False
        return answer

    def _answer(self, command: int, value: int, data: bytes = b"", error: int = 0) -> bytes:
        status = bytes((1, error)) if error else b"\0\0"
        body = data + status.ljust(2 if self.stub else self.chip.status_bytes, b"\0")
        return _framed(struct.pack("<BBHI", 1, command, len(body), value) + body)

    def _read_register(self, address: int) -> int:
        register, clock_hz = self.chip.clkdiv
        if register and address == register:
            return clock_hz // (self.baud or 115200)
        return self._registers.get(address, 0)

    def _write_registers(self, data: bytes) -> bytes:
        for at in range(0, len(data) - 15, 16):
            address, value, _mask, _delay = struct.unpack_from("<IIII", data, at)
            self._registers[address] = value
            if address == self.chip.spi.base and value & _USR:
                self._spi_command()
        return self._answer(WRITE_REG, 0)

    def _spi_command(self) -> None:
        spi = self.chip.spi
        command = self._registers.get(spi.base + spi.usr2, 0) & 0xFF
        size_code = self.flash.size.bit_length() - 1
        answers = {_RDID: size_code << 16 | 0x40C8, _RDSFDP: 0x50444653}
        self._registers[spi.base + spi.w0] = answers.get(command, 0)
        self._registers[spi.base] = 0

    def _mem_begin(self, data: bytes) -> bytes:
        self._at = struct.unpack("<IIII", data[:16])[3]
        self._ram[self._at] = b""
        return b""

    def _mem_data(self, data: bytes) -> bytes:
        self._ram[self._at] += data[16:]
        return b""

    def _mem_end(self, data: bytes) -> bytes:
        stay, entry = struct.unpack("<II", data[:8])
        # Only code that was really sent can be jumped to.
        if not stay and not any(at <= entry < at + len(code) for at, code in self._ram.items()):
            raise ValueError("nothing to run there")
        self.stub = not stay
        return b""

    def _flash_begin(self, data: bytes) -> bytes:
        size, _blocks, _block, offset = struct.unpack("<IIII", data[:16])
        self._check(offset, size)
        self._at, self._left, self._seq, self._inflate = offset, size, 0, None
        if size:
            self.flash.erase(offset, size)
        return b""

    def _flash_begin_deflated(self, data: bytes) -> bytes:
        self._flash_begin(data)
        self._inflate = zlib.decompressobj()
        return b""

    def _flash_data(self, data: bytes) -> bytes:
        size, seq = struct.unpack("<II", data[:8])
        if seq != self._seq or size != len(data) - 16:
            raise ValueError("block out of order")
        self._seq += 1
        block = self._inflate.decompress(data[16:]) if self._inflate else data[16:]
        if self._inflate and len(block) > self._left:
            raise ValueError("more data than announced")
        block = block[: self._left]
        self.flash.program(self._at, block)
        self._at += len(block)
        self._left -= len(block)
        return b""

    def _flash_end(self, data: bytes) -> bytes:
        if struct.unpack("<I", data[:4])[0] == 0:
            # The ROM starts the program; the stub resets the core, which, as the boot pin was
            # read at the last real reset, is back in the ROM loader.
            self.run = not self.stub
            self._back_to_rom = self.stub
        return b""

    def _check(self, offset: int, size: int) -> None:
        if offset + size > self.flash.size:
            raise ValueError("beyond the end of the flash")

    def _erase(self, offset: int, size: int) -> bytes:
        self._check(offset, size)
        self.flash.erase(offset, size)
        return b""

    def _md5(self, data: bytes) -> bytes:
        digest = self.flash.md5(*struct.unpack("<II", data[:8]))
        return digest if self.stub else digest.hex().encode()

    def _change_baud(self, data: bytes) -> bytes:
        self.next_baud = struct.unpack("<I", data[:4])[0]
        return b""

    def _read_flash(self, data: bytes) -> bytes:
        offset, size, block, _in_flight = struct.unpack("<IIII", data[:16])
        self._check(offset, size)
        self._reading = self._blocks(offset, size, block)
        return b""

    def _blocks(self, offset: int, size: int, block: int) -> Iterator[bytes]:
        for at in range(offset, offset + size, block):
            yield self.flash.read(at, min(block, offset + size - at))
        yield self.flash.md5(offset, size)

    def _next_block(self) -> bytes:
        # One block per acknowledgement; the digest follows the acknowledgement of the last.
        assert self._reading is not None
        block = next(self._reading, None)
        if block is None:
            self._reading = None
            return b""
        return _framed(block)


def _framed(packet: bytes) -> bytes:
    return _END + packet.replace(b"\xdb", b"\xdb\xdd").replace(_END, b"\xdb\xdc") + _END
