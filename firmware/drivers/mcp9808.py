# Microchip MCP9808 thermometer over I2C. It converts by itself, four times a second.
# "DS" = Microchip MCP9808 datasheet DS25095A. Registers are 16 bits, high byte first.

from micropython import const

from firmware.core.errors import SensorError

_REG_CONFIG = const(0x01)
_REG_UPPER = const(0x02)
_REG_AMBIENT = const(0x05)
_REG_MANUFACTURER = const(0x06)
_REG_DEVICE = const(0x07)
_REG_RESOLUTION = const(0x08)  # the only one of 8 bits

_CONVERT = const(b"\x00\x00")  # continuous conversion, alert output off (DS 5.1.1)
_FINEST = const(b"\x03")  # 0.0625 C (DS 5.2.4)
_STEPS = const(2)  # 1/8 C: how far two readings within a millisecond may lie apart
_LOCKS = const(0xC0)  # low byte of config: limits cannot be written until power is cut

# The chip has no "data ready" bit, and after power-on it says 0.00 C until its first conversion
# is done. The upper alert limit, unused here and 0 after power-on, serves as a mark: as long as it
# is there, the chip has had power since start(), and that is longer than one conversion.
_MARK = const(b"\x05\x50")  # 85 C


def probe(bus, addr):
    buf = bytearray(2)
    bus.readfrom_mem_into(addr, _REG_MANUFACTURER, buf)
    if buf != b"\x00\x54":
        return None
    bus.readfrom_mem_into(addr, _REG_DEVICE, buf)
    return MCP9808(bus, addr) if buf[0] == 0x04 else None  # the low byte is the revision


class MCP9808:
    # start(); at least MEASURE_MS later finish(); then values. Neither allocates.
    name = "mcp9808"
    MEASURE_MS = 400  # DS 5.2.4 gives 250 ms as typical and no maximum

    def __init__(self, bus, addr):
        self._bus = bus
        self._addr = addr
        self._buf = bytearray(2)
        self._mark = bytearray(2)
        self.values = [None]
        bus.readfrom_mem_into(addr, _REG_CONFIG, self._buf)
        if self._buf[1] & _LOCKS:
            raise SensorError("mcp9808: limits locked, cut its power once")
        bus.writeto_mem(addr, _REG_CONFIG, _CONVERT)
        bus.writeto_mem(addr, _REG_RESOLUTION, _FINEST)

    def start(self):
        self._bus.writeto_mem(self._addr, _REG_UPPER, _MARK)

    def finish(self):
        buf, mark = self._buf, self._mark
        self._bus.readfrom_mem_into(self._addr, _REG_AMBIENT, buf)
        sixteenths = _sixteenths(buf)
        self._bus.readfrom_mem_into(self._addr, _REG_UPPER, mark)
        if mark != _MARK:
            raise SensorError("mcp9808: reset during measurement")
        # There is no CRC, so read twice; the next conversion may just have come in between.
        self._bus.readfrom_mem_into(self._addr, _REG_AMBIENT, buf)
        if not -_STEPS <= _sixteenths(buf) - sixteenths <= _STEPS:
            raise SensorError("mcp9808: damaged data")
        cdeg = sixteenths * 25 + 2 >> 2
        if not -4000 <= cdeg <= 12500:  # DS 1, operating range
            raise SensorError("mcp9808: temperature out of range")
        self.values[0] = cdeg


def _sixteenths(buf):
    # DS 5.1.3.1: bits 15 to 13 compare with the limits, bit 12 is the sign.
    value = (buf[0] & 0x0F) << 8 | buf[1]
    return value - 4096 if buf[0] & 0x10 else value
