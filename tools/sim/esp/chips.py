"""What esptool knows the chips by: magic words, eFuses with the MAC, the SPI controller.

Register addresses: Espressif's technical reference manuals (eFuse controller, SPI) and the target
descriptions that esptool documents; values are those of an ordinary module.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAGIC = 0x40001000


@dataclass(frozen=True)
class Spi:
    """Base and offsets of the SPI flash controller's registers."""

    base: int
    usr2: int
    w0: int


@dataclass(frozen=True)
class Chip:
    """One kind of chip; ``status_bytes`` is the length of a ROM answer's status."""

    name: str
    spi: Spi
    status_bytes: int
    chip_id: int | None = None  # answered to GET_SECURITY_INFO where the ROM has it
    clkdiv: tuple[int, int] = (0, 0)  # register, clock in Hz: from it esptool knows the crystal
    registers: dict[int, int] = field(default_factory=dict)


def _esp32(mac: bytes) -> Chip:
    efuse = 0x3FF5A000
    registers = {
        MAGIC: 0x00F01D83,
        efuse + 4: int.from_bytes(mac[2:], "big"),
        efuse + 8: int.from_bytes(mac[:2], "big"),
        efuse + 12: 1 << 9 | 1 << 15,  # D0WD, revision bit 0
        efuse + 20: 1 << 20,  # revision bit 1
        0x3FF6607C: 0x80000000,  # APB_CTRL_DATE, revision bit 2: v3
    }
    spi = Spi(0x3FF42000, 0x24, 0x80)
    return Chip("esp32", spi, 4, None, (0x3FF40014, 40_000_000), registers)


def _esp8266(mac: bytes) -> Chip:
    otp = 0x3FF00050
    registers = {
        MAGIC: 0xFFF0C101,
        otp: mac[5] << 24,
        otp + 4: int.from_bytes(mac[3:5], "big"),
        otp + 12: int.from_bytes(mac[:3], "big"),
    }
    spi = Spi(0x60000200, 0x24, 0x40)
    return Chip("esp8266", spi, 2, None, (0x60000014, 52_000_000), registers)


def _esp32c3(mac: bytes) -> Chip:
    efuse = 0x60008800
    registers = {
        efuse + 0x44: int.from_bytes(mac[2:], "big"),
        efuse + 0x48: int.from_bytes(mac[:2], "big"),
    }
    return Chip("esp32c3", Spi(0x60002000, 0x20, 0x58), 4, 5, (0, 0), registers)


# name -> function of the MAC that is burnt in
MAKERS = {"esp32": _esp32, "esp8266": _esp8266, "esp32c3": _esp32c3}
