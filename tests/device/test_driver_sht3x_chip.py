# The SHT3x driver against the chip model: the whole range, and what can go wrong.

import harness

from tools.sim.chips.sht3x import SHT3x  # isort: skip  (largest first: needs room)
from tools.sim.chips.chip import Fixed  # isort: skip
from firmware.drivers.sht3x import probe  # isort: skip
from fakes_bus import ChipBus, Clock  # isort: skip
from firmware.core.errors import SensorError  # isort: skip


def powered():
    clock = Clock()
    chip = SHT3x(clock)
    clock.pass_ms(5)
    return clock, chip, ChipBus((0x44, chip))


def measure(clock, sensor):
    sensor.start()
    clock.pass_ms(sensor.MEASURE_MS)
    sensor.finish()


def test_whole_range_against_the_model():
    # One step is 0.0027 C and 0.0015 %RH (DS 4.13), the result is in hundredths.
    clock, chip, bus = powered()
    sensor = probe(bus, 0x44)
    for step in range(401):
        mdeg, mpct = -40000 + 165000 * step // 400, 100000 * step // 400
        chip.environment = Fixed(mdeg, mpct)
        measure(clock, sensor)
        assert abs(sensor.values[0] * 10 - mdeg) <= 7, (mdeg, sensor.values[0])
        assert abs(sensor.values[1] * 10 - mpct) <= 7, (mpct, sensor.values[1])
    harness.equal((sensor.values[0], sensor.values[1]), (12500, 10000))


def test_finish_too_early_is_an_error():
    clock, _, bus = powered()
    sensor = probe(bus, 0x44)
    sensor.start()
    clock.pass_ms(14)
    harness.raises(OSError, sensor.finish)  # it does not acknowledge
    clock.pass_ms(3)
    sensor.finish()


def test_faults_of_the_model_are_errors():
    for fault, error in (("nack", OSError), ("stuck", OSError), ("crc", SensorError)):
        clock, chip, bus = powered()
        sensor = probe(bus, 0x44)
        measure(clock, sensor)
        chip.fault = fault
        harness.raises(error, measure, clock, sensor)
        chip.fault = None
        clock.pass_ms(20)
        measure(clock, sensor)


def test_power_loss_between_start_and_finish():
    clock, chip, bus = powered()
    sensor = probe(bus, 0x44)
    sensor.start()
    chip.power_on()
    clock.pass_ms(sensor.MEASURE_MS)
    harness.raises(OSError, sensor.finish)
    measure(clock, sensor)


def test_probe_ends_what_another_program_left_running():
    clock, chip, bus = powered()
    for left in (b"\x30\x6d", b"\x21\x30"):  # heater on; measuring once a second
        chip.write(left)
    chip.environment = Fixed(20000)
    sensor = probe(bus, 0x44)
    measure(clock, sensor)
    harness.equal(sensor.values[0], 2000)


harness.run(globals())
