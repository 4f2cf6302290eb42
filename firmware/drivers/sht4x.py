# Sensirion SHT40, SHT41, SHT43 and SHT45 over I2C: high precision.
# "DS" = Sensirion SHT4x datasheet, version 6.1.

from micropython import const

from firmware.core.errors import SensorError

_TRIES = const(40)  # each 0.1 ms at 100 kHz, and together more than 1 ms at any clock
_NACK = const(19)


def probe(bus, addr):
    # Known by its serial number with two CRCs (DS 4.7). An SHT3x, whose commands have two bytes,
    # has nothing to say to that; but a result that nobody read would look the same.
    def patient(call, buf):
        # DS says nothing of it, but a chip needs a moment after a command.
        left = _TRIES
        while True:
            try:
                return call(addr, buf)
            except OSError as e:
                left -= 1
                if not left or e.args[0] != _NACK:
                    raise

    buf = bytearray(6)
    try:
        bus.readfrom_into(addr, buf)
    except OSError:  # there was none
        pass
    try:
        patient(bus.writeto, b"\x89")
        patient(bus.readfrom_into, buf)
    except OSError as e:
        if e.args[0] != _NACK:
            raise
        return None
    if _crc(buf, 0) or _crc(buf, 3):
        return None
    patient(bus.writeto, b"\x94")  # soft reset, DS 4.8
    chip = Driver()
    chip.bus, chip.addr, chip.values = bus, addr, [None, None]
    chip.buf = buf  # T msb, lsb, crc, RH msb, lsb, crc
    return chip


class Driver:
    name = "sht4x"
    SETTLE_MS = 5  # DS table 5: 1 ms
    MEASURE_MS = 10  # DS table 5: 8.3 ms at most, and a millisecond clock may be one short
    LEAST_S = 0
    FROZEN = 50  # 16 bits of both

    def start(self):
        self.bus.writeto(self.addr, b"\xfd")  # DS 4.5

    def finish(self):
        # Until the measurement is done, and after a power loss, the chip does not acknowledge.
        buf = self.buf
        self.bus.readfrom_into(self.addr, buf)
        if _crc(buf, 0) or _crc(buf, 3):
            raise SensorError("crc")
        # DS 4.6 divides by 2^16 - 1. Stretched to 2^16 the division is a shift, exact at both
        # ends; 175/2^16 * 100 = 4375/2^14 and so on keep every product below 2^30.
        t = buf[0] << 8 | buf[1]
        rh = buf[3] << 8 | buf[4]
        cdeg = ((t + (t >> 15)) * 4375 + 8192 >> 14) - 4500
        if not -4000 <= cdeg <= 12500:  # DS 2.2
            raise SensorError("temperature out of range")
        cpct = ((rh + (rh >> 15)) * 3125 + 8192 >> 14) - 600
        self.values[0] = cdeg
        self.values[1] = min(max(cpct, 0), 10000)  # DS 4.6 advises it


def _crc(buf, at):
    # Of two bytes and their CRC (DS 4.4): 0 when they agree.
    crc = 0xFF
    for i in range(at, at + 3):
        crc ^= buf[i]
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc
