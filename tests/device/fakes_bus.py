# An I2C object as the machine module has it, with the chip models of tools/sim/chips on it.
# Small: the models leave little of a 36 KB heap.

import harness
from fakes import Clock
from firmware.core.errors import SensorError


class ChipBus:
    # Set plugged to False and nothing answers.
    def __init__(self, *chips):
        self.chips = dict(chips)
        self.plugged = True

    def scan(self):
        return sorted(self.chips) if self.plugged else []

    def writeto(self, addr, buf):
        self._at(addr).write(bytes(buf))

    def readfrom_into(self, addr, buf):
        self._at(addr).read_into(buf)

    def writeto_mem(self, addr, reg, buf):
        self._at(addr).write(bytes((reg,)) + bytes(buf))

    def readfrom_mem_into(self, addr, reg, buf):
        self._at(addr).write(bytes((reg,)))
        self.chips[addr].read_into(buf)

    def _at(self, addr):
        if not self.plugged or addr not in self.chips:
            raise OSError(19)
        return self.chips[addr]


class Registers:
    # One chip of 256 registers that never changes by itself and never allocates.
    def __init__(self, image=b"", base=0):
        self.regs = bytearray(256)
        self.regs[base : base + len(image)] = image
        self.plain = b""  # what a read without register address gives

    def scan(self):
        return [0x76]

    def writeto(self, addr, buf):
        pass

    def readfrom_into(self, addr, buf):
        for i in range(len(buf)):
            buf[i] = self.plain[i] if i < len(self.plain) else 0xFF

    def writeto_mem(self, addr, reg, buf):
        self.regs[reg] = buf[0]

    def readfrom_mem_into(self, addr, reg, buf):
        for i in range(len(buf)):
            buf[i] = self.regs[reg + i & 0xFF]


class Triggered(Registers):
    # An AHT10 or AHT20 that always says `plain`; a trigger makes it busy for one read.
    busy = False

    def writeto(self, addr, buf):
        self.busy = buf[0] == 0xAC

    def readfrom_into(self, addr, buf):
        Registers.readfrom_into(self, addr, buf)
        buf[0] |= self.busy << 7
        self.busy = False


def bosch():
    # The worked example of the BMP280 datasheet, 3.12: 25.08 C, 100653 Pa; as a BME280.
    chip = Registers(b"\x70\x6b\x43\x67\x18\xfc\x7d\x8e\x43\xd6\xd0\x0b\x27\x0b\x8c\x00", 0x88)
    chip.regs[0x98:0xA0] = b"\xf9\xff\x8c\x3c\xf8\xc6\x70\x17"
    chip.regs[0xA1] = 75
    chip.regs[0xE1:0xE8] = b"\x72\x01\x00\x13\x29\x03\x1e"
    chip.regs[0xD0] = 0x60
    chip.regs[0xF7:0xFF] = b"\x65\x5a\xc0\x7e\xed\x00\x70\x00"
    return chip


class Words:
    # An MCP9808 whose registers stay as they are; never allocates.
    writeto = None

    def __init__(self, ambient=0, manufacturer=0x0054, device=0x0400):
        self.regs = [0x1F, 0, 0, 0, 0, ambient, manufacturer, device, 3]

    def readfrom_mem_into(self, addr, reg, buf):
        buf[0] = self.regs[reg] >> 8
        buf[1] = self.regs[reg] & 0xFF

    def writeto_mem(self, addr, reg, buf):
        self.regs[reg] = buf[0] if len(buf) == 1 else buf[0] << 8 | buf[1]


def powered(addr, kind):
    # A chip that has started, on a bus.
    clock = Clock()
    chip = kind(clock)
    clock.pass_ms(5)
    return clock, chip, ChipBus((addr, chip))


def measure(clock, sensor):
    sensor.start()
    clock.pass_ms(sensor.MEASURE_MS)
    while sensor.finish():  # one more phase
        clock.pass_ms(sensor.MEASURE_MS)


def faults_are_errors(kind, settled):
    # Of a Sensirion chip at 0x44; afterwards all is well again. settled(clock, bus): its driver.
    for fault, error in (("nack", OSError), ("stuck", OSError), ("crc", SensorError)):
        clock, chip, bus = powered(0x44, kind)
        sensor = settled(clock, bus)
        measure(clock, sensor)
        chip.fault = fault
        harness.raises(error, measure, clock, sensor)
        chip.fault = None
        clock.pass_ms(20)
        measure(clock, sensor)


def power_loss_is_an_error(kind, settled):
    # Between start() and finish().
    clock, chip, bus = powered(0x44, kind)
    sensor = settled(clock, bus)
    sensor.start()
    chip.power_on()
    clock.pass_ms(sensor.MEASURE_MS)
    harness.raises(OSError, sensor.finish)
    measure(clock, sensor)
