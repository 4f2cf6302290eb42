# Texas Instruments TMP117 thermometer over I2C: one shot at a time, the mean of eight conversions.
# "DS" = TI datasheet SNOSD82. Registers are 16 bits, high byte first.

from micropython import const

from firmware.core.errors import SensorError

_CONFIG = const(0x01)


def probe(bus, addr):
    buf = bytearray(2)
    bus.readfrom_mem_into(addr, 0x0F, buf)  # device id; the top four bits are the revision
    if buf[0] & 0x0F != 0x01 or buf[1] != 0x17:
        return None
    # Unlocked by another program, its EEPROM would take each shot down; it stands 1,000 writes.
    bus.writeto_mem(addr, 0x04, b"\x00\x00")
    bus.readfrom_mem_into(addr, 0x04, buf)
    if buf[0] & 0xC0:  # unlocked still, or busy: then it ignores the reset (DS 7.5.1.1)
        raise SensorError("tmp117: still starting")
    bus.writeto_mem(addr, _CONFIG, b"\x00\x02")  # soft reset
    chip = Driver()
    chip.bus, chip.addr, chip.values = bus, addr, [None]
    chip.buf, chip.check = buf, bytearray(2)
    return chip


class Driver:
    name = "tmp117"
    SETTLE_MS = 5  # DS 7.6.1.2: the reset takes 2 ms
    MEASURE_MS = 141  # DS 6.5: eight times 17.5 ms at most, and the clock may be one short
    LEAST_S = 1  # 135 uA for 124 ms in each second: less than 0.01 C
    FROZEN = 500  # its noise is one step of 0.0078 C (DS 6.5), which hundredths may hide

    def start(self):
        self.bus.writeto_mem(self.addr, _CONFIG, b"\x0c\x20")
        # Reading clears "data ready" (DS 7.4.3): it may still be set from a shot before.
        self.bus.readfrom_mem_into(self.addr, _CONFIG, self.buf)

    def finish(self):
        buf = self.buf
        self.bus.readfrom_mem_into(self.addr, _CONFIG, buf)
        if buf[0] & 0x03 or buf[1] != 0x20:  # CONV and AVG are not as start() wrote them
            raise SensorError("reset during measurement")
        if buf[0] & 0x30 != 0x20:  # data ready, EEPROM not busy
            raise SensorError("still measuring")
        # There is no CRC, so read twice: after the shot the chip is shut down, the result stays.
        self.bus.readfrom_mem_into(self.addr, 0x00, buf)
        self.bus.readfrom_mem_into(self.addr, 0x00, self.check)
        if buf != self.check:
            raise SensorError("damaged data")
        cdeg = ((buf[0] << 8 | buf[1]) - (buf[0] >> 7 << 16)) * 25 + 16 >> 5  # 7.8125 mC a step
        if not -4000 <= cdeg <= 12500:  # as in QUANTITIES; -256 C: not one conversion yet
            raise SensorError("temperature out of range")
        self.values[0] = cdeg
