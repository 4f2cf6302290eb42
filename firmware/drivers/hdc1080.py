# Texas Instruments HDC1080 (and HDC1050) over I2C: temperature, then humidity, 14 bits each.
# "DS" = TI datasheet SNAS672A. Registers are 16 bits, high byte first.

from micropython import const

from firmware.core.errors import SensorError

_CONFIG = const(0x02)


def probe(bus, addr):
    # The id of the device first: 0xFE, where the manufacturer's is, resets an HTU21D.
    buf = bytearray(2)
    for reg, known in ((0xFF, b"\x10\x50"), (0xFE, b"\x54\x49")):
        bus.readfrom_mem_into(addr, reg, buf)
        if buf != known:
            return None
    bus.writeto_mem(addr, _CONFIG, b"\x80\x00")  # soft reset: heater off, both at once, 14 bits
    chip = Driver()
    chip.bus, chip.addr, chip.values = bus, addr, [None, None]
    chip.buf, chip.check = bytearray(4), buf
    return chip


class Driver:
    name = "hdc1080"
    SETTLE_MS = 16  # DS 7.7: start-up 15 ms at most; for the reset no time is given
    MEASURE_MS = 21  # DS 7.5 gives 6.35 + 6.5 ms as typical and no maximum: half as much again
    LEAST_S = 1  # DS 9.2.1
    FROZEN = 50

    def start(self):
        self.bus.writeto(self.addr, b"\x00")  # DS 8.5.1.3: the pointer to the temperature

    def finish(self):
        # Until both are measured the chip does not acknowledge. There is no CRC, and the result
        # cannot be read twice: what remains are bits that are always the same (DS 8.6).
        buf = self.buf
        self.bus.readfrom_into(self.addr, buf)
        self.bus.readfrom_mem_into(self.addr, _CONFIG, self.check)
        if (buf[1] | buf[3]) & 0x03 or self.check[1] or self.check[0] & 0xF7 != 0x10:
            raise SensorError("damaged data")  # 0x08: the supply is below 2.8 V
        t = buf[0] << 6 | buf[1] >> 2
        rh = buf[2] << 6 | buf[3] >> 2
        if not t:  # -40 C, and what the register holds after power-on
            raise SensorError("reset during measurement")
        cdeg = (t * 4125 + 2048 >> 12) - 4000
        self.values[0] = cdeg
        # DS 7.3: elsewhere the humidity sensor does not work.
        self.values[1] = rh * 625 + 512 >> 10 if -2000 <= cdeg <= 8500 else None
