# Sensirion SHT30, SHT31, SHT35 and SHT85 over I2C: single shot, high repeatability.
# "DS" = Sensirion SHT3x-DIS datasheet, version 7.

from micropython import const

from firmware.core.errors import SensorError

_TRIES = const(40)  # each 0.1 ms at 100 kHz, and together more than 1 ms at any clock
_NACK = const(19)


def probe(bus, addr):
    # There is no id register. An SHT3x answers the status command with a good CRC and zeros in
    # the reserved bits; another chip at its address fails that, or (SHT4x) does not acknowledge.
    # A result that nobody read comes first: it has a CRC, too.
    def send(command):
        left = _TRIES  # for 1 ms after a command the chip takes no other (DS 4)
        while True:
            try:
                return bus.writeto(addr, command)
            except OSError as e:
                left -= 1
                if not left or e.args[0] != _NACK:
                    raise

    buf = bytearray(3)
    try:
        bus.readfrom_into(addr, buf)
    except OSError:  # there was none
        pass
    send(b"\xf3\x2d")  # read status, DS 4.11
    bus.readfrom_into(addr, buf)
    if _crc(buf, 0) or buf[0] & 0x50 or buf[1] & 0x0C:  # bits 14, 12, 3 and 2: DS table 18
        return None
    send(b"\x30\x93")  # break, DS 4.8: while it measures by itself it does not take the next
    send(b"\x30\xa2")  # soft reset, DS 4.9; that switches the heater off, too
    chip = Driver()
    chip.bus, chip.addr, chip.values = bus, addr, [None, None]
    chip.buf = bytearray(6)  # T msb, lsb, crc, RH msb, lsb, crc
    return chip


class Driver:
    name = "sht3x"
    SETTLE_MS = 5  # DS 2.2: 1.5 ms
    MEASURE_MS = 17  # DS 2.2: 15.5 ms at most, and a millisecond clock may be one short
    LEAST_S = 0  # DS table 10: only ten a second may warm it
    FROZEN = 50  # 16 bits of both

    def start(self):
        self.bus.writeto(self.addr, b"\x24\x00")  # DS 4.3, clock stretching off

    def finish(self):
        # Until the measurement is done, and after a power loss, the chip does not acknowledge.
        buf = self.buf
        self.bus.readfrom_into(self.addr, buf)
        if _crc(buf, 0) or _crc(buf, 3):
            raise SensorError("crc")
        # DS 4.13 divides by 2^16 - 1. Stretched to 2^16 the division is a shift, exact at both
        # ends; 100/2^16 = 25/2^14 and so on keep every product below 2^30.
        t = buf[0] << 8 | buf[1]
        rh = buf[3] << 8 | buf[4]
        cdeg = ((t + (t >> 15)) * 4375 + 8192 >> 14) - 4500
        if not -4000 <= cdeg <= 12500:  # DS table 2
            raise SensorError("temperature out of range")
        self.values[0] = cdeg
        self.values[1] = (rh + (rh >> 15)) * 625 + 2048 >> 12


def _crc(buf, at):
    # Of two bytes and their CRC (DS 4.12): 0 when they agree.
    crc = 0xFF
    for i in range(at, at + 3):
        crc ^= buf[i]
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc
