# The BME280 and BMP280 driver when the chip fails, resets or is pulled out.

import harness

from tools.sim.chips.bosch import BME280, BMP280  # isort: skip  (largest first: needs room)
from tools.sim.chips.chip import Fixed  # isort: skip
from firmware.drivers import bme280  # isort: skip
from fakes_bus import ChipBus, Clock  # isort: skip
from firmware.core.errors import SensorError  # isort: skip


def powered(kind):
    clock = Clock()
    chip = kind(clock)
    clock.pass_ms(5)
    bus = ChipBus((0x76, chip))
    return clock, chip, bus, bme280.probe(bus, 0x76)


def measure(clock, sensor):
    sensor.start()
    clock.pass_ms(sensor.MEASURE_MS)
    sensor.finish()


def test_finish_too_early_is_an_error_not_an_old_value():
    clock, _, _, sensor = powered(BME280)
    measure(clock, sensor)
    sensor.start()
    clock.pass_ms(5)
    harness.raises(SensorError, sensor.finish)
    clock.pass_ms(6)
    sensor.finish()


def test_unplugged_and_replugged_in_mid_measurement():
    clock, chip, bus, sensor = powered(BME280)
    sensor.start()
    chip.power_on()
    clock.pass_ms(sensor.MEASURE_MS)
    harness.raises(SensorError, sensor.finish)
    bus.plugged = False
    harness.raises(OSError, sensor.start)
    bus.plugged = True
    measure(clock, sensor)


def test_faults_of_the_model_are_errors():
    for fault, error in (("nack", OSError), ("stuck", SensorError), ("crc", SensorError)):
        clock, chip, _, sensor = powered(BME280)
        measure(clock, sensor)
        chip.environment = Fixed(30000)
        chip.fault = fault
        harness.raises(error, measure, clock, sensor)
        harness.equal(sensor.values[0], 2100)
        chip.fault = None
        clock.pass_ms(20)
        measure(clock, sensor)
        harness.equal(sensor.values[0], 3000)


def test_soft_reset_by_somebody_else_during_probe():
    clock = Clock()
    chip = BME280(clock)
    clock.pass_ms(5)
    chip.write(b"\xe0\xb6")
    harness.raises(SensorError, bme280.probe, ChipBus((0x76, chip)), 0x76)


def test_filter_and_normal_mode_left_by_another_program_are_ended():
    clock = Clock()
    chip = BMP280(clock)
    clock.pass_ms(5)
    chip.write(b"\xf5\x1c\xf4\x27")
    clock.pass_ms(100)
    sensor = bme280.probe(ChipBus((0x76, chip)), 0x76)
    clock.pass_ms(20)
    chip.environment = Fixed(50000)
    measure(clock, sensor)
    harness.equal(sensor.values[0], 5000)


harness.run(globals())
