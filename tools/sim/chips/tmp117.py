# Texas Instruments TMP117 (SNOSD82): a register pointer and 16-bit registers, high byte first.

from .chip import Chip

_TEMPERATURE = 0
_CONFIG = 1
_HIGH = 2
_LOW = 3
_UNLOCK = 4
_OFFSET = 7
_ID = 15
_NONE = 0x8000  # temperature until the first conversion is done: -256 C
_FACTORY = {_CONFIG: 0x0220, _HIGH: 0x6000, _LOW: 0x8000, 5: 0x5151, 6: 0, _OFFSET: 0, 8: 0xA3A3}
# Configuration
_HIGH_ALERT = 0x8000
_LOW_ALERT = 0x4000
_READY = 0x2000
_BUSY = 0x1000
_SETTABLE = 0x0FFC
_SOFT_RESET = 0x0002
_THERM = 0x0010
_SHUTDOWN = 1
_ONE_SHOT = 3
_AVERAGES = (1, 8, 32, 64)
_CYCLE_MS = (16, 125, 250, 500, 1000, 4000, 8000, 16000)

_UNLOCKED = 0x8000
_RESET_MS = 2  # 7.6.1.2; power-up 1.5 ms
_PROGRAM_MS = 7


class TMP117(Chip):
    def __init__(self, clock=None) -> None:
        self.eeprom = dict(_FACTORY)
        self.programmed = 0  # how often the EEPROM was written; it stands 1,000 times
        super().__init__(clock)

    def power_on(self) -> None:
        self._pointer = 0
        self._regs = dict(self.eeprom)
        self._result = _NONE
        self._flags = 0
        self._unlocked = 0
        self._busy_until = self.now_ms() + _RESET_MS
        self._begin(self._busy_until)

    def _begin(self, at: int) -> None:
        # Conversions by the present configuration.
        self._began = None if self._mode() == _SHUTDOWN else at
        self._done = 0  # conversions, since then

    def _mode(self) -> int:
        return self._regs[_CONFIG] >> 10 & 3

    def _busy(self) -> bool:
        return self.now_ms() < self._busy_until

    def _write(self, data: bytes) -> None:
        self._advance()
        if data:
            self._pointer = data[0] & 0x0F
        if len(data) == 3 and not self._busy():  # else ignored (7.5.1.1), not refused
            self._set(self._pointer, data[1] << 8 | data[2])

    def _set(self, reg: int, word: int) -> None:
        if reg == _UNLOCK:
            self._unlocked = word & _UNLOCKED
        elif reg == _CONFIG and word & _SOFT_RESET:
            self.power_on()
        elif reg in self._regs:
            if reg == _CONFIG:
                word &= _SETTABLE
                if word >> 10 & 3 == 2:
                    word &= ~0x0800  # reads back as 00
            self._regs[reg] = word
            if reg == _CONFIG:
                self._begin(self.now_ms())
            if self._unlocked:
                self.eeprom[reg] = word
                self.programmed += 1
                self._busy_until = self.now_ms() + _PROGRAM_MS

    def _read(self, buf: bytearray) -> None:
        self._advance()
        word = self._word(self._pointer)
        self.fill(buf, (word >> 8, word & 0xFF))
        if self._pointer == _TEMPERATURE:
            self._flags &= ~_READY
        elif self._pointer == _CONFIG:
            self._flags &= _HIGH_ALERT if self._regs[_CONFIG] & _THERM else 0

    def _word(self, reg: int) -> int:
        if reg == _TEMPERATURE:
            return self._result
        if reg == _CONFIG:
            return self._regs[reg] | self._flags | (_BUSY if self._busy() else 0)
        if reg == _UNLOCK:
            return self._unlocked | (0x4000 if self._busy() else 0)
        return 0x0117 if reg == _ID else self._regs.get(reg, 0xFFFF)

    def _advance(self) -> None:
        if self._began is None or self.fault == "stuck":
            return
        config = self._regs[_CONFIG]
        # 6.5: 17.5 ms at most for each that is averaged, then standby for the rest of the cycle.
        active = (_AVERAGES[config >> 5 & 3] * 35 + 1) // 2
        cycle = max(active, _CYCLE_MS[config >> 7 & 7])
        done = (self.since_ms(self._began) - active) // cycle + 1
        if done <= self._done:
            return
        self._done = done
        self._store()
        if self._mode() == _ONE_SHOT:
            self._regs[_CONFIG] ^= 0x0800  # shut down
            self._began = None

    def _store(self) -> None:
        steps = int(self.environment.temperature_mdeg() * 0.128 + 40000.5) - 40000
        steps = min(max(steps + _signed(self._regs[_OFFSET]), -0x8000), 0x7FFF)
        self._result = steps & 0xFFFF
        self._flags |= _READY
        therm = self._regs[_CONFIG] & _THERM
        if steps > _signed(self._regs[_HIGH]):
            self._flags |= _HIGH_ALERT
        if steps < _signed(self._regs[_LOW]):  # in therm mode the limit is a hysteresis (7.4.4.2)
            self._flags = self._flags & ~_HIGH_ALERT if therm else self._flags | _LOW_ALERT


def _signed(word: int) -> int:
    return word - 0x10000 if word & 0x8000 else word
