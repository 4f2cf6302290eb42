# Sensirion SHT4x (datasheet version 6.1): commands of one byte, answers in words with a CRC each.

from .chip import Chip
from .sht3x import crc8

_START_MS = 1  # power-up and soft reset: DS table 5
_SERIAL = 0x89
_SOFT_RESET = 0x94
_REST_MS = 1  # after 0x89: not in DS any more, but a chip does not answer at once
# command -> (ms at most by DS table 5, how much the heater adds in degrees); DS table 8. The
# heater measures just before it goes off; by how much it warms depends on what is around.
_MEASURE = {
    0xFD: (9, 0),
    0xF6: (5, 0),
    0xE0: (2, 0),
    0x39: (1109, 60),
    0x32: (119, 20),
    0x2F: (1109, 33),
    0x24: (119, 11),
    0x1E: (1109, 6),
    0x15: (119, 2),
}


class SHT4x(Chip):
    serial = 0x0F4A1234

    def power_on(self) -> None:
        self._born = self.now_ms()
        self._answer = None  # words for the next read
        self._since = None  # when the running measurement began
        self._busy_ms = self._warmer = 0

    def _write(self, data: bytes) -> None:
        command = data[0] if len(data) == 1 else None
        if self.since_ms(self._born) < _START_MS or self.resting():
            self.nack()
        if command == _SOFT_RESET:  # ends whatever it does (DS 4.8)
            self.power_on()
            return
        if self._since is not None and not self._done():
            self.nack()
        self._since = self._answer = None
        if command in _MEASURE:
            self._busy_ms, self._warmer = _MEASURE[command]
            self._since = self.now_ms()
        elif command == _SERIAL:
            self._answer = (self.serial >> 16, self.serial & 0xFFFF)
            self.rest(_REST_MS)
        else:
            self.nack()

    def _done(self) -> bool:
        return self.fault != "stuck" and self.since_ms(self._since) >= self._busy_ms

    def _read(self, buf: bytearray) -> None:
        if self.since_ms(self._born) < _START_MS:
            self.nack()
        if self._since is not None and self._done():
            self._since = None
            self._answer = self._measured()
        if self._answer is None or self.resting():
            self.nack()
        answer = bytearray()
        for word in self._answer:
            answer.extend(bytes((word >> 8, word & 0xFF, crc8(word))))
        self.fill(buf, answer)
        self._answer = None  # DS 4.1: deleted by reading it

    def _damage(self, buf: bytearray) -> None:
        buf[-1] ^= 0x10  # which the CRC shows

    def _measured(self):
        # DS 4.6, solved for the raw values.
        t = self.environment.temperature_mdeg() / 1000 + self._warmer
        rh = self.environment.humidity_mpct() / 1000
        return _word((t + 45) / 175), _word((rh + 6) / 125)


def _word(share: float) -> int:
    return min(max(int(share * 65535 + 0.5), 0), 0xFFFF)
