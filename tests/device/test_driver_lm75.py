# heap: 64wk
# LM75 class: the datasheets' tables, every raw value of each resolution, the models over the whole
# range, and what the driver refuses. Which chips it takes: test_driver_lm75_found.py.

import harness
from fakes_bus import Words, measure, powered
from fakes_chips import read as registers
from firmware.core.errors import SensorError
from firmware.drivers.lm75 import probe
from tools.sim.chips.chip import Fixed
from tools.sim.chips.lm75 import LM75A, LM75B, TMP102

KINDS = (LM75A, 500), (LM75B, 125), (TMP102, 62.5)  # with their steps in mC


class Static(Words):
    # Registers that stay as they are; limits of nine bits.
    def __init__(self, config=0):
        self.regs = [0, config, 0x4B00, 0x5000]

    def writeto_mem(self, addr, reg, buf):
        if len(buf) == 1:
            self.regs[reg] = buf[0] << 8
        else:
            self.regs[reg] = buf[0] << 8 | buf[1] & (0x80 if reg > 1 else 0xFF)


def found(kind, mdeg=20000):
    clock, model, bus = powered(0x48, kind)
    model.environment = Fixed(mdeg)
    sensor = probe(bus, 0x48)
    clock.pass_ms(sensor.SETTLE_MS)
    return clock, model, bus, sensor


def read(raw, config=0):
    words = Static(config)
    sensor = probe(words, 0x48)
    words.regs[0] = raw
    sensor.start()
    sensor.finish()
    return sensor.values[0]


def test_the_tables_of_the_datasheets():
    for raw, cdeg in (
        (0x7D00, 12500),  # LM75A: 0FAh of nine bits
        (0x1900, 2500),
        (0x0080, 50),
        (0xFF80, -50),
        (0xE700, -2500),
        (0x7CE0, 12488),  # LM75B table 10: 124.875 C has 3E7h of eleven
        (0x0020, 13),
        (0xFFE0, -12),  # half a hundredth goes up
        (0x6400, 10000),  # TMP102 table 6-2: 640h of twelve
        (0x0040, 25),
        (0xFFC0, -25),
    ):
        harness.equal(read(raw), cdeg)
        harness.equal(read(raw, 0x60A0), cdeg)


def test_every_raw_value():
    # With one of the last four bits it is none.
    words = Static()
    sensor = probe(words, 0x48)
    sensor.start()
    for raw in range(-0x8000, 0x8000):
        words.regs[0] = raw & 0xFFFF
        wanted = raw / 256
        try:
            harness.no_heap_but_errors(sensor.finish)
        except SensorError as e:
            assert ("damaged" if raw & 0x0F else "range") in str(e), raw
            assert raw & 0x0F or not -40 <= wanted <= 125, raw
        else:
            assert not raw & 0x0F and -40 <= wanted <= 125, raw
            assert abs(sensor.values[0] / 100 - wanted) <= 0.0051, raw


def test_whole_range_against_the_models():
    for kind, step in KINDS:
        clock, model, _, sensor = found(kind)
        for mdeg in range(-40000, 125001, 1375):
            model.environment = Fixed(mdeg)
            measure(clock, sensor)
            # half a step and half a hundredth
            assert abs(sensor.values[0] * 10 - mdeg) <= step / 2 + 5, (mdeg, sensor.values[0])
        harness.equal(sensor.values, [12500])
        for mdeg in (-41000, 126000):
            model.environment = Fixed(mdeg)
            assert "range" in str(harness.raises(SensorError, measure, clock, sensor))


def test_zero_before_the_first_conversion_is_never_a_reading():
    for kind, _ in KINDS:
        for later_ms in (0, 1, 20, 34, 99, 250, 299):
            clock, model, _, sensor = found(kind)
            if later_ms < sensor.MEASURE_MS:
                sensor.start()
                clock.pass_ms(sensor.MEASURE_MS - later_ms)
                model.power_on()
                clock.pass_ms(later_ms)
                assert "reset" in str(harness.raises(SensorError, sensor.finish))
            model.power_on()  # and right before start()
            measure(clock, sensor)
            harness.equal(sensor.values, [2000])


def test_power_loss_while_it_is_read():
    for kind, _ in KINDS:
        for at in range(2):
            clock, model, bus, sensor = found(kind)
            sensor.start()
            clock.pass_ms(sensor.MEASURE_MS)
            sensor.bus = Watched(bus)
            sensor.bus.at[at] = model.power_on
            harness.raises(SensorError, sensor.finish)
            harness.equal(sensor.values, [None])


class Watched:
    # Calls at[n] after the n-th read.
    def __init__(self, bus):
        self.bus, self.at, self.reads = bus, {}, 0
        self.writeto_mem = bus.writeto_mem

    def readfrom_mem_into(self, addr, reg, buf):
        self.bus.readfrom_mem_into(addr, reg, buf)
        if self.reads in self.at:
            self.at[self.reads]()
        self.reads += 1


def test_a_conversion_may_come_between_the_reads():
    words = Static()
    sensor = probe(words, 0x48)
    words.regs[0] = 0x1400
    sensor.start()

    def next_one():
        words.regs[0] = 0x1480

    sensor.bus = Watched(words)
    sensor.bus.at[0] = next_one
    sensor.finish()
    harness.equal(sensor.values, [2050])


def test_a_wrong_bit_anywhere_never_gives_a_wrong_value():
    for config in (0, 0x60A0):
        for which in range(4):
            for bit in range(16):
                words = Static(config)
                sensor = probe(words, 0x48)
                words.regs[0] = 0x1400
                sensor.start()
                sensor.bus = Flips(words, which, bit)
                try:
                    sensor.finish()
                    harness.equal(sensor.values, [2000])
                except SensorError:
                    harness.equal(sensor.values, [None])


class Flips:
    # One bit of one read is wrong.
    def __init__(self, bus, which, bit):
        self.bus, self.left, self.bit = bus, which, bit

    def readfrom_mem_into(self, addr, reg, buf):
        self.bus.readfrom_mem_into(addr, reg, buf)
        if self.left == 0:
            buf[self.bit >> 3] ^= 0x80 >> (self.bit & 7)
        self.left -= 1

    def writeto_mem(self, addr, reg, buf):
        self.bus.writeto_mem(addr, reg, buf)


def test_measuring_does_not_allocate():
    for config in (0, 0x60A0):
        words = Static(config)
        sensor = probe(words, 0x48)
        words.regs[0] = 0xFF80
        harness.no_heap(sensor.start)
        harness.no_heap(sensor.finish)
        harness.equal(sensor.values, [-50])


def test_too_early_is_an_error_not_an_old_value():
    clock, model, _, sensor = found(TMP102)
    measure(clock, sensor)
    model.environment = Fixed(30000)
    sensor.start()
    clock.pass_ms(34)
    assert "measuring" in str(harness.raises(SensorError, sensor.finish))
    harness.equal(sensor.values, [2000])
    clock.pass_ms(2)
    sensor.finish()
    harness.equal(sensor.values, [3000])


def test_a_reading_is_no_older_than_its_start():
    for kind, _ in KINDS:
        clock, model, _, sensor = found(kind)
        measure(clock, sensor)
        for mdeg in (25000, -10000, 40000):
            clock.pass_ms(137)
            model.environment = Fixed(mdeg)
            measure(clock, sensor)
            harness.equal(sensor.values, [mdeg // 10])


def test_faults_of_the_models_are_errors():
    # An LM75 has no flag: one that measures no more gives what it had, and no error.
    for kind, faults in ((LM75A, "nack crc"), (LM75B, "nack crc"), (TMP102, "nack crc stuck")):
        for fault in faults.split():
            clock, model, _, sensor = found(kind)
            measure(clock, sensor)
            model.fault = fault
            error = OSError if fault == "nack" else SensorError
            harness.raises(error, measure, clock, sensor)
            model.fault = None
            clock.pass_ms(300)
            measure(clock, sensor)


def test_lines_that_nobody_drives():
    for config in (0, 0x60A0):
        for word in (0x0000, 0xFFFF):
            words = Static(config)
            sensor = probe(words, 0x48)
            sensor.start()
            words.regs = [word] * 4
            harness.raises(SensorError, sensor.finish)


def test_an_lm75_is_shut_down_between_readings():
    for kind in LM75A, LM75B:
        clock, chip, _, sensor = found(kind)
        for mdeg in 20000, 30000:
            harness.equal(registers(chip, 1), b"\x01")
            chip.environment = Fixed(mdeg)
            measure(clock, sensor)
            harness.equal(sensor.values[0], mdeg // 10)
        harness.equal(registers(chip, 1), b"\x01")
