# TE HTU21D(F) (data sheet of May 2017), Silicon Labs Si7021 (Si7021-A20 rev. 1.1) and Sensirion
# SHT2x (SHT20, version 3): commands of one or two bytes, words with a CRC.

import utime

from .chip import Chip

_T, _RH = 0, 1
# Measurements: command -> (what, clock stretching)
_MEASURE = {0xF3: (_T, False), 0xF5: (_RH, False), 0xE3: (_T, True), 0xE5: (_RH, True)}
_RESET = 0xFE
_WRITE, _READ = 0xE6, 0xE7  # user register
_RESOLUTION = 0x81  # its bits: 0x00, 0x01, 0x80 and 0x81 stand for
_BITS = {0x00: (14, 12), 0x01: (12, 8), 0x80: (13, 10), 0x81: (11, 11)}  # T, RH
_HEATER = 0x04
_MAY_CHANGE = _RESOLUTION | _HEATER | 0x02


class HTU21D(Chip):
    START_MS = 15  # power-up, p. 10
    RESET_MS = 15  # p. 12
    USER = 0x02
    # T, RH in ms at most, by resolution (p. 3 and 5)
    MS = {0x00: (50, 16), 0x01: (13, 3), 0x80: (25, 5), 0x81: (7, 8)}
    SERIAL = {b"\xfa\x0f": (b"\x00", b"\xdd", b"\xee", b"\xce"), b"\xfc\xc9": (b"\x32\x11", b"HT")}
    SLOPE = 15  # %RH for 100 C that it reads less, or more than it is, beside 25 C (p. 4)

    def power_on(self) -> None:
        self._user = self.USER
        self._begin(self.START_MS)

    def _begin(self, ms: int) -> None:
        self._born, self._start_ms = self.now_ms(), ms
        self._answer = None  # bytes for the next read
        self._since = None  # when the running measurement began
        self._what, self._busy_ms, self._stretch = _T, 0, False

    def _write(self, data: bytes) -> None:
        if self._deaf():
            self.nack()
        self._since = self._answer = None
        data = bytes(data)
        if len(data) == 1 and data[0] in _MEASURE:
            self._what, self._stretch = _MEASURE[data[0]]
            self._busy_ms = self.MS[self._user & _RESOLUTION][self._what]
            self._since = self.now_ms()
        elif data in self.SERIAL:
            self._answer = self._checked(self.SERIAL[data])
        elif len(data) == 1 and data[0] == _READ:
            self._answer = bytes((self._user,))
        elif len(data) == 2 and data[0] == _WRITE and not (data[1] ^ self._user) & ~_MAY_CHANGE:
            self._user = data[1]
        elif data == bytes((_RESET,)):
            self._soft_reset()
        else:
            self._special(data)

    def _special(self, data: bytes) -> None:
        self.nack()

    def _soft_reset(self) -> None:
        self._user = self.USER | self._user & _HEATER  # which it leaves as it is
        self._begin(self.RESET_MS)

    def _deaf(self) -> bool:
        if self.since_ms(self._born) < self._start_ms:
            return True
        return self._since is not None and not self._done()

    def _done(self) -> bool:
        return self.fault != "stuck" and self.since_ms(self._since) >= self._busy_ms

    def _read(self, buf: bytearray) -> None:
        while self._since is not None and self._stretch and not self.fault and not self._done():
            utime.sleep_ms(1)  # holds SCL low
        if self._deaf():
            self.nack()
        if self._since is not None:
            self._since = None
            self._answer = self._measured(self._what)
        if self._answer is None:
            self.nack()
        self.fill(buf, self._answer)
        self._answer = None

    def _damage(self, buf: bytearray) -> None:
        buf[-1] ^= 0x10  # which the CRC shows, where there is one

    def _checked(self, parts) -> bytes:
        return b"".join([part + bytes((crc8(part),)) for part in parts])

    def _measured(self, what) -> bytes:
        # p. 15, solved for the raw values; the last two bits say which it is (p. 12).
        t = self.environment.temperature_mdeg() / 1000 + (1 if self._user & _HEATER else 0)
        if what == _T:
            share = (t + 46.85) / 175.72
        else:
            rh = self.environment.humidity_mpct() / 1000
            share = (rh - self.SLOPE / 100 * (min(max(t, 0), 80) - 25) + 6) / 125
        bits = _BITS[self._user & _RESOLUTION][what]
        word = min(max(int(share * (1 << bits) + 0.5), 0), (1 << bits) - 1) << 16 - bits
        if word & 0xFFFC == 0xFFFC:
            word = 0xFFFF  # short circuit, or beyond what it can say
        elif word:
            word |= what << 1
        return self._checked((bytes((word >> 8, word & 0xFF)),))


class SI7021(HTU21D):
    START_MS = 80  # table 2
    USER = 0x3A
    # A humidity takes a temperature as well.
    MS = {0x00: (11, 23), 0x01: (4, 7), 0x80: (7, 11), 0x81: (3, 10)}
    SERIAL = {
        b"\xfa\x0f": (b"\x0b", b"\xad", b"\xca", b"\xfe"),
        b"\xfc\xc9": (b"\x15\xff", b"\xff\xff"),
    }
    SLOPE = 0
    _last = None  # temperature of the last humidity

    def _checked(self, parts) -> bytes:
        # Of the serial number each CRC goes on where the one before it ended.
        made, so_far = b"", b""
        for part in parts:
            so_far += part
            made += part + bytes((crc8(so_far),))
        return made

    def _soft_reset(self) -> None:
        self._user = self.USER
        self._begin(self.RESET_MS)

    def _special(self, data: bytes) -> None:
        if data == b"\xe0" and self._last:
            self._answer = self._last[:2]
        elif data == b"\x84\xb8":
            self._answer = b"\x20"
        elif data == b"\x11":
            self._answer = b"\x00"
        else:
            self.nack()

    def _measured(self, what) -> bytes:
        if what == _RH:
            self._last = HTU21D._measured(self, _T)
        return HTU21D._measured(self, what)


class SHT2x(HTU21D):
    MS = {0x00: (85, 29), 0x01: (22, 4), 0x80: (43, 9), 0x81: (11, 15)}  # table 7
    SERIAL = {
        b"\xfa\x0f": (b"\x00", b"\x0b", b"\xad", b"\x01"),
        b"\xfc\xc9": (b"\x31\x07", b"\x82\x3c"),
    }
    SLOPE = 0


def crc8(data: bytes) -> int:
    # HTU21D p. 14 as polynomial division: x^8 + x^5 + x^4 + 1, from 0.
    rest = 0
    for byte in bytes(data) + b"\0":
        rest = rest << 8 | byte
        for bit in range(15, 7, -1):
            if rest >> bit & 1:
                rest ^= 0x131 << bit - 8
    return rest
