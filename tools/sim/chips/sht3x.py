# Sensirion SHT3x-DIS (datasheet version 7): 16-bit commands, answers in words with a CRC each.

import utime

from .chip import Chip

# Single shots: command -> (ms at most by DS 2.2, clock stretching)
_SINGLE = {
    0x2400: (16, False),
    0x240B: (7, False),
    0x2416: (5, False),
    0x2C06: (16, True),
    0x2C0D: (7, True),
    0x2C10: (5, True),
}
# Periodic measurements: high byte -> (low bytes, period in ms), DS table 10 and 12
_PERIODIC = {
    0x20: ((0x32, 0x24, 0x2F), 2000),
    0x21: ((0x30, 0x26, 0x2D), 1000),
    0x22: ((0x36, 0x20, 0x2B), 500),
    0x23: ((0x34, 0x22, 0x29), 250),
    0x27: ((0x37, 0x21, 0x2A), 100),
    0x2B: ((0x32,), 250),
}
_FETCH = 0xE000
_BREAK = 0x3093
_SOFT_RESET = 0x30A2
_HEATER_ON = 0x306D
_HEATER_OFF = 0x3066
_STATUS = 0xF32D
_CLEAR = 0x3041
_SERIAL = (0x3780, 0x3682)

_ALERT_RESET = 0x8010  # status after a reset: alert pending, reset detected (DS table 18)
_HEATER = 0x2000
_BAD_COMMAND = 0x0002
_START_MS = 2  # power-up and soft reset: 1.5 ms at most (DS 2.2)
_REST_MS = 1  # from one command to the next (DS 4), and after a break (DS 4.8)


class SHT3x(Chip):
    serial = 0x0BADCAFE

    def power_on(self) -> None:
        self._status = _ALERT_RESET
        self._born = self.now_ms()
        self._answer = None  # words for the next read
        self._since = None  # when the running measurement or the periodic mode began
        self._busy_ms = 0
        self._period_ms = 0  # 0: single shot mode
        self._stretch = False
        self._fetched = 0  # periodic: how many results have been there at the last fetch

    def _write(self, data: bytes) -> None:
        command = data[0] << 8 | data[1] if len(data) == 2 else None
        if self._deaf(command):
            self.nack()
        self._answer = None
        if not self._period_ms:
            self._since = None  # what a single shot has measured, and nobody has read
        self._status &= ~_BAD_COMMAND
        self.rest(_REST_MS)
        if not self._obey(command):
            self._status |= _BAD_COMMAND
            self.nack()

    def _deaf(self, command) -> bool:
        # Nothing is acknowledged while starting up and right after a command; a break alone while
        # a single shot runs.
        if self.since_ms(self._born) < _START_MS or self.resting():
            return True
        measuring = self._since is not None and not self._period_ms and not self._done()
        return measuring and command != _BREAK

    def _done(self) -> bool:
        return self.fault != "stuck" and self.since_ms(self._since) >= self._busy_ms

    def _obey(self, command) -> bool:
        if command in _SINGLE and not self._period_ms:
            self._busy_ms, self._stretch = _SINGLE[command]
            self._since = self.now_ms()
        elif command == _FETCH and self._period_ms:
            self._fetch()
        elif command == _BREAK:
            self._since, self._period_ms = None, 0
        elif command == _STATUS:
            self._answer = (self._status,)
        elif command in _SERIAL:
            self._answer = (self.serial >> 16, self.serial & 0xFFFF)
        else:
            return self._set(command)
        return True

    def _set(self, command) -> bool:
        if command == _CLEAR:
            self._status &= ~0x8C10
        elif command == _HEATER_ON:
            self._status |= _HEATER
        elif command == _HEATER_OFF:
            self._status &= ~_HEATER
        elif command == _SOFT_RESET and not self._period_ms:
            self.power_on()
        elif command is not None and command & 0xFF in _PERIODIC.get(command >> 8, ((),))[0]:
            self._period_ms = _PERIODIC[command >> 8][1]
            self._since, self._fetched = self.now_ms(), 0
        else:
            return False
        return True

    def _fetch(self) -> None:
        results = self.since_ms(self._since) // self._period_ms
        if results > self._fetched and self.fault != "stuck":
            self._fetched = results
            self._answer = self._measured()

    def _read(self, buf: bytearray) -> None:
        if self.since_ms(self._born) < _START_MS:
            self.nack()
        if self._since is not None and not self._period_ms:
            self._finish_single()
        if self._answer is None:
            self.nack()
        answer = bytearray()
        for word in self._answer:
            answer.extend(bytes((word >> 8, word & 0xFF, crc8(word))))
        self.fill(buf, answer)
        self._answer = None  # the result memory is cleared by reading it

    def _damage(self, buf: bytearray) -> None:
        buf[-1] ^= 0x10  # which the CRC shows

    def _finish_single(self) -> None:
        while self._stretch and self.fault is None and not self._done():
            utime.sleep_ms(1)  # holds SCL low
        if not self._done():
            self.nack()
        self._since = None
        self._answer = self._measured()

    def _measured(self):
        # DS 4.13, solved for the raw values.
        t = self.environment.temperature_mdeg() / 1000 + (3 if self._status & _HEATER else 0)
        rh = self.environment.humidity_mpct() / 1000
        return _word((t + 45) / 175 * 65535), _word(rh / 100 * 65535)


def _word(value: float) -> int:
    return min(max(int(value + 0.5), 0), 0xFFFF)


def crc8(word: int) -> int:
    # DS 4.12 as polynomial division over the whole word: x^8 + x^5 + x^4 + 1, first byte 0xFF.
    rest = (word ^ 0xFF00) << 8
    for bit in range(23, 7, -1):
        if rest >> bit & 1:
            rest ^= 0x131 << bit - 8
    return rest
