# Thermometers of the LM75 class, and the TMP102, over I2C. "LM75A" = TI datasheet SNOS808,
# "LM75B" = NXP datasheet rev. 6.1, "TMP102" = TI datasheet SBOS397. Registers are 16 bits, high
# byte first; only the configuration of an LM75 is 8.

from micropython import const

from firmware.core.errors import SensorError

_CONFIG = const(0x01)
_LOW = const(0x02)  # T_hyst, or T_low: from where the alert ends
_HIGH = const(0x03)  # T_os, or T_high


def probe(bus, addr):
    # There is no id register, and what is read beyond the fourth differs from maker to maker. So
    # all must be as after power-on, or as start() has left it. Only then anything is written: the
    # limit must keep 9 to 12 bits; those of an ADC or a TMP117 have 16, an ADT7420's 8.
    buf = bytearray(2)
    marks = (0x4A80, 0x4AC0, 0x4AE0, 0x4AF0)

    def read(reg):
        bus.readfrom_mem_into(addr, reg, buf)
        return buf[0] << 8 | buf[1]

    config = read(_CONFIG)
    # TMP102 6.5.3: 12 bits, which cannot be changed; not extended; the last four bits are 0.
    tmp102 = config & 0x601F == 0x6000
    if (config & 0xE000 and not tmp102) or read(_HIGH) != 0x5000:  # LM75B table 8; 80 C
        return None
    t = read(0x00)  # 9 to 12 bits; not below -55 C, nor from 126 C on
    if t & 0x0F or 0x7E00 <= t <= 0xC8FF or read(_LOW) not in marks + (0x4B00,):  # 75 C
        return None
    bus.writeto_mem(addr, _LOW, b"\x4a\xff")
    mark = read(_LOW)
    bus.writeto_mem(addr, _LOW, b"\x4b\x00")
    if mark not in marks or read(_LOW) != 0x4B00 or read(_HIGH) != 0x5000:
        return None
    chip = Driver()
    # start() writes the mark, and finish() finds it, unless the chip has lost power since: then it
    # says 0 C until its first conversion is done. LM75: a limit of 74.5 C. TMP102: one shot.
    chip.reg, chip.mark = _LOW, b"\x4a\x80"
    if tmp102:
        bus.writeto_mem(addr, _CONFIG, b"\x61\x40")  # shut down, 1 Hz
        if read(_CONFIG) & 0x7FDF != 0x6140:  # all but "one shot" and the alert
            return None
        chip.reg, chip.mark = _CONFIG, b"\xe1\x40"
        chip.MEASURE_MS = 36  # TMP102 until 2018: 35 ms at most; since then 15
    else:
        bus.writeto_mem(addr, _CONFIG, b"\x01")  # shut down: 4 uA instead of 250
    chip.name = "tmp102" if tmp102 else "lm75"
    chip.bus, chip.addr, chip.values = bus, addr, [None]
    chip.buf, chip.check = buf, bytearray(2)
    return chip


class Driver:
    SETTLE_MS = 36  # a TMP102 ends its conversion before it is shut down (6.4.3)
    MEASURE_MS = 301  # LM75A: 300 ms at most, and each access begins it anew; LM75B: 100 ms
    LEAST_S = 1
    FROZEN = 20_000  # half a degree a step, with some of them: two weeks at one a minute

    def start(self):
        if self.reg == _LOW:
            self.bus.writeto_mem(self.addr, _CONFIG, b"\x00")
        self.bus.writeto_mem(self.addr, self.reg, self.mark)

    def finish(self):
        # There is no CRC, so read twice, and once more when a conversion has just come in between.
        buf, check, mark = self.buf, self.check, self.mark
        self.bus.readfrom_mem_into(self.addr, 0x00, buf)
        self.bus.readfrom_mem_into(self.addr, 0x00, check)
        if buf != check:
            self.bus.readfrom_mem_into(self.addr, 0x00, buf)
        if buf != check or buf[1] & 0x0F:
            raise SensorError("damaged data")
        # Last, so that power has not been lost before. TMP102 6.4.4: while it converts "one shot"
        # reads 0. The alert of a TMP102 may be either.
        self.bus.readfrom_mem_into(self.addr, self.reg, check)
        if check[0] == 0x61:
            raise SensorError("still measuring")
        if check[0] != mark[0] or (check[1] ^ mark[1]) & 0xDF:
            raise SensorError("reset during measurement")
        if self.reg == _LOW:
            self.bus.writeto_mem(self.addr, _CONFIG, b"\x01")
        cdeg = ((buf[0] << 8 | buf[1]) - (buf[0] >> 7 << 16)) * 25 + 32 >> 6
        if not -4000 <= cdeg <= 12500:  # as in QUANTITIES
            raise SensorError("temperature out of range")
        self.values[0] = cdeg
