# Texas Instruments HDC1080 (SNAS672A): a register pointer and 16-bit registers, high byte first.
# Setting the pointer to 0 or 1 begins a measurement.

from .chip import Chip

_TEMPERATURE = 0
_HUMIDITY = 1
_CONFIG = 2
_FIXED = {0xFB: 0x0123, 0xFC: 0x4567, 0xFD: 0x8900, 0xFE: 0x5449, 0xFF: 0x1050}
_RESET = 0x8000
_HEATER = 0x2000
_BOTH = 0x1000
_LOW_BATTERY = 0x0800
_T_11 = 0x0400
_RESERVED = 0x40FF
_START_MS = 15
# 7.5 has typical times only; a chip that needs half as much again, in microseconds.
_T_US = (9525, 5475)  # 14 and 11 bits
_RH_US = (9750, 5775, 3750, 3750)  # 14, 11, 8 bits


class HDC1080(Chip):
    low_battery = False

    def power_on(self) -> None:
        self._born = self.now_ms()
        self._pointer = 0
        self._config = _BOTH
        self._results = [0, 0]
        self._fresh = True  # so are the zeros that it has at first
        self._since = None  # when a measurement began
        self._measured = ()  # what it measures

    def _write(self, data: bytes) -> None:
        self._advance()
        reg = data[0] if data else self._pointer
        # While it starts only the serial number can be had, and the ids (8.5.1).
        if reg not in _FIXED and (reg > _CONFIG or self.since_ms(self._born) < _START_MS):
            self.nack()
        if len(data) > 1 and (reg != _CONFIG or len(data) != 3):
            self.nack()  # read-only
        self._pointer = reg
        if len(data) == 3:
            self._set(data[1] << 8 | data[2])
        elif reg < _CONFIG:
            self._since, self._fresh = self.now_ms(), False
            both = reg == _TEMPERATURE and self._config & _BOTH
            self._measured = (_TEMPERATURE, _HUMIDITY) if both else (reg,)

    def _set(self, word: int) -> None:
        if word & _RESERVED:
            self.nack()
        if word & _RESET:
            self.power_on()
        else:
            self._config = word & ~_LOW_BATTERY

    def _read(self, buf: bytearray) -> None:
        self._advance()
        reg = self._pointer
        if reg not in _FIXED and self.since_ms(self._born) < _START_MS:
            self.nack()
        if reg > _CONFIG:
            words = (_FIXED[reg],)
        elif reg == _CONFIG:
            words = (self._config | (_LOW_BATTERY if self.low_battery else 0),)
        else:
            if not self._fresh:
                self.nack()  # not measured yet, or read already
            self._fresh = False
            words = self._results[reg:]
        answer = bytearray()
        for word in words:
            answer.extend(bytes((word >> 8, word & 0xFF)))
        self.fill(buf, answer)

    def _advance(self) -> None:
        if self._since is None or self.fault == "stuck":
            return
        coarse = self._config & _T_11, self._config >> 8 & 3
        us = 0
        for what in self._measured:
            us += _RH_US[coarse[1]] if what else _T_US[bool(coarse[0])]
        if self.since_ms(self._since) * 1000 < us:
            return
        self._since, self._fresh = None, True
        warm = 5000 if self._config & _HEATER else 0
        for what in self._measured:
            if what == _TEMPERATURE:
                part = (self.environment.temperature_mdeg() + warm + 40000) / 165000
                mask = 0xFFE0 if coarse[0] else 0xFFFC
            else:
                part = self.environment.humidity_mpct() / 100000
                mask = (0xFFFC, 0xFFE0, 0xFF00, 0xFF00)[coarse[1]]
            self._results[what] = min(max(int(part * 65536 + 2), 0), 0xFFFF) & mask
