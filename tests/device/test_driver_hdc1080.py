# heap: 64wk
# HDC1080: the datasheet's formulas over every raw value, the model over the whole range, and what
# the driver refuses.

import harness
from fakes_bus import ChipBus, Words, measure, powered
from firmware.core.errors import SensorError
from firmware.drivers.hdc1080 import probe
from tools.sim.chips.chip import Fixed
from tools.sim.chips.hdc1080 import HDC1080

CONFIG = 0x1000


class Replay(Words):
    # Registers that stay as they are; `answer` is what is read without one.
    def __init__(self, answer=bytes(4), device=0x1050, manufacturer=0x5449):
        self.regs = {2: CONFIG, 0xFE: manufacturer, 0xFF: device}
        self.answer = answer
        self.log = []

    def writeto(self, addr, buf):
        pass

    def readfrom_into(self, addr, buf):
        for i in range(len(buf)):
            buf[i] = self.answer[i]

    def readfrom_mem_into(self, addr, reg, buf):
        self.log.append(reg)
        super().readfrom_mem_into(addr, reg, buf)

    def writeto_mem(self, addr, reg, buf):
        self.log.append((reg, bytes(buf)))


def read(t, rh, config=CONFIG):
    bus = Replay(bytes((t >> 8, t & 255, rh >> 8, rh & 255)))
    sensor = probe(bus, 0x40)
    bus.regs[2] = config
    sensor.start()
    sensor.finish()
    return sensor.values


def refused(t, rh, config=CONFIG):
    return str(harness.raises(SensorError, read, t, rh, config))


def test_every_raw_value():
    # DS 8.6.1, 8.6.2: 165 C and 100 %RH to 2^16, from -40 C on.
    bus = Replay()
    sensor = probe(bus, 0x40)
    bus.answer = bytearray(4)
    for raw in range(4, 0x10000, 4):
        bus.answer[0] = bus.answer[2] = raw >> 8
        bus.answer[1] = bus.answer[3] = raw & 255
        del bus.log[:]
        harness.no_heap(sensor.finish)
        wanted = raw / 65536 * 165 - 40
        assert abs(sensor.values[0] / 100 - wanted) <= 0.0051, raw
        humid = sensor.values[1] is not None
        assert humid == (-2000 <= sensor.values[0] <= 8500), raw
        assert not humid or abs(sensor.values[1] / 100 - raw / 65536 * 100) <= 0.0051, raw
    harness.equal(sensor.values, [12499, None])


def test_every_raw_humidity():
    bus = Replay()
    sensor = probe(bus, 0x40)
    bus.answer = bytearray(b"\x64\xd8\x00\x00")  # 25 C
    for raw in range(0, 0x10000, 4):
        bus.answer[2] = raw >> 8
        bus.answer[3] = raw & 255
        del bus.log[:]
        harness.no_heap(sensor.finish)
        assert abs(sensor.values[1] / 100 - raw / 65536 * 100) <= 0.0051, raw
    harness.equal(sensor.values, [2500, 9999])


def test_what_cannot_be_a_result_is_refused():
    assert "reset" in refused(0, 0)  # what it holds after power-on; a line that is held low
    assert "reset" in refused(0, 0x8000)
    assert "damaged" in refused(0xFFFF, 0xFFFF)  # nobody drives the line
    for bits in (1, 2, 3):
        assert "damaged" in refused(0x64D8 | bits, 0x8000)
        assert "damaged" in refused(0x64D8, 0x8000 | bits)


def test_the_configuration_must_be_that_after_a_reset():
    # Heater, one at a time, coarser, reserved bits, nobody; but a low battery is said elsewhere.
    for config in (0x3000, 0x0000, 0x1400, 0x1100, 0x1200, 0x5000, 0x1001, 0x9000, 0xFFFF):
        assert "damaged" in refused(0x64D8, 0x8000, config)
    harness.equal(read(0x64D8, 0x8000, 0x1800), [2500, 5000])


def test_both_ids_are_checked_and_0xfe_is_not_touched_before():
    # An HTU21D takes 0xFE for its soft reset. INA226, INA219, HDC1000, HDC1010, HDC2080, nobody.
    for device in (0x2260, 0x399F, 0x1000, 0x1010, 0x07D0, 0x0000, 0xFFFF):
        bus = Replay(device=device)
        harness.equal(probe(bus, 0x40), None)
        harness.equal(bus.log, [0xFF])
    for manufacturer in (0x0000, 0xFFFF, 0x4954):
        bus = Replay(manufacturer=manufacturer)
        harness.equal(probe(bus, 0x40), None)
        harness.equal(bus.log, [0xFF, 0xFE])
    bus = Replay()
    harness.equal(probe(bus, 0x40).name, "hdc1080")
    harness.equal(bus.log, [0xFF, 0xFE, (2, b"\x80\x00")])  # the reset comes last


class HTU21D:
    # It acknowledges its own commands only, and does not know 0xFF.
    def write(self, data):
        assert data != b"\xfe", "reset"
        raise OSError(19)


def test_an_htu21d_is_left_alone():
    harness.raises(OSError, probe, ChipBus((0x40, HTU21D())), 0x40)


def test_measuring_does_not_allocate():
    bus = Words()
    bus.regs = {2: CONFIG, 0xFE: 0x5449, 0xFF: 0x1050}
    bus.writeto = lambda addr, buf: None
    sensor = probe(bus, 0x40)
    bus.regs[2] = CONFIG
    bus.readfrom_into = twenty_five
    harness.no_heap(sensor.start)
    harness.no_heap(sensor.finish)
    harness.equal(sensor.values, [2500, 5000])


def twenty_five(addr, buf):
    buf[0], buf[1], buf[2], buf[3] = 0x64, 0xD8, 0x80, 0x00


def found(mdeg=20000, mpct=45000):
    clock, model, bus = powered(0x40, HDC1080)
    clock.pass_ms(10)
    model.environment = Fixed(mdeg, mpct)
    sensor = probe(bus, 0x40)
    clock.pass_ms(sensor.SETTLE_MS)
    return clock, model, bus, sensor


def test_whole_range_against_the_model():
    clock, model, _, sensor = found()
    for step in range(401):
        mdeg, mpct = -39900 + 164900 * step // 400, 100000 * step // 400
        model.environment = Fixed(mdeg, mpct)
        measure(clock, sensor)
        # half a step of 0.01 C and 0.006 %RH (at the upper end a whole one), half a hundredth
        assert abs(sensor.values[0] * 10 - mdeg) <= 15, (mdeg, sensor.values)
        if sensor.values[1] is not None:
            assert abs(sensor.values[1] * 10 - mpct) <= 12, (mpct, sensor.values)


def test_humidity_only_where_its_sensor_works():
    for mdeg, humid in ((-20500, False), (-19500, True), (84500, True), (85500, False)):
        clock, _, _, sensor = found(mdeg)
        measure(clock, sensor)
        harness.equal(sensor.values[1] is not None, humid)


def test_too_early_is_an_error_not_an_old_value():
    clock, model, _, sensor = found()
    measure(clock, sensor)
    model.environment = Fixed(30000)
    sensor.start()
    clock.pass_ms(19)
    harness.raises(OSError, sensor.finish)  # it does not acknowledge
    harness.equal(sensor.values[0], 2000)
    clock.pass_ms(2)
    sensor.finish()
    harness.equal(sensor.values[0], 3000)


def test_power_loss_between_start_and_finish():
    for later_ms in (0, 10, 15, 20):
        clock, model, _, sensor = found()
        sensor.start()
        clock.pass_ms(sensor.MEASURE_MS - later_ms)
        model.power_on()
        clock.pass_ms(later_ms)
        harness.raises((OSError, SensorError), sensor.finish)
        harness.equal(sensor.values, [None, None])
        clock.pass_ms(15)
        measure(clock, sensor)
        harness.equal(sensor.values[0], 2000)


def test_what_another_program_left_is_reset():
    clock, model, bus = powered(0x40, HDC1080)
    clock.pass_ms(10)
    model.write(b"\x02\x25\x00")  # heater, one at a time, coarse
    sensor = probe(bus, 0x40)
    clock.pass_ms(sensor.SETTLE_MS)
    model.environment = Fixed(20000, 45000)
    measure(clock, sensor)
    harness.equal(sensor.values, [2000, 4500])


def test_faults_of_the_model_are_errors():
    for fault, error in (("nack", OSError), ("stuck", OSError), ("crc", SensorError)):
        clock, model, _, sensor = found()
        measure(clock, sensor)
        model.fault = fault
        harness.raises(error, measure, clock, sensor)
        model.fault = None
        clock.pass_ms(20)
        measure(clock, sensor)
