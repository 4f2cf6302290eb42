# What every chip model has: faults, a clock, surroundings.

import errno

import utime


class Fixed:
    # Surroundings that change only when told to.
    def __init__(
        self, temperature_mdeg=21000, humidity_mpct=45000, pressure_pa=101325, co2_ppm=600
    ) -> None:
        self.t, self.h, self.p, self.c = temperature_mdeg, humidity_mpct, pressure_pa, co2_ppm

    def temperature_mdeg(self) -> int:
        return self.t

    def humidity_mpct(self) -> int:
        return self.h

    def pressure_pa(self) -> int:
        return self.p

    def co2_ppm(self) -> int:
        return self.c


class _Ticks:
    def now(self) -> int:
        return utime.ticks_ms()

    def diff(self, a: int, b: int) -> int:
        return utime.ticks_diff(a, b)


class Chip:
    # clock has now() and diff(a, b) in milliseconds that may wrap; the firmware's shim of `time`
    # is not used, so that its settings cannot change how fast a chip measures.
    def __init__(self, clock=None) -> None:
        self.environment = Fixed()
        self.fault = None
        self._clock = clock or _Ticks()
        self._mark = self._clock.now()
        self._age_ms = 0
        self.rest(0)
        self.power_on()

    def now_ms(self) -> int:
        # Milliseconds since the chip was made; these do not wrap.
        ticks = self._clock.now()
        self._age_ms += self._clock.diff(ticks, self._mark)
        self._mark = ticks
        return self._age_ms

    def power_on(self) -> None:
        # Every register as after power came back.
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        if self.fault == "nack":
            self.nack()
        self._write(data)

    def read_into(self, buf: bytearray) -> None:
        if self.fault == "nack":
            self.nack()
        self._read(buf)
        if self.fault == "crc":
            self._damage(buf)

    def _damage(self, buf: bytearray) -> None:
        for i in range(len(buf)):  # no checksum: a line that nobody drives
            buf[i] = 0xFF

    def fill(self, buf: bytearray, answer) -> None:
        # What is read beyond the answer comes from a line that nobody drives.
        for i in range(len(buf)):
            buf[i] = answer[i] if i < len(answer) else 0xFF

    def nack(self) -> None:
        raise OSError(errno.ENODEV)

    def rest(self, ms: int) -> None:
        # After a command that takes a moment, during which the bus may be polled.
        self._rest_us, self._rested = ms * 1000, self.now_ms()

    def resting(self) -> bool:
        # A transfer that is refused takes 0.1 ms: an address at 100 kHz. It is counted, because
        # the clock of a test stands still meanwhile.
        if self._rest_us <= self.since_ms(self._rested) * 1000:
            return False
        self._rest_us -= 100
        return True

    def skip_ms(self, ms: int) -> None:
        self._age_ms += ms

    def since_ms(self, mark: int) -> int:
        return self.now_ms() - mark
