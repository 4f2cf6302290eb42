# heap: 48wk
# SHT3x: reference values (DS 4.12: CRC(0xBEEF) = 0x92; the rest follows from DS 4.13), and what
# the driver refuses.

import harness
from fakes_bus import Registers, faults_are_errors, measure, power_loss_is_an_error, powered
from firmware.core.errors import SensorError
from firmware.drivers.sht3x import probe
from tools.sim.chips.chip import Fixed
from tools.sim.chips.sht3x import SHT3x, crc8

GOOD = b"\xbe\xef\x92\xbe\xef\x92"


def replay(answer):
    bus = Registers()
    bus.plain = answer
    return bus


def found(bus):
    # The driver on a bus that answers its probe() with a status of zeros.
    answer, bus.plain = bus.plain, b"\x00\x00\x81"
    sensor = probe(bus, 0x44)
    bus.plain = answer
    return sensor


def settled(clock, bus):
    sensor = probe(bus, 0x44)
    clock.pass_ms(sensor.SETTLE_MS)
    return sensor


def test_converts_to_hundredths():
    # -45 + 175 * 48879 / 65535 = 85.52; 100 * 48879 / 65535 = 74.58
    sensor = found(replay(GOOD))
    sensor.start()
    sensor.finish()
    harness.equal(sensor.values, [8552, 7458])


def test_bad_crc_of_either_word_keeps_the_last_reading():
    bus = replay(GOOD)
    sensor = found(bus)
    sensor.finish()
    for at in range(6):
        damaged = bytearray(GOOD)
        damaged[at] ^= 0x01
        bus.plain = damaged
        assert "crc" in str(harness.raises(SensorError, sensor.finish))
        harness.equal(sensor.values[0], 8552)
    for silent in (b"\0\0\0\0\0\0", b"\xff\xff\xff\xff\xff\xff"):
        bus.plain = silent
        harness.raises(SensorError, sensor.finish)


def test_out_of_range_is_an_error():
    sensor = found(replay(b"\x00\x00\x81\x00\x00\x81"))  # -45 C
    assert "range" in str(harness.raises(SensorError, sensor.finish))
    sensor = found(replay(b"\xff\xff\xac\x00\x00\x81"))  # 130 C
    assert "range" in str(harness.raises(SensorError, sensor.finish))


def test_measuring_does_not_allocate():
    sensor = found(replay(GOOD))
    harness.no_heap(sensor.start)
    harness.no_heap(sensor.finish)


def test_probe_wants_a_status_that_can_be_one():
    for answer in (b"\x80\x10\x00", b"\x00\x00\x00", b"\xff\xff\xff", b"\xbe\xef\x92"):
        harness.equal(probe(replay(answer), 0x44), None)
    harness.equal(probe(replay(b"\x00\x00\x81"), 0x44).name, "sht3x")


def test_every_raw_value_against_the_formula_in_floats():
    # DS 4.13, in steps, with both ends.
    bus = replay(bytearray(6))
    sensor = found(bus)
    answer = bus.plain
    seen = 0
    for raw in range(0, 65536, 5):  # 65535 is 5 * 13107
        answer[0] = answer[3] = raw >> 8
        answer[1] = answer[4] = raw & 0xFF
        answer[2] = answer[5] = crc8(raw)
        celsius = -45 + 175 * raw / 65535
        try:
            harness.no_heap_but_errors(sensor.finish)
        except SensorError:
            assert not -39.99 < celsius < 124.99, celsius
            continue
        seen += 1
        assert abs(sensor.values[0] - celsius * 100) <= 0.8, (raw, sensor.values)
        assert abs(sensor.values[1] - 10000 * raw / 65535) <= 0.8, (raw, sensor.values)
    assert seen > 12000, seen


def test_whole_range_against_the_model():
    # One step is 0.0027 C and 0.0015 %RH (DS 4.13), the result is in hundredths.
    clock, chip, bus = powered(0x44, SHT3x)
    sensor = settled(clock, bus)
    for step in range(401):
        mdeg, mpct = -40000 + 165000 * step // 400, 100000 * step // 400
        chip.environment = Fixed(mdeg, mpct)
        measure(clock, sensor)
        assert abs(sensor.values[0] * 10 - mdeg) <= 7, (mdeg, sensor.values[0])
        assert abs(sensor.values[1] * 10 - mpct) <= 7, (mpct, sensor.values[1])
    harness.equal((sensor.values[0], sensor.values[1]), (12500, 10000))


def test_finish_too_early_is_an_error():
    clock, _, bus = powered(0x44, SHT3x)
    sensor = settled(clock, bus)
    sensor.start()
    clock.pass_ms(14)
    harness.raises(OSError, sensor.finish)  # it does not acknowledge
    clock.pass_ms(3)
    sensor.finish()


def test_faults_of_the_model_are_errors():
    faults_are_errors(SHT3x, settled)


def test_power_loss_between_start_and_finish():
    power_loss_is_an_error(SHT3x, settled)


def test_probe_ends_what_another_program_left_running():
    # Heater on; measuring once a second; both; and a single shot of a moment ago.
    for left in ((b"\x30\x6d",), (b"\x21\x30",), (b"\x30\x6d", b"\x21\x30"), (b"\x24\x00",)):
        clock, chip, bus = powered(0x44, SHT3x)
        for command in left:
            chip.write(command)
            clock.pass_ms(2)
        if left[0] == b"\x24\x00":
            harness.raises(OSError, probe, bus, 0x44)  # until it is over
            clock.pass_ms(16)
        chip.environment = Fixed(20000)
        sensor = probe(bus, 0x44)
        harness.raises(OSError, sensor.start)  # it is in its soft reset
        clock.pass_ms(sensor.SETTLE_MS)
        measure(clock, sensor)
        harness.equal(sensor.values[0], 2000)


def test_probe_waits_for_a_chip_that_rests_after_a_command():
    # DS 4: 1 ms from one command to the next.
    _, chip, bus = powered(0x44, SHT3x)
    for command in (b"\x30\x41", b"\x89"):  # clear status; what an SHT4x is asked for
        try:
            chip.write(command)
        except OSError:
            pass
        harness.raises(OSError, chip.write, b"\xf3\x2d")
        harness.equal(probe(bus, 0x44).name, "sht3x")
        chip.skip_ms(5)


def test_probe_gives_up():
    class Deaf(Registers):
        def writeto(self, addr, buf):
            self.asked += 1
            raise OSError(self.errno)

    bus = Deaf()
    for bus.errno, times in ((19, 40), (110, 1)):  # no acknowledge; a line held low
        bus.asked = 0
        harness.raises(OSError, probe, bus, 0x44)
        harness.equal(bus.asked, times)
