# TE HTU21D, Silicon Labs Si7021 (also Si7013, Si7020) and Sensirion SHT20, SHT21, SHT25 over I2C.
# "DS" = data sheet HTU21D(F), May 2017, by page; "DS7" = Si7021-A20, rev. 1.1; "DS2" = SHT20,
# version 3. One after the other, in two turns: temperature, then humidity.

from firmware.core.errors import SensorError


def probe(bus, addr):
    # By the second half of the serial number (DS7 5.3; of the HTU21D MEAS' own example code): its
    # two CRCs, and "HT", or the kind of Si70xx. First the user register, in which bit 1 is set
    # (DS p. 13, DS7 6.1): the two bytes that ask for the number would set an output of a PCA9685.
    user, buf = bytearray(1), bytearray(6)
    bus.readfrom_mem_into(addr, 0xE7, user)
    if not user[0] & 0x02 or user[0] == 0xFF:
        return None
    bus.writeto_mem(addr, 0xFC, b"\xc9")
    bus.readfrom_into(addr, buf)
    chip = Driver()
    if _crc(buf, 0, 0) or not buf[3] | buf[4]:  # zeros have a good CRC
        return None
    if buf[0] in (0x0D, 0x14, 0x15) and not _crc(buf, 3, buf[2]):  # goes on where the first ended
        chip.name = "si7021"
        chip.MEASURE_MS = 24  # DS7 table 2: 12 and 10.8 ms, as a humidity takes both
    elif _crc(buf, 3, 0):
        return None
    elif buf[3:5] == b"HT":
        chip.slope = 3
    else:
        chip.name = "sht2x"
        chip.MEASURE_MS = 86  # DS2 table 7: 85 ms, and 29
        chip.LEAST_S = 2  # ten times as long
    if user[0] & 0x04:  # the heater, which a reset does not switch off (DS p. 12)
        user[0] &= 0xFB
        bus.writeto_mem(addr, 0xE6, user)
    bus.writeto(addr, b"\xfe")  # soft reset: also full resolution
    chip.bus, chip.addr, chip.buf, chip.values = bus, addr, bytearray(3), [None, None]
    chip.cdeg = None  # the first turn's, in the second
    return chip


class Driver:
    name = "htu21d"
    SETTLE_MS = 16  # DS p. 12: 15 ms
    MEASURE_MS = 51  # DS p. 5: 50 ms for a temperature, and a millisecond clock may be one short
    LEAST_S = 1  # 66 ms of work: less than a tenth
    FROZEN = 500  # 12 bits of humidity
    slope = 0

    def start(self):
        self.cdeg = None
        self.bus.writeto(self.addr, b"\xf3")  # DS p. 10, no hold

    def finish(self):
        # Until it is done, and after a power loss, the chip does not acknowledge.
        buf, cdeg = self.buf, self.cdeg
        self.bus.readfrom_into(self.addr, buf)
        if _crc(buf, 0, 0):
            raise SensorError("crc")
        # Bit 1 says which it is, bit 0 nothing; both off, or all on: DS p. 12, broken.
        raw = buf[0] << 8 | buf[1] & 0xFC
        if buf[1] >> 1 & 1 != (cdeg is not None) or raw == 0xFFFC:
            raise SensorError("damaged data")
        if cdeg is None:
            # DS p. 15, 17572/2^16 = 4393/2^14; every product stays below 2^30.
            cdeg = (raw * 4393 + 8192 >> 14) - 4685
            if not -4000 <= cdeg <= 12500:  # DS p. 5
                raise SensorError("temperature out of range")
            self.cdeg = cdeg
            self.bus.writeto(self.addr, b"\xf5")
            return True
        cpct = (raw * 3125 + 8192 >> 14) - 600
        # DS p. 4: an HTU21D is right at 25 C, and 0.15 %RH less for each degree more, 0 to 80 C.
        cpct += ((min(max(cdeg, 0), 8000) - 2500) * self.slope + 10) // 20
        self.values[0], self.values[1] = cdeg, min(max(cpct, 0), 10000)  # DS p. 15


def _crc(buf, at, crc):
    # Of two bytes and their CRC (DS p. 14): 0 when they agree.
    for i in range(at, at + 3):
        crc ^= buf[i]
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc
