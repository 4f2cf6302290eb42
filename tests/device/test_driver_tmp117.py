# heap: 64wk
# TMP117: the datasheet's table, every raw value, the model over the whole range, what the driver
# refuses, and what it must not do to the chip's EEPROM.

import harness
from fakes_bus import Words, measure, powered
from firmware.core.errors import SensorError
from firmware.drivers.tmp117 import probe
from tools.sim.chips.chip import Fixed
from tools.sim.chips.tmp117 import TMP117

READY = 0x2420  # what start() wrote, data ready, shut down
FACTORY = (0x8000, 0x0220, 0x6000, 0x8000, 0, 0x5151, 0, 0, 0xA3A3, 0, 0, 0, 0, 0, 0, 0x0117)


def chip(result=0, ident=0x0117):
    # Registers that stay as they are.
    words = Words()
    words.regs = list(FACTORY)
    words.regs[0], words.regs[15] = result, ident
    return words


def read(result, config=READY):
    words = chip(result)
    sensor = probe(words, 0x48)
    sensor.start()
    words.regs[1] = config
    sensor.finish()
    return sensor.values[0]


def refused(result, config=READY):
    return str(harness.raises(SensorError, read, result, config))


def test_the_table_of_the_datasheet():
    for result, cdeg in (  # table 7-1; half a hundredth goes up
        (0xF380, -2500),
        (0xFFF0, -12),  # -0.1250 C
        (0xFFFF, -1),
        (0x0000, 0),
        (0x0001, 1),
        (0x0010, 13),  # 0.1250 C
        (0x0080, 100),
        (0x0C80, 2500),
        (0x3200, 10000),
    ):
        harness.equal(read(result), cdeg)
    for result in (0x8000, 0x7FFF):  # -256 C: no conversion yet; 255.9921 C
        assert "range" in refused(result)


def test_every_raw_value():
    words = chip()
    sensor = probe(words, 0x48)
    words.regs[1] = READY
    for raw in range(-0x8000, 0x8000):
        words.regs[0] = raw & 0xFFFF
        wanted = raw / 128
        try:
            harness.no_heap_but_errors(sensor.finish)
        except SensorError:
            assert not -40 <= wanted <= 125, raw
        else:
            assert -40.005 <= wanted <= 125.005, raw
            assert abs(sensor.values[0] / 100 - wanted) <= 0.0051, raw


def test_other_chips_are_not_taken():
    # TMP116; an ADT7420, which has its bytes elsewhere; nobody.
    for ident in (0x1116, 0xCB00, 0x0000, 0xFFFF, 0x0017, 0x0100):
        words = chip(ident=ident)
        before = list(words.regs)
        harness.equal(probe(words, 0x48), None)
        harness.equal(words.regs, before)
    harness.equal(probe(chip(ident=0x3117), 0x48).name, "tmp117")  # a later revision


def test_what_is_not_a_finished_shot_is_refused():
    assert "measuring" in refused(0x0A00, 0x0C20)  # still at it
    assert "measuring" in refused(0x0A00, 0x3420)  # EEPROM busy
    assert "reset" in refused(0x0A00, 0x2220)  # as after power-on
    assert "reset" in refused(0xFFFF, 0xFFFF)  # nobody drives the line
    assert "reset" in refused(0x0000, 0x0000)  # it is held low


class Flips:
    # The bus, with one bit of one read wrong.
    def __init__(self, bus, which, bit):
        self.bus, self.left, self.bit = bus, which, bit
        self.writeto_mem = bus.writeto_mem

    def readfrom_mem_into(self, addr, reg, buf):
        self.bus.readfrom_mem_into(addr, reg, buf)
        if self.left == 0:
            buf[self.bit >> 3] ^= 0x80 >> (self.bit & 7)
        self.left -= 1


def test_a_wrong_bit_anywhere_never_gives_a_wrong_value():
    for which in range(3):  # configuration, and twice the temperature
        for bit in range(16):
            words = chip(0x0A00)
            sensor = probe(words, 0x48)
            words.regs[1] = READY
            sensor.bus = Flips(words, which, bit)
            try:
                sensor.finish()
            except SensorError:
                pass
            else:
                harness.equal(sensor.values, [2000])
                harness.equal(which, 0)


def test_measuring_does_not_allocate():
    words = chip(0xF380)
    sensor = probe(words, 0x48)
    harness.no_heap(sensor.start)
    words.regs[1] = READY
    harness.no_heap(sensor.finish)
    harness.equal(sensor.values, [-2500])


def found(mdeg=20000):
    clock, model, bus = powered(0x48, TMP117)
    model.environment = Fixed(mdeg)
    sensor = probe(bus, 0x48)
    clock.pass_ms(sensor.SETTLE_MS)
    return clock, model, bus, sensor


def test_whole_range_against_the_model():
    clock, model, _, sensor = found()
    for mdeg in range(-40000, 125001, 375):
        model.environment = Fixed(mdeg)
        measure(clock, sensor)
        # half a step of 7.8 mC and half a hundredth
        assert abs(sensor.values[0] * 10 - mdeg) <= 9, (mdeg, sensor.values[0])
    harness.equal(sensor.values, [12500])
    for mdeg in (-40100, 125100):
        model.environment = Fixed(mdeg)
        assert "range" in str(harness.raises(SensorError, measure, clock, sensor))


def test_too_early_is_an_error_not_an_old_value():
    clock, model, _, sensor = found()
    measure(clock, sensor)
    model.environment = Fixed(30000)
    sensor.start()
    clock.pass_ms(sensor.MEASURE_MS)  # this one is never fetched: its "data ready" stays
    sensor.start()
    clock.pass_ms(100)
    assert "measuring" in str(harness.raises(SensorError, sensor.finish))
    harness.equal(sensor.values, [2000])
    clock.pass_ms(40)
    sensor.finish()
    harness.equal(sensor.values, [3000])


def test_power_loss_between_start_and_finish():
    for later_ms in (0, 1, 50, 140):
        clock, model, _, sensor = found()
        sensor.start()
        clock.pass_ms(sensor.MEASURE_MS - later_ms)
        model.power_on()
        clock.pass_ms(later_ms)
        assert "reset" in str(harness.raises(SensorError, sensor.finish))
        clock.pass_ms(2)
        measure(clock, sensor)
        harness.equal(sensor.values, [2000])


def test_faults_of_the_model_are_errors():
    for fault, error in (("nack", OSError), ("stuck", SensorError), ("crc", SensorError)):
        clock, model, _, sensor = found()
        measure(clock, sensor)
        model.fault = fault
        harness.raises(error, measure, clock, sensor)
        model.fault = None
        clock.pass_ms(200)
        measure(clock, sensor)


def test_what_another_program_left_is_reset():
    clock, model, bus = powered(0x48, TMP117)
    model.write(b"\x07\x01\x00")  # an offset of 2 C
    model.write(b"\x01\x07\x70")  # shut down, the mean of 64, therm mode
    sensor = probe(bus, 0x48)
    clock.pass_ms(sensor.SETTLE_MS)
    model.environment = Fixed(20000)
    measure(clock, sensor)
    harness.equal(sensor.values, [2000])


def test_the_eeprom_is_never_written():
    clock, model, bus = powered(0x48, TMP117)
    model.write(b"\x04\x80\x00")  # another program has unlocked it
    sensor = probe(bus, 0x48)
    clock.pass_ms(sensor.SETTLE_MS)
    for _ in range(3):
        measure(clock, sensor)
    harness.equal(model.programmed, 0)


def test_busy_at_probe_is_said():
    _, model, bus = powered(0x48, TMP117)
    model.power_on()
    assert "starting" in str(harness.raises(SensorError, probe, bus, 0x48))
