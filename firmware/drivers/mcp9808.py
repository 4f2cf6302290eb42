# Microchip MCP9808 thermometer over I2C. It converts by itself, four times a second, unless it is
# shut down: 200 uA or 0.1.
# "DS" = Microchip MCP9808 datasheet DS25095A. Registers are 16 bits, high byte first.

from micropython import const

from firmware.core.errors import SensorError

_CONFIG = const(0x01)
_AMBIENT = const(0x05)
# The chip has no "data ready" bit, and after power-on it says 0.00 C until its first conversion
# is done. The upper alert limit, unused here and 0 after power-on, serves as a mark: as long as it
# is there, the chip has had power since start(), and that is longer than one conversion.
_UPPER = const(0x02)
_MARK = const(b"\x05\x50")  # 85 C


def probe(bus, addr):
    buf = bytearray(2)
    for reg, known in ((0x06, b"\x00\x54"), (0x07, b"\x04")):  # manufacturer; device, revision
        bus.readfrom_mem_into(addr, reg, buf)
        if buf[: len(known)] != known:
            return None
    bus.readfrom_mem_into(addr, _CONFIG, buf)
    if buf[1] & 0xC0:
        raise SensorError("mcp9808: limits locked, cut its power once")
    bus.writeto_mem(addr, _CONFIG, b"\x01\x00")  # shut down, alert output off (DS 5.1.1)
    bus.writeto_mem(addr, 0x08, b"\x03")  # resolution: 0.0625 C (DS 5.2.4)
    chip = Driver()
    chip.bus, chip.addr, chip.buf, chip.values = bus, addr, buf, [None]
    return chip


class Driver:
    name = "mcp9808"
    SETTLE_MS = 5
    LEAST_S = 1
    FROZEN = 5_000  # a sixteenth of a degree a step
    MEASURE_MS = 400  # DS 5.2.4 gives 250 ms as typical and no maximum

    def start(self):
        self.bus.writeto_mem(self.addr, _CONFIG, b"\x00\x00")
        self.bus.writeto_mem(self.addr, _UPPER, _MARK)

    def finish(self):
        # There is no CRC, so read twice; the next conversion may just have come in between: 1/8 C.
        first = self._read(_AMBIENT)
        self._read(_UPPER)
        if self.buf != _MARK:
            raise SensorError("reset during measurement")
        second = self._read(_AMBIENT)
        self.bus.writeto_mem(self.addr, _CONFIG, b"\x01\x00")
        if not -2 <= second - first <= 2:
            raise SensorError("damaged data")
        cdeg = first * 25 + 2 >> 2
        if not -4000 <= cdeg <= 12500:  # DS 1, operating range
            raise SensorError("temperature out of range")
        self.values[0] = cdeg

    def _read(self, reg):
        # In sixteenths of a degree. DS 5.1.3.1: bits 15 to 13 compare with the limits, bit 12 is
        # the sign.
        buf = self.buf
        self.bus.readfrom_mem_into(self.addr, reg, buf)
        return ((buf[0] & 0x1F) << 8 | buf[1]) - ((buf[0] & 0x10) << 9)
