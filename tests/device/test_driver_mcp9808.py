# MCP9808: register values worked out from DS 5.1.3, the whole range against the model, and what
# the driver refuses.

import harness
from fakes_bus import Words, measure, powered
from fakes_chips import read as registers
from firmware.core.errors import SensorError
from firmware.drivers.mcp9808 import probe
from tools.sim.chips.chip import Fixed
from tools.sim.chips.mcp9808 import MCP9808 as Model


def read(ambient):
    chip = Words()
    sensor = probe(chip, 0x18)
    chip.regs[5] = ambient
    sensor.start()
    harness.no_heap_but_errors(sensor.finish)
    return sensor.values[0]


def test_every_raw_value():
    # DS 5.1.4: 13 bits with a sign, in sixteenths; the three above are flags.
    chip = Words()
    sensor = probe(chip, 0x18)
    sensor.start()
    for raw in range(-0x1000, 0x1000):
        chip.regs[5] = raw & 0x1FFF | (raw & 7) << 13
        try:
            harness.no_heap_but_errors(sensor.finish)
        except SensorError as e:
            assert "range" in str(e) and not -40 <= raw / 16 <= 125, raw
        else:
            assert -40 <= raw / 16 <= 125, raw
            assert abs(sensor.values[0] / 100 - raw / 16) <= 0.0051, raw


def test_values_with_sign_and_flags():
    for ambient, cdeg in (
        (0x0194, 2525),
        (0xC194, 2525),  # alert flags do not belong to the value
        (0x0000, 0),
        (0x0001, 6),  # 0.0625 C
        (0x1FFF, -6),
        (0x3FFC, -25),
        (0x1E70, -2500),
        (0x1D80, -4000),
        (0x07D0, 12500),
    ):
        harness.equal(read(ambient), cdeg)


def test_out_of_range_is_an_error():
    for ambient in (0x1D7F, 0x07D1, 0x0FFF, 0x1000):
        assert "range" in str(harness.raises(SensorError, read, ambient))


def test_both_ids_are_checked():
    for manufacturer, device in ((0x0054, 0x0200), (0x0033, 0x0400), (0xFFFF, 0xFFFF), (0, 0)):
        harness.equal(probe(Words(0, manufacturer, device), 0x18), None)
    harness.equal(probe(Words(device=0x0401), 0x18).name, "mcp9808")  # a later revision


def test_locked_limits_are_named():
    chip = Words()
    chip.regs[1] = 0x0040
    assert "locked" in str(harness.raises(SensorError, probe, chip, 0x18))


def test_measuring_does_not_allocate():
    chip = Words()
    sensor = probe(chip, 0x18)
    chip.regs[5] = 0x1FFC
    harness.no_heap(sensor.start)
    harness.no_heap(sensor.finish)
    harness.equal(sensor.values, [-25])


def test_whole_range_against_the_model():
    clock, chip, bus = powered(0x18, Model)
    sensor = probe(bus, 0x18)
    for mdeg in range(-40000, 125001, 1375):
        chip.environment = Fixed(mdeg)
        measure(clock, sensor)
        # half a step of 1/16 C and half a hundredth
        assert abs(sensor.values[0] * 10 - mdeg) <= 37, (mdeg, sensor.values[0])


def test_zero_after_power_on_is_never_a_reading():
    clock, chip, bus = powered(0x18, Model)
    sensor = probe(bus, 0x18)
    measure(clock, sensor)
    sensor.start()
    clock.pass_ms(350)
    chip.power_on()
    clock.pass_ms(50)
    assert "reset" in str(harness.raises(SensorError, sensor.finish))
    sensor.start()
    clock.pass_ms(sensor.MEASURE_MS)
    sensor.finish()
    harness.equal(sensor.values[0], 2100)


def test_shutdown_and_coarse_resolution_left_by_another_program_are_ended():
    clock, chip, bus = powered(0x18, Model)
    chip.environment = Fixed(20300)
    chip.write(b"\x01\x01\x00")
    chip.write(b"\x08\x00")
    sensor = probe(bus, 0x18)
    measure(clock, sensor)
    harness.equal(sensor.values[0], 2031)


def test_it_is_shut_down_between_readings():
    clock, chip, bus = powered(0x18, Model)
    sensor = probe(bus, 0x18)
    for _ in range(2):
        harness.equal(registers(chip, 1, 2), b"\x01\x00")
        measure(clock, sensor)
    chip.environment = Fixed(30000)
    measure(clock, sensor)  # not the value that it had before
    harness.equal(sensor.values[0], 3000)


def test_faults_of_the_model_are_errors():
    for fault, error in (("nack", OSError), ("crc", SensorError)):
        clock, chip, bus = powered(0x18, Model)
        sensor = probe(bus, 0x18)
        measure(clock, sensor)
        chip.fault = fault
        harness.raises(error, measure, clock, sensor)
        chip.fault = None
        measure(clock, sensor)
        harness.equal(sensor.values[0], 2100)
