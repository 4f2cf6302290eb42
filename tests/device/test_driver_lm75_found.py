# heap: 72wk
# Which chips the driver of the LM75 class takes: there is no id register, so what it must not take
# stands here as well, register by register.

import harness
from fakes import Random
from fakes_bus import ChipBus, measure, powered
from firmware.drivers import tmp117
from firmware.drivers.lm75 import probe
from tools.sim.chips.chip import Fixed
from tools.sim.chips.lm75 import LM75A, LM75B, TMP102
from tools.sim.chips.tmp117 import TMP117

KINDS = (LM75A, "lm75"), (LM75B, "lm75"), (TMP102, "tmp102")


class Recorded(ChipBus):
    def __init__(self, chip):
        super().__init__((0x48, chip))
        self.written = []

    def writeto_mem(self, addr, reg, buf):
        self.written.append(bytes((reg,)) + bytes(buf))
        super().writeto_mem(addr, reg, buf)


class Bank:
    # Registers of 16 bits, of which `mask` can be written.
    def __init__(self, regs, masks=None):
        self.regs, self.masks, self.pointer = dict(regs), masks or {}, 0

    def write(self, data):
        self.pointer = data[0]
        if len(data) == 3:
            mask = self.masks.get(data[0], 0)
            word = (data[1] << 8 | data[2]) & mask
            self.regs[data[0]] = self.regs.get(data[0], 0) & ~mask | word

    def read_into(self, buf):
        word = self.regs.get(self.pointer, 0)
        for i in range(len(buf)):
            buf[i] = word >> 8 if i == 0 else word & 0xFF


def refused(chip, writes=()):
    # It is not taken, and what was written to it; nothing, mostly.
    bus = Recorded(chip)
    harness.equal(probe(bus, 0x48), None)
    harness.equal(bus.written, list(writes))


def test_what_is_taken():
    for kind, name in KINDS:
        clock, chip, bus = powered(0x48, kind)
        for _ in range(3):  # also after it was used, without a power cut
            sensor = probe(bus, 0x48)
            harness.equal(sensor.name, name)
            clock.pass_ms(sensor.SETTLE_MS)
            measure(clock, sensor)


def test_the_limits_are_as_before():
    for kind, _ in KINDS:
        _, chip, bus = powered(0x48, kind)
        probe(bus, 0x48)
        buf = bytearray(2)
        for reg, limit in ((2, b"\x4b\x00"), (3, b"\x50\x00")):
            bus.readfrom_mem_into(0x48, reg, buf)
            harness.equal(buf, limit)


class Breaking(ChipBus):
    # Writes are acknowledged `left` times.
    def writeto_mem(self, addr, reg, buf):
        self.left -= 1
        if self.left < 0:
            raise OSError(19)
        super().writeto_mem(addr, reg, buf)


def test_a_probe_that_was_broken_off_does_not_matter():
    # Each write of it fails in turn; then it is found all the same.
    for kind, name in KINDS:
        for left in range(3):
            _, chip, bus = powered(0x48, kind)
            broken = Breaking((0x48, chip))
            broken.left = left
            harness.raises(OSError, probe, broken, 0x48)
            harness.equal(probe(bus, 0x48).name, name)


def test_shutdown_left_by_another_program_is_ended():
    for kind, config in ((LM75A, b"\x01\x1f"), (LM75B, b"\x01\x01"), (TMP102, b"\x01\x61\xa0")):
        clock, chip, bus = powered(0x48, kind)
        chip.write(config)
        sensor = probe(bus, 0x48)
        clock.pass_ms(sensor.SETTLE_MS)
        chip.environment = Fixed(30000)
        measure(clock, sensor)
        harness.equal(sensor.values, [3000])


def test_limits_of_another_program_are_not_overwritten():
    for kind, _ in KINDS:
        for limit in (b"\x02\x28\x00", b"\x03\x2d\x00"):
            _, chip, _ = powered(0x48, kind)
            chip.write(limit)
            refused(chip)


def test_an_extended_tmp102_is_not_taken():
    # Nobody can say in which format its result is.
    _, chip, _ = powered(0x48, TMP102)
    chip.write(b"\x01\x60\xb0")
    refused(chip)


def test_one_wrong_bit_takes_nothing_else_for_it():
    # The identification is right, or it fails; it never gives the other name.
    for kind, name in KINDS:
        for which in range(10):
            for bit in range(16):
                _, chip, bus = powered(0x48, kind)
                sensor = probe(Flips(bus, which, bit), 0x48)
                if sensor:
                    harness.equal(sensor.name, name)


class Flips:
    def __init__(self, bus, which, bit):
        self.bus, self.left, self.bit = bus, which, bit
        self.writeto_mem = bus.writeto_mem

    def readfrom_mem_into(self, addr, reg, buf):
        self.bus.readfrom_mem_into(addr, reg, buf)
        if self.left == 0:
            buf[self.bit >> 3] ^= 0x80 >> (self.bit & 7)
        self.left -= 1


def test_a_tmp117_is_not_taken():
    clock, chip, bus = powered(0x48, TMP117)
    refused(chip)
    clock.pass_ms(1000)
    refused(chip)
    # Whatever its limits are: they take all 16 bits.
    chip.write(b"\x02\x4b\x00")
    chip.write(b"\x03\x50\x00")
    chip.write(b"\x01\x00\x00")
    chip.environment = Fixed(20000)
    clock.pass_ms(1000)
    refused(chip, [b"\x02\x4a\xff", b"\x02\x4b\x00"])
    harness.equal(tmp117.probe(bus, 0x48).name, "tmp117")


def test_an_ads1115_is_not_taken():
    # SBAS444: conversion, configuration 8583h, Lo_thresh 8000h, Hi_thresh 7FFFh, all of 16 bits.
    masks = {1: 0xFFFF, 2: 0xFFFF, 3: 0xFFFF}
    for result in (0, 0x1400, 0x7FFF, 0x8000, 0xFFFF):
        refused(Bank({0: result, 1: 0x8583, 2: 0x8000, 3: 0x7FFF}, masks))
        refused(Bank({0: result, 1: 0xE0A0, 2: 0x8000, 3: 0x7FFF}, masks))
        # A comparator with just these thresholds, whatever it is set to.
        for config in range(0, 0x10000, 0x20):
            chip = Bank({0: result, 1: config, 2: 0x4B00, 3: 0x5000}, masks)
            harness.equal(probe(ChipBus((0x48, chip)), 0x48), None)
            harness.equal(chip.regs, {0: result, 1: config, 2: 0x4B00, 3: 0x5000})


def test_an_adt7420_is_not_taken():
    # Registers of 8 bits: temperature, status, configuration, limits from 0x04 on, id.
    regs = {
        0: 0x0A00,
        1: 0x0000,
        2: 0x0000,
        3: 0x0000,
        4: 0x2000,
        6: 0x0500,
        8: 0x4980,
        11: 0xCB00,
    }
    refused(Bank(regs))
    for status in range(0, 256, 16):  # its other bits are always 0
        for config in (0x00, 0x20, 0x50, 0x80, 0xA0, 0xE0):
            regs[2], regs[3] = status << 8, config << 8
            refused(Bank(regs))


class PCF8591:
    # Four voltages. A byte written is the control byte, a second one goes to the analog output. A
    # read gives the last conversion first, and converts the chosen channel.
    def __init__(self, volts):
        self.volts, self.channel, self.last = volts, 0, 0x80

    def write(self, data):
        assert len(data) == 1 and not data[0] & 0xC0, "its output changes"
        self.channel = data[0] & 3

    def read_into(self, buf):
        for i in range(len(buf)):
            buf[i], self.last = self.last, self.volts[self.channel]


def test_a_pcf8591_is_not_taken_and_its_output_stays():
    random = Random(harness.seed())
    likely = (0x00, 0x4A, 0x4B, 0x50, 0x60, 0x80, 0xA0, 0xFF)
    for n in range(8**4):
        volts = [likely[n >> 3 * i & 7] for i in range(4)]
        refused(PCF8591(volts))
    for _ in range(harness.count(500)):
        refused(PCF8591([random(256) for _ in range(4)]))


def test_other_chips_at_these_addresses_are_not_taken():
    for regs, masks in (
        # LM77: hysteresis 2 C, T_crit 80 C, T_low 10 C, T_high 64 C; a sign of four bits
        ({0: 0x0140, 1: 0, 2: 0x0020, 3: 0x0500, 4: 0x00A0, 5: 0x0400}, {2: 0xF1F8, 3: 0xF1F8}),
        # INA219: configuration, shunt, bus, power, current, calibration
        ({0: 0x399F, 1: 0x0000, 2: 0x4B00, 3: 0x5000}, {0: 0xFFFF, 5: 0xFFFE}),
        # AS6212: like a TMP102, but its configuration says 40A0h
        ({0: 0x0000, 1: 0x40A0, 2: 0x4B00, 3: 0x5000}, {1: 0x1FC0, 2: 0xFFFF, 3: 0xFFFF}),
        # PCT2075-like, but its limits cannot be written
        ({0: 0x1400, 1: 0x0000, 2: 0x4B00, 3: 0x5000}, {}),
        # The same in one memory: what is written comes back
        ({0: 0x1400, 1: 0x0000, 2: 0x4B00, 3: 0x5000}, {2: 0xFFFF}),
        # A temperature that is none
        ({0: 0x7E00, 1: 0x0000, 2: 0x4B00, 3: 0x5000}, {2: 0xFF80}),
        ({0: 0xC880, 1: 0x0000, 2: 0x4B00, 3: 0x5000}, {2: 0xFF80}),
        ({0: 0x1408, 1: 0x0000, 2: 0x4B00, 3: 0x5000}, {2: 0xFF80}),
        # Its reserved bits are set
        ({0: 0x1400, 1: 0x2000, 2: 0x4B00, 3: 0x5000}, {2: 0xFF80}),
        ({0: 0x1400, 1: 0x80FF, 2: 0x4B00, 3: 0x5000}, {2: 0xFF80}),
    ):
        chip = Bank(regs, masks)
        harness.equal(probe(ChipBus((0x48, chip)), 0x48), None)
        harness.equal(chip.regs, regs)


def test_a_tmp75_at_twelve_bits_is_no_tmp102():
    # Its configuration has 8 bits, and a second byte that is read is the first again.
    class TMP75(Bank):
        def write(self, data):
            super().write(data[:1] + data[1:2] * 2 if data[0] == 1 else data)

    for config in (0x6060, 0x2020, 0x4040):
        chip = TMP75({0: 0x1400, 1: config, 2: 0x4B00, 3: 0x5000}, {1: 0x7F7F, 2: 0xFFF0})
        harness.equal(probe(ChipBus((0x48, chip)), 0x48), None)
    chip = TMP75({0: 0x1400, 1: 0, 2: 0x4B00, 3: 0x5000}, {1: 0x7F7F, 2: 0xFFF0})
    harness.equal(probe(ChipBus((0x48, chip)), 0x48).name, "lm75")  # nine bits, as after power-on


class Line:
    # Nothing is there but lines: zeros, ones, noise, or what was last written.
    def __init__(self, byte):
        self.byte, self.last = byte, 0

    def write(self, data):
        self.last = data[-1]

    def read_into(self, buf):
        for i in range(len(buf)):
            buf[i] = self.last if self.byte is None else self.byte()


def test_a_bus_that_floats_is_no_sensor():
    random = Random(harness.seed())
    for byte in (lambda: 0x00, lambda: 0xFF, lambda: 0x4B, lambda: 0x50, None):
        refused(Line(byte))
    for _ in range(harness.count(2000)):
        refused(Line(lambda: random(256)))


def test_it_does_not_answer():
    for kind, _ in KINDS:
        _, chip, bus = powered(0x48, kind)
        chip.fault = "nack"
        harness.raises(OSError, probe, bus, 0x48)
        chip.fault = "crc"
        harness.equal(probe(bus, 0x48), None)
