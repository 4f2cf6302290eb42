# Sensirion SHT30, SHT31, SHT35 and SHT85 over I2C: single shot, high repeatability.
# "DS" = Sensirion SHT3x-DIS datasheet, version 5.

from micropython import const

from firmware.core.errors import SensorError

_MEASURE = const(b"\x24\x00")  # DS 4.3, clock stretching off
_READ_STATUS = const(b"\xf3\x2d")  # DS 4.11
_BREAK = const(b"\x30\x93")  # DS 4.8
_HEATER_OFF = const(b"\x30\x66")  # DS 4.10
_CRC_POLY = const(0x31)  # DS 4.12, initial value 0xFF

_RESERVED = const(0x500C)  # status bits 14, 12, 3, 2 read as 0 (DS table 18)
_HEATER = const(0x2000)  # status bit 13


def probe(bus, addr):
    # There is no id register. An SHT3x answers this command with a good CRC and zeros in the
    # reserved bits; another chip at its address fails that, or (SHT4x) does not acknowledge.
    buf = bytearray(3)
    bus.writeto(addr, _READ_STATUS)
    bus.readfrom_into(addr, buf)
    status = buf[0] << 8 | buf[1]
    if _crc8(buf, 0) != buf[2] or status & _RESERVED:
        return None
    if status & _HEATER:  # left on by some other program, it would warm every reading
        bus.writeto(addr, _HEATER_OFF)
    bus.writeto(addr, _BREAK)  # or left measuring by itself: then single shots are refused
    return SHT3x(bus, addr)


class SHT3x:
    # start(); at least MEASURE_MS later finish(); then values. Neither allocates.
    name = "sht3x"
    MEASURE_MS = 17  # DS 2.2: 15.5 ms at most, and a millisecond clock may be one short

    def __init__(self, bus, addr):
        self._bus = bus
        self._addr = addr
        self._buf = bytearray(6)  # T msb, lsb, crc, RH msb, lsb, crc
        self.values = [None, None]

    def start(self):
        self._bus.writeto(self._addr, _MEASURE)

    def finish(self):
        # Until the measurement is done, and after a power loss, the chip does not acknowledge.
        buf = self._buf
        self._bus.readfrom_into(self._addr, buf)
        if _crc8(buf, 0) != buf[2] or _crc8(buf, 3) != buf[5]:
            raise SensorError("sht3x: crc")
        # DS 4.13 divides by 2^16 - 1. Stretched to 2^16 the division is a shift, exact at both
        # ends; 100/2^16 = 25/2^14 and so on keep every product below 2^30.
        t = buf[0] << 8 | buf[1]
        rh = buf[3] << 8 | buf[4]
        cdeg = ((t + (t >> 15)) * 4375 + 8192 >> 14) - 4500
        if not -4000 <= cdeg <= 12500:  # DS table 2
            raise SensorError("sht3x: temperature out of range")
        self.values[0] = cdeg
        self.values[1] = (rh + (rh >> 15)) * 625 + 2048 >> 12


def _crc8(buf, at):
    crc = 0xFF
    for i in range(at, at + 2):
        crc ^= buf[i]
        for _ in range(8):
            crc = (crc << 1 ^ _CRC_POLY if crc & 0x80 else crc << 1) & 0xFF
    return crc
