# Bosch BMP280 (BST-BMP280-DS001) and BME280 (BST-BME280-DS002), I2C side.

from .chip import Chip
from .trim import Trim

_ID = 0xD0
_RESET = 0xE0
_CTRL_HUM = 0xF2
_STATUS = 0xF3
_CTRL_MEAS = 0xF4
_CONFIG = 0xF5
_DATA = 0xF7
_START_MS = 2  # from power-on or soft reset (BMP280 4.3.2: the complete power-on procedure)
_STANDBY_MS = (1, 63, 125, 250, 500, 1000)  # t_sb; 6 and 7 differ between the chips


class BMP280(Chip):
    CHIP_ID = 0x58
    HUMID = False
    LONG_STANDBY_MS = (2000, 4000)

    def __init__(self, clock=None, trim=None) -> None:
        self.trim = trim or Trim()
        self._regs = bytearray(256)
        super().__init__(clock)

    def power_on(self) -> None:
        self._reset()
        self._silent_ms = _START_MS

    def _reset(self) -> None:
        regs = self._regs
        for i in range(256):
            regs[i] = 0
        regs[_ID] = self.CHIP_ID
        regs[_DATA] = regs[_DATA + 3] = 0x80  # 0x80000: nothing measured
        if self.HUMID:
            regs[_DATA + 6] = 0x80
        self._osrs_h = 0  # what ctrl_hum said at the last write to ctrl_meas
        self._pointer = 0
        self._born = self.now_ms()
        self._silent_ms = 1  # not even acknowledging
        self._starting = True  # NVM not copied to the trimming registers yet; it takes no orders
        self._measuring = False
        self._next_mode = None  # a mode written during a measurement waits for its end
        self._filter = None  # [pressure, temperature] of the IIR filter

    def _write(self, data: bytes) -> None:
        # Pairs of register address and value (BME280 6.2.1); a last single byte sets the pointer.
        self._advance()
        for at in range(0, len(data) - 1, 2):
            self._set(data[at], data[at + 1])
        if len(data) & 1:
            self._pointer = data[-1]

    def _read(self, buf: bytearray) -> None:
        self._advance()
        for i in range(len(buf)):
            buf[i] = self._regs[self._pointer]
            self._pointer = self._pointer + 1 & 0xFF

    def _set(self, reg: int, value: int) -> None:
        if self._starting:
            pass
        elif reg == _RESET and value == 0xB6:
            self._reset()
        elif reg == _CTRL_HUM and self.HUMID:
            self._regs[reg] = value & 0x07
        elif reg == _CONFIG:
            self._regs[reg] = value & 0xFD
        elif reg == _CTRL_MEAS:
            self._osrs_h = self._regs[_CTRL_HUM]
            if self._measuring:
                self._next_mode = value
            else:
                self._regs[reg] = value
                if value & 3:
                    self._begin()

    def _advance(self) -> None:
        # Brings the registers to the present.
        age = self.since_ms(self._born)
        if self._starting and age >= _START_MS:
            self._starting = False
            self.trim.copy_to(self._regs, self.HUMID)
        if age < self._silent_ms:
            self.nack()
        regs = self._regs
        for _ in range(32):  # in normal mode several cycles may have gone by
            if (
                not self._measuring
                and regs[_CTRL_MEAS] & 3 == 3
                and self.since_ms(self._wake) >= 0
            ):
                self._begin(self._wake)
            if not self._measuring or self.since_ms(self._began) < self.measure_ms():
                break
            if self.fault != "stuck":
                self._end()
        regs[_STATUS] = (8 if self._measuring else 0) | (1 if self._starting else 0)

    def _begin(self, at=None) -> None:
        self._measuring = True
        self._began = self.now_ms() if at is None else at

    def _end(self) -> None:
        regs = self._regs
        self._measuring = False
        self._store()
        if self._next_mode is not None:
            regs[_CTRL_MEAS], self._next_mode = self._next_mode, None
            if regs[_CTRL_MEAS] & 3 in (1, 2):
                self._begin()
        elif regs[_CTRL_MEAS] & 3 != 3:
            regs[_CTRL_MEAS] &= 0xFC  # back to sleep by itself
        standby = (_STANDBY_MS + self.LONG_STANDBY_MS)[regs[_CONFIG] >> 5]
        self._wake = self._began + self.measure_ms() + standby

    def measure_ms(self) -> int:
        # BME280 9.1, the maximum; a whole millisecond more where it is not one already.
        t, p, h = self._samples()
        us = 1250 + 2300 * t + (2300 * p + 575 if p else 0) + (2300 * h + 575 if h else 0)
        return (us + 999) // 1000

    def _samples(self):
        ctrl = self._regs[_CTRL_MEAS]
        return tuple(
            (0, 1, 2, 4, 8, 16, 16, 16)[n & 7] for n in (ctrl >> 5, ctrl >> 2, self._osrs_h)
        )

    def _store(self) -> None:
        t, p, h = self._samples()
        raw_p, raw_t, raw_h = self.trim.raw(self.environment)
        adc_p, adc_t = self._filtered(_coarse(raw_p, p), _coarse(raw_t, t), p and t)
        for at, adc in ((_DATA, adc_p if p else 0x80000), (_DATA + 3, adc_t if t else 0x80000)):
            self._regs[at : at + 3] = bytes((adc >> 12, adc >> 4 & 0xFF, adc << 4 & 0xF0))
        if self.HUMID:
            adc = raw_h if h else 0x8000
            self._regs[_DATA + 6 : _DATA + 8] = bytes((adc >> 8, adc & 0xFF))

    def _filtered(self, adc_p: int, adc_t: int, both: bool):
        # BME280 3.4.4: data = (old * (c - 1) + new) / c; the first value fills the filter.
        c = (1, 2, 4, 8, 16, 16, 16, 16)[self._regs[_CONFIG] >> 2 & 7]
        if c == 1 or not both:
            self._filter = None
            return adc_p, adc_t
        old = self._filter or (adc_p, adc_t)
        self._filter = (old[0] * (c - 1) + adc_p) // c, (old[1] * (c - 1) + adc_t) // c
        return self._filter


class BME280(BMP280):
    CHIP_ID = 0x60
    HUMID = True
    LONG_STANDBY_MS = (10, 20)


def _coarse(adc: int, samples: int) -> int:
    # Without the filter the resolution is 16 bits + log2(oversampling) (BME280 table 23, 24).
    step = 16 // (samples or 1)
    return min((adc + step // 2) // step * step, 0xFFFFF // step * step)
