# heap: 48wk
# SHT4x: reference values (DS 4.4: CRC(0xBEEF) = 0x92; the rest follows from DS 4.6), and what the
# driver refuses.

import harness
from fakes_bus import Registers, faults_are_errors, measure, power_loss_is_an_error, powered
from firmware.core.errors import SensorError
from firmware.drivers.sht4x import probe
from tools.sim.chips.chip import Fixed
from tools.sim.chips.sht4x import SHT4x, crc8

GOOD = b"\xbe\xef\x92\xbe\xef\x92"


def replay(answer):
    # As serial number a measurement is as good as any.
    bus = Registers()
    bus.plain = GOOD
    sensor = probe(bus, 0x44)
    bus.plain = answer
    return sensor


def settled(clock, bus):
    sensor = probe(bus, 0x44)
    clock.pass_ms(sensor.SETTLE_MS)
    return sensor


def test_converts_to_hundredths():
    # -45 + 175 * 48879 / 65535 = 85.52; -6 + 125 * 48879 / 65535 = 87.23
    sensor = replay(GOOD)
    sensor.start()
    sensor.finish()
    harness.equal(sensor.values, [8552, 8723])


def test_bad_crc_of_either_word_keeps_the_last_reading():
    sensor = replay(GOOD)
    sensor.finish()
    for at in range(6):
        for bit in range(8):
            damaged = bytearray(GOOD)
            damaged[at] ^= 1 << bit
            sensor.bus.plain = damaged
            harness.equal(str(harness.raises(SensorError, sensor.finish)), "crc")
            harness.equal(sensor.values, [8552, 8723])
    for silent in (b"\0\0\0\0\0\0", b"\xff\xff\xff\xff\xff\xff"):
        sensor.bus.plain = silent
        harness.raises(SensorError, sensor.finish)


def test_measuring_does_not_allocate():
    sensor = replay(GOOD)
    harness.no_heap(sensor.start)
    harness.no_heap(sensor.finish)


def test_every_raw_value_against_the_formula_in_floats():
    # DS 4.6, cropped as it advises; in steps, with both ends.
    answer = bytearray(6)
    sensor = replay(answer)
    seen = dry = wet = 0
    for raw in range(0, 65536, 5):  # 65535 is 5 * 13107
        answer[0] = answer[3] = raw >> 8
        answer[1] = answer[4] = raw & 0xFF
        answer[2] = answer[5] = crc8(raw)
        celsius, percent = -45 + 175 * raw / 65535, -6 + 125 * raw / 65535
        # The humidity of every raw value, with the temperature of one in the middle.
        middle = min(max(raw, 0x0800), 0xF000)
        try:
            harness.no_heap_but_errors(sensor.finish)
            seen += 1
            assert abs(sensor.values[0] - celsius * 100) <= 0.8, (raw, sensor.values)
        except SensorError as e:
            harness.equal(str(e), "temperature out of range")
            assert not -39.99 < celsius < 124.99, celsius
            answer[0], answer[1], answer[2] = middle >> 8, middle & 0xFF, crc8(middle)
            harness.no_heap_but_errors(sensor.finish)
        assert abs(sensor.values[1] - min(max(percent, 0), 100) * 100) <= 0.8, (raw, sensor.values)
        dry += sensor.values[1] == 0
        wet += sensor.values[1] == 10000
    assert seen > 12000 and dry > 600 and wet > 1400, (seen, dry, wet)


def test_whole_range_against_the_model():
    clock, chip, bus = powered(0x44, SHT4x)
    sensor = settled(clock, bus)
    for step in range(201):
        mdeg, mpct = -40000 + 165000 * step // 200, 100000 * step // 200
        chip.environment = Fixed(mdeg, mpct)
        measure(clock, sensor)
        assert abs(sensor.values[0] * 10 - mdeg) <= 7, (mdeg, sensor.values[0])
        assert abs(sensor.values[1] * 10 - mpct) <= 7, (mpct, sensor.values[1])
    harness.equal(sensor.values, [12500, 10000])


def test_probe_wants_two_words_with_their_crc():
    bus = Registers()
    for answer in (
        b"\0" * 6,
        b"\xff" * 6,
        b"\xbe\xef\x92\xbe\xef\x93",
        b"\xbe\xee\x92\xbe\xef\x92",
    ):
        bus.plain = answer
        harness.equal(probe(bus, 0x44), None)


def test_probe_leaves_a_bus_alone_that_hangs():
    class Hung(Registers):
        asked = 0

        def readfrom_into(self, addr, buf):
            self.asked += 1
            raise OSError(110)

    bus = Hung()
    harness.raises(OSError, probe, bus, 0x44)
    harness.equal(bus.asked, 2)


def test_probe_ends_the_heater():
    clock, chip, bus = powered(0x44, SHT4x)
    chip.environment = Fixed(20000)
    chip.write(b"\x39")
    harness.equal(probe(bus, 0x44), None)  # it answers nothing while it heats
    clock.pass_ms(1110)
    sensor = probe(bus, 0x44)
    harness.raises(OSError, sensor.start)  # it is in its soft reset
    clock.pass_ms(sensor.SETTLE_MS)
    measure(clock, sensor)
    harness.equal(sensor.values[0], 2000)


def test_finish_too_early_is_an_error():
    clock, _, bus = powered(0x44, SHT4x)
    sensor = settled(clock, bus)
    sensor.start()
    clock.pass_ms(8)
    harness.raises(OSError, sensor.finish)
    clock.pass_ms(2)
    sensor.finish()
    harness.raises(OSError, sensor.finish)  # read once


def test_faults_of_the_model_are_errors():
    faults_are_errors(SHT4x, settled)


def test_power_loss_between_start_and_finish():
    power_loss_is_an_error(SHT4x, settled)
