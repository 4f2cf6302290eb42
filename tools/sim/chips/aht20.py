# Aosong AHT20 (data sheet V1.0 of May 2021) and AHT10 (technical manual V1.1): commands, and one
# answer: status, 20 bits of humidity, 20 bits of temperature, and of an AHT20 a CRC.

from .chip import Chip

_MEASURE = b"\xac\x33\x00"
_SOFT_RESET = b"\xba"
_MEASURE_MS = 80  # AHT20 7.4: "more than 80 ms"
_RESET_MS = 20  # AHT10 5.4
_INIT_MS = 10  # AHT20, April 2020, 5.4
_BUSY = 0x80
_CALIBRATED = 0x08
_TRIGGERED, _INITIALISED = 1, 2


class AHT20(Chip):
    START_MS = 100  # 7.1
    INIT = b"\xbe\x08\x00"
    STATUS = 0x1C  # reserved bits as they come, and calibrated: loaded at its start
    RESERVED = 0x14
    UNMEASURED = (0x80000, 0x80000)  # what the data hold before the first measurement
    first_crc = False  # whether the answer has its CRC before, too: the data sheet does not say

    def power_on(self) -> None:
        self._begin(self.START_MS)

    def _begin(self, ms: int) -> None:
        self._born, self._start_ms = self.now_ms(), ms
        self._status = self.STATUS
        self._data = self.UNMEASURED
        self._crc = self.first_crc
        self._doing = None  # what it is busy with
        self._since = 0

    def _write(self, data: bytes) -> None:
        self._advance()
        if data == _SOFT_RESET:
            self._begin(_RESET_MS)
            return
        if self._doing:
            self.nack()
        if data == _MEASURE and self._may_measure():
            self._doing = _TRIGGERED
        elif self._initialises(data):
            self._doing = _INITIALISED
        else:
            self.nack()
        self._since = self.now_ms()

    def _may_measure(self) -> bool:
        return True

    def _initialises(self, data: bytes) -> bool:
        return data == self.INIT

    def _advance(self) -> None:
        if self.since_ms(self._born) < self._start_ms:
            self.nack()
        age = self.since_ms(self._since)
        if self._doing == _TRIGGERED and age >= _MEASURE_MS and self.fault != "stuck":
            self._data, self._crc = self._measured(), True
            self._doing = None
        elif self._doing == _INITIALISED and age >= _INIT_MS:
            self._status |= _CALIBRATED
            self._doing = None

    def _read(self, buf: bytearray) -> None:
        self._advance()
        rh, t = self._data
        status = self._status | (_BUSY if self._doing else 0)
        answer = bytearray((status, rh >> 12, rh >> 4 & 0xFF, rh << 4 & 0xF0 | t >> 16))
        answer.extend(bytes((t >> 8 & 0xFF, t & 0xFF)))
        self.fill(buf, answer + self._checksum(answer))

    def _checksum(self, answer: bytes) -> bytes:
        return bytes((crc8(answer),)) if self._crc else b""

    def _measured(self):
        # AHT20 8.1 and 8.2, solved for the raw values. Without its calibration the chip is wrong.
        rh = self.environment.humidity_mpct() / 100000
        t = (self.environment.temperature_mdeg() / 1000 + 50) / 200
        if not self._status & _CALIBRATED:
            rh, t = rh / 2, t / 2
        return _twenty(rh), _twenty(t)

    def _damage(self, buf: bytearray) -> None:
        buf[-1] ^= 0x04


class AHT10(AHT20):
    START_MS = 20  # 5.1
    INIT = b"\xe1\x08\x00"
    STATUS = 0x11  # not calibrated before 0xE1 is sent
    UNMEASURED = (0, 0)
    _turn = 0

    def _may_measure(self) -> bool:
        return not self._status & 0x60  # bits 6 and 5: the mode. 0 is the one with a trigger

    def _initialises(self, data: bytes) -> bool:
        if len(data) != 3 or data[0] != 0xE1 or data[1] & 0x97 or data[2]:
            return False
        self._status = self._status & 0x9F | data[1] & 0x60
        return True

    def _checksum(self, answer: bytes) -> bytes:
        return b""

    def _damage(self, buf: bytearray) -> None:
        # Without a CRC: now one bit, now another.
        self._turn += 1
        buf[(1, 4, 2, 5)[self._turn & 3] % len(buf)] ^= 0x20


def _twenty(share: float) -> int:
    return min(max(int(share * 0x100000 + 0.5), 0), 0xFFFFF)


def crc8(data: bytes) -> int:
    # AHT20 7.4 as polynomial division: x^8 + x^5 + x^4 + 1, the first byte inverted.
    rest = data[0] ^ 0xFF
    for byte in bytes(data[1:]) + b"\0":
        rest = rest << 8 | byte
        for bit in range(15, 7, -1):
            if rest >> bit & 1:
                rest ^= 0x131 << bit - 8
    return rest
