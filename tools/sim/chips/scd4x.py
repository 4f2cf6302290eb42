# Sensirion SCD40, SCD41 and SCD43: 16-bit commands, words with a CRC each. "DS" = datasheet,
# version 1.7; where 1.3 is slower, that counts. Self test, forced recalibration, factory reset and
# the periods of the self-calibration are not modelled, and so refused.

from .chip import Chip
from .sht3x import crc8

_START_MS = 1000  # 1.3, section 3.1; 30 in 1.7
_ANSWER_MS = 1  # DS table 9: of every command that is answered, and of every setting
_STOP_MS = 500
_REINIT_MS = 30
_WAKE_MS = 30
_PERSIST_MS = 800
# A read header that is not acknowledged takes that long at 400 kHz (DS table 7): ten clocks. The
# bus of the virtual board takes no time at all, so the chip counts it.
_HEADER_US = 25

_READ = 0xEC05
_READY = 0xE4B8
_STOP = 0x3F86
_SERIAL = 0x3682
_VARIANT = 0x202F
_REINIT = 0x3646
_PERSIST = 0x3615
_SLEEP = 0x36E0
_WAKE = 0x36F6
_OFFSET = 0x2318
_PRESSURE = 0xE000  # to set it and to get it
_PERIODIC = {0x21B1: 5000, 0x21AC: 30000}
_SHOTS = {0x219D: 5000, 0x2196: 50}  # the second one without CO2
# What sets a value -> what gets it; temperature offset, altitude, pressure, self-calibration and
# its target.
_SETTINGS = {0x241D: _OFFSET, 0x2427: 0x2322, _PRESSURE: _PRESSURE, 0x2416: 0x2313, 0x243A: 0x233F}
_FACTORY = {_OFFSET: 1498, 0x2322: 0, _PRESSURE: 1013, 0x2313: 1, 0x233F: 400}
_UNSETTLED_PPM = 150  # what the first reading after power-up is wrong by here (1.3, section 3.10)


class SCD40(Chip):
    VARIANT = 0x0440  # DS 3.10.6
    SINGLE_SHOT = False
    serial = (0xF896, 0x9F07, 0x3BBE)  # DS 3.10.2

    def __init__(self, clock=None) -> None:
        self._kept = dict(_FACTORY)  # in the EEPROM
        self._ram = dict(_FACTORY)
        super().__init__(clock)

    def power_on(self) -> None:
        self._reset(_START_MS)
        self._settled = False

    def _reset(self, ms: int) -> None:
        self._ram.update(self._kept)
        self._asleep = False
        self._period_ms = 0  # of a periodic measurement
        self._since = 0  # when it began
        self._results = 0  # how many have been there
        self._shot = None  # the command of the single shot that runs
        self._data = None  # words of a measurement nobody has read
        self._busy(ms)

    def _busy(self, ms: int) -> None:
        self._answer = None  # words for the next read
        self._headers = 0  # not acknowledged since the last command
        self._begun, self._busy_ms = self.now_ms(), ms

    def _deaf(self) -> bool:
        # Nothing is acknowledged while a command is being executed (DS 3.4), nor asleep.
        stuck = self._shot and self.fault == "stuck"
        us = self.since_ms(self._begun) * 1000 + self._headers * _HEADER_US
        return self._asleep or stuck or us < self._busy_ms * 1000

    def _advance(self) -> None:
        if self._shot and not self._deaf():
            self._data = self._measured(self._shot == 0x219D)
            self._shot = None
        if self._period_ms and self.fault != "stuck":
            results = self.since_ms(self._since) // self._period_ms
            if results > self._results:  # what nobody has read is written over
                self._results = results
                self._data = self._measured(True)

    def _measured(self, co2: bool):
        # DS 3.6.2, solved for the raw values; the offset is subtracted inside (DS 3.7.1), and the
        # chip's own warmth is as large as the offset that it comes with.
        offset = (self._ram[_OFFSET] - _FACTORY[_OFFSET]) * 175 / 65535
        t = self.environment.temperature_mdeg() / 1000 - offset
        rh = self.environment.humidity_mpct() / 1000
        ppm = self.environment.co2_ppm() + (0 if self._settled else _UNSETTLED_PPM)
        self._settled = True
        return (ppm if co2 else 0), _word((t + 45) / 175 * 65535), _word(rh / 100 * 65535)

    def _write(self, data: bytes) -> None:
        command = data[0] << 8 | data[1] if len(data) in (2, 5) else None
        if self._asleep and command == _WAKE:
            self._asleep = self._settled = False
            self._busy(_WAKE_MS)
            self.nack()  # DS 3.11.4
        self._advance()
        if self._deaf():
            self.nack()
        self._busy(0)
        if len(data) == 5:
            good = self._set(command, data[2] << 8 | data[3], data[4])
        else:
            good = self._ask(command) or (not self._period_ms and self._do(command))
        if not good:
            self.nack()

    def _set(self, command, word: int, crc: int) -> bool:
        idle = not self._period_ms or command == _PRESSURE
        if command not in _SETTINGS or not idle or crc8(word) != crc:
            return False
        self._ram[_SETTINGS[command]] = word
        self._busy(_ANSWER_MS)
        return True

    def _ask(self, command) -> bool:
        # What may be asked for during a periodic measurement (DS 3.6).
        if command == _STOP and self._period_ms:
            self._period_ms, self._data = 0, None
            self._busy(_STOP_MS)
            return True
        if command == _READ:
            answer, self._data = self._data, None
        elif command == _READY:
            answer = (0x8006 if self._data else 0x8000,)
        elif command == _PRESSURE:
            answer = (self._ram[_PRESSURE],)
        else:
            return False
        self._busy(_ANSWER_MS)
        self._answer = answer
        return True

    def _do(self, command) -> bool:
        # What takes the idle state.
        if command in _PERIODIC:
            self._period_ms, self._since = _PERIODIC[command], self.now_ms()
            self._results, self._data = 0, None
        elif command in _SHOTS and self.SINGLE_SHOT:
            self._shot, self._data = command, None
            self._busy(_SHOTS[command])
        elif command == _REINIT:
            self._reset(_REINIT_MS)
        elif command == _PERSIST:
            self._kept.update(self._ram)
            self._busy(_PERSIST_MS)
        elif command == _SLEEP and self.SINGLE_SHOT:
            self._asleep = True
        else:
            return self._identify(command)
        return True

    def _identify(self, command) -> bool:
        answers = {_SERIAL: self.serial, _VARIANT: (self.VARIANT,)}
        word = self._ram.get(command)
        answer = answers.get(command) if word is None else (word,)
        self._busy(_ANSWER_MS if answer else 0)
        self._answer = answer
        return answer is not None

    def _read(self, buf: bytearray) -> None:
        if self._deaf() or self._answer is None:
            self._headers += 1
            self.nack()
        answer = bytearray()
        for word in self._answer:
            answer.extend(bytes((word >> 8, word & 0xFF, crc8(word))))
        self.fill(buf, answer)
        self._answer = None

    def _damage(self, buf: bytearray) -> None:
        buf[-1] ^= 0x10  # which the CRC shows


class SCD41(SCD40):
    VARIANT = 0x1440
    SINGLE_SHOT = True


class SCD43(SCD41):
    VARIANT = 0x5441


def _word(value: float) -> int:
    return min(max(int(value + 0.5), 0), 0xFFFF)
