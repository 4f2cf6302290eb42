# Microchip MCP9808 (DS25095A): a register pointer and 16-bit registers, high byte first.

import math

from .chip import Chip

_CONFIG = 1
_LIMITS = (2, 3, 4)  # upper, lower, critical
_AMBIENT = 5
_RESOLUTION = 8
_FIXED = {0: 0x001F, 6: 0x0054, 7: 0x0400}
_CONVERT_MS = (30, 65, 130, 250)  # by resolution, DS table 5-2
_SHUTDOWN = 0x0100
_CRIT_LOCK = 0x0080
_WIN_LOCK = 0x0040
_START_MS = 1


class MCP9808(Chip):
    def power_on(self) -> None:
        self._born = self.now_ms()
        self._pointer = 0
        self._regs = {_CONFIG: 0, 2: 0, 3: 0, 4: 0}
        self._resolution = 3
        self._sixteenths = 0  # TA until the first conversion is done
        self._converting = self._born  # since when

    def _write(self, data: bytes) -> None:
        self._advance()
        if data:
            self._pointer = data[0] & 0x0F
        if len(data) == 2 and self._pointer == _RESOLUTION:
            self._resolution = data[1] & 3
        elif len(data) == 3:
            self._set(data[1] << 8 | data[2])

    def _set(self, word: int) -> None:
        reg, config = self._pointer, self._regs[_CONFIG]
        locked = config & (_CRIT_LOCK | _WIN_LOCK)
        if reg in _LIMITS and not config & (_CRIT_LOCK if reg == 4 else _WIN_LOCK):
            self._regs[reg] = word & 0x1FFC
        elif reg == _CONFIG:
            word &= 0x07EF
            if locked:  # only bit 5 (interrupt clear) and new locks get through
                word = config | word & (_CRIT_LOCK | _WIN_LOCK)
            if config & _SHUTDOWN and not word & _SHUTDOWN:
                self._converting = self.now_ms()
            self._regs[_CONFIG] = word & ~0x20  # reads as 0

    def _read(self, buf: bytearray) -> None:
        self._advance()
        if self._pointer == _RESOLUTION:
            answer = (self._resolution,)
        else:
            word = self._word(self._pointer)
            answer = (word >> 8, word & 0xFF)
        self.fill(buf, answer)

    def _word(self, reg: int) -> int:
        if reg == _AMBIENT:
            return self._flags() | self._sixteenths & 0x1FFF
        return _FIXED.get(reg, self._regs.get(reg, 0))

    def _flags(self) -> int:
        # Bits 15 to 13: TA >= TCRIT, TA > TUPPER, TA < TLOWER.
        upper, lower, critical = (_signed(self._regs[reg]) for reg in _LIMITS)
        ta = self._sixteenths
        return (ta >= critical) << 15 | (ta > upper) << 14 | (ta < lower) << 13

    def _advance(self) -> None:
        age = self.since_ms(self._converting)
        if self.since_ms(self._born) < _START_MS:
            self.nack()
        period = _CONVERT_MS[self._resolution]
        if age < period or self._regs[_CONFIG] & _SHUTDOWN or self.fault == "stuck":
            return
        self._converting += age // period * period
        step = 8 >> self._resolution  # of 1/16 C
        celsius = self.environment.temperature_mdeg() / 1000
        self._sixteenths = math.floor(celsius * 16 / step + 0.5) * step


def _signed(word: int) -> int:
    return word - 0x2000 if word & 0x1000 else word
