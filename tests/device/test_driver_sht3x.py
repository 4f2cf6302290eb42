# SHT3x: reference values (DS 4.12: CRC(0xBEEF) = 0x92; the rest follows from DS 4.13), the whole
# range against the model, and what the driver refuses.

import harness
from fakes import Clock
from fakes_bus import ChipBus
from fakes_registers import Registers

from firmware.core.errors import SensorError
from firmware.drivers.sht3x import SHT3x, probe
from tools.sim.chips.chip import Fixed
from tools.sim.chips.sht3x import SHT3x as Model

GOOD = b"\xbe\xef\x92\xbe\xef\x92"


def replay(answer):
    bus = Registers()
    bus.plain = answer
    return bus


def powered():
    clock = Clock()
    chip = Model(clock)
    clock.pass_ms(5)
    return clock, chip, ChipBus((0x44, chip))


def measure(clock, sensor):
    sensor.start()
    clock.pass_ms(sensor.MEASURE_MS)
    sensor.finish()


def test_converts_to_hundredths():
    # -45 + 175 * 48879 / 65535 = 85.52; 100 * 48879 / 65535 = 74.58
    sensor = SHT3x(replay(GOOD), 0x44)
    sensor.start()
    sensor.finish()
    harness.equal((sensor.temperature_cdeg, sensor.humidity_cpct), (8552, 7458))
    harness.equal(sensor.pressure_pa, None)


def test_bad_crc_of_either_word_keeps_the_last_reading():
    bus = replay(GOOD)
    sensor = SHT3x(bus, 0x44)
    sensor.finish()
    for at in range(6):
        damaged = bytearray(GOOD)
        damaged[at] ^= 0x01
        bus.plain = damaged
        assert "crc" in str(harness.raises(SensorError, sensor.finish))
        harness.equal(sensor.temperature_cdeg, 8552)
    for silent in (b"\0\0\0\0\0\0", b"\xff\xff\xff\xff\xff\xff"):
        bus.plain = silent
        harness.raises(SensorError, sensor.finish)


def test_out_of_range_is_an_error():
    sensor = SHT3x(replay(b"\x00\x00\x81\x00\x00\x81"), 0x44)  # -45 C
    assert "range" in str(harness.raises(SensorError, sensor.finish))
    sensor = SHT3x(replay(b"\xff\xff\xac\x00\x00\x81"), 0x44)  # 130 C
    assert "range" in str(harness.raises(SensorError, sensor.finish))


def test_measuring_does_not_allocate():
    sensor = SHT3x(replay(GOOD), 0x44)
    harness.no_heap(sensor.start)
    harness.no_heap(sensor.finish)


def test_whole_range_against_the_model():
    # One step is 0.0027 C and 0.0015 %RH (DS 4.13), the result is in hundredths.
    clock, chip, bus = powered()
    sensor = probe(bus, 0x44)
    for step in range(401):
        mdeg, mpct = -40000 + 165000 * step // 400, 100000 * step // 400
        chip.environment = Fixed(mdeg, mpct)
        measure(clock, sensor)
        assert abs(sensor.temperature_cdeg * 10 - mdeg) <= 7, (mdeg, sensor.temperature_cdeg)
        assert abs(sensor.humidity_cpct * 10 - mpct) <= 7, (mpct, sensor.humidity_cpct)
    harness.equal((sensor.temperature_cdeg, sensor.humidity_cpct), (12500, 10000))


def test_finish_too_early_is_an_error():
    clock, _, bus = powered()
    sensor = probe(bus, 0x44)
    sensor.start()
    clock.pass_ms(14)
    harness.raises(SensorError, sensor.finish)
    clock.pass_ms(3)
    sensor.finish()


def test_faults_of_the_model_are_errors():
    for fault in ("nack", "stuck", "crc"):
        clock, chip, bus = powered()
        sensor = probe(bus, 0x44)
        measure(clock, sensor)
        chip.fault = fault
        harness.raises(SensorError, measure, clock, sensor)
        chip.fault = None
        clock.pass_ms(20)
        measure(clock, sensor)


def test_power_loss_between_start_and_finish():
    clock, chip, bus = powered()
    sensor = probe(bus, 0x44)
    sensor.start()
    chip.power_on()
    clock.pass_ms(sensor.MEASURE_MS)
    harness.raises(SensorError, sensor.finish)
    measure(clock, sensor)


def test_probe_ends_what_another_program_left_running():
    clock, chip, bus = powered()
    for left in (b"\x30\x6d", b"\x21\x30"):  # heater on; measuring once a second
        chip.write(left)
    chip.environment = Fixed(20000)
    sensor = probe(bus, 0x44)
    measure(clock, sensor)
    harness.equal(sensor.temperature_cdeg, 2000)


def test_probe_wants_a_status_that_can_be_one():
    for answer in (b"\x80\x10\x00", b"\x00\x00\x00", b"\xff\xff\xff", b"\xbe\xef\x92"):
        harness.equal(probe(replay(answer), 0x44), None)
    harness.equal(probe(replay(b"\x00\x00\x81"), 0x44).name, "sht3x")


harness.run(globals())
