# Thermometers of the LM75 class: TI LM75A (SNOS808), NXP LM75B (rev. 6.1), TI TMP102 (SBOS397).

import math

from .chip import Chip

_TEMPERATURE = 0
_CONFIG = 1
_LOW = 2
_HIGH = 3
_SHUTDOWN = 1


class LM75A(Chip):
    # Nine bits. Each access ends the conversion that is under way, and it begins anew.
    BITS = 9
    LIMIT_BYTE = 0x80  # of the low byte of a limit
    CONVERT_MS = 300  # at most
    RESTARTS = True

    def power_on(self) -> None:
        self._pointer = 0
        self._config = 0
        self._limits = {_LOW: 0x4B00, _HIGH: 0x5000}  # 75 and 80 C
        self._result = 0  # undefined until the first conversion is done; a TMP102: 0
        self._since = self.now_ms()  # when the conversion, or the cycle, began

    def _write(self, data: bytes) -> None:
        self._advance()
        if data:
            self._point(data[0])
        if self._pointer == _CONFIG and len(data) > 1:
            self._configure(data[1:])
        elif self._pointer in self._limits and len(data) == 3:
            self._limits[self._pointer] = data[1] << 8 | data[2] & self.LIMIT_BYTE
        self._accessed()

    def _point(self, reg: int) -> None:
        self._pointer = reg & 7

    def _configure(self, data: bytes) -> None:
        if self._config & _SHUTDOWN and not data[0] & _SHUTDOWN:
            self._since = self.now_ms()
        self._config = data[0] & 0x1F

    def _read(self, buf: bytearray) -> None:
        self._advance()
        self.fill(buf, self._answer())
        self._accessed()

    def _answer(self):
        if self._pointer == _CONFIG:
            return (self._config,)
        if self._pointer == 7:
            return (0xA1,)  # product id
        word = self._limits.get(self._pointer, 0xFFFF)
        if self._pointer == _TEMPERATURE:
            word = self._result
        return (word >> 8, word & 0xFF)

    def _accessed(self) -> None:
        if self.RESTARTS:
            self._since = self.now_ms()

    def _advance(self) -> None:
        if self._config & _SHUTDOWN or self.fault == "stuck":
            return
        age = self.since_ms(self._since)
        if age >= self.CONVERT_MS:
            self._since += age // self.CONVERT_MS * self.CONVERT_MS
            self._store(self.BITS)

    def _store(self, bits: int, ones: int = 8) -> None:
        # ones: the bits before the point, with the sign.
        steps = math.floor(self.environment.temperature_mdeg() / 1000 * (1 << bits - ones) + 0.5)
        most = 1 << bits - 1
        self._result = min(max(steps, -most), most - 1) << 16 - bits & 0xFFFF


class LM75B(LM75A):
    # Eleven bits, limits of nine; only the two lowest bits of the pointer count; an access does
    # not disturb the conversion. NXP's LM75A is the same, but slower.
    BITS = 11
    CONVERT_MS = 100
    RESTARTS = False

    def _point(self, reg: int) -> None:
        self._pointer = reg & 3


class TMP102(LM75B):
    # Twelve bits, 13 when extended; a configuration of 16; one shot.
    LIMIT_BYTE = 0xF0
    CONVERT_MS = 35  # SBOS397H: 26 ms, at most 35; since then 10 and 15
    CYCLES_MS = (4000, 1000, 250, 125)

    def power_on(self) -> None:
        super().power_on()
        self._config = 0x60A0
        self._hot = False  # T_high was reached, and T_low not yet again
        self._converting = True  # from _since on

    def _configure(self, data: bytes) -> None:
        was_shut = self._config & 0x0100
        word = data[0] << 8 | (data[1] if len(data) > 1 else self._config & 0xFF)
        self._config = word & 0x1FD0 | 0x6000  # R1 and R0 cannot be written, nor AL
        self.LIMIT_BYTE = 0xF8 if self._extended() else 0xF0
        if was_shut and word & 0x8100 != 0x0100:  # a shot only when it was shut down already
            self._converting, self._since = True, self.now_ms()

    def _answer(self):
        if self._pointer != _CONFIG:
            word = self._limits.get(self._pointer, self._result)
            if self._pointer == _TEMPERATURE and self._extended():
                word |= 1  # at once, but its format changes with the next conversion
        else:
            word = self._config
            if self._hot == bool(word & 0x0400):  # AL, which POL inverts
                word |= 0x0020
            if word & 0x0100 and not self._converting:
                word |= 0x8000
        return (word >> 8, word & 0xFF)

    def _extended(self) -> int:
        return self._config & 0x0010

    def _advance(self) -> None:
        if self.fault == "stuck":
            return
        cycle = self.CYCLES_MS[self._config >> 6 & 3]
        while True:
            age = self.since_ms(self._since)
            if self._converting and age >= self.CONVERT_MS:
                self._end()
            if age < cycle or self._config & 0x0100:
                break
            self._since += max(age // cycle - 1, 1) * cycle  # of many cycles the last two
            self._converting = True

    def _end(self) -> None:
        self._converting = False
        self._store(*((13, 9) if self._extended() else (12, 8)))
        t, low, high = (
            _signed(w) for w in (self._result, self._limits[_LOW], self._limits[_HIGH])
        )
        self._hot = t >= high or (self._hot and t >= low)


def _signed(word: int) -> int:
    return word - 0x10000 if word & 0x8000 else word
