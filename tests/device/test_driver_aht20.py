# heap: 56wk
# AHT20 and AHT10: an answer of a real chip, every value against the formulas in floats, what the
# driver refuses, and how it tells the two apart.

import harness
from fakes import Clock
from fakes_bus import ChipBus, Registers, Triggered
from firmware.core.errors import SensorError
from firmware.drivers.aht20 import probe
from tools.sim.chips.aht20 import AHT10, AHT20, crc8
from tools.sim.chips.chip import Fixed

# Seven bytes of an AHT20 (wiki of elixir-sensors/aht20): 0x269A7 of humidity, 0x642E7.
REAL = bytes((28, 38, 154, 118, 66, 231, 118))


class FirstCrc(AHT20):
    first_crc = True


class Uncalibrated(AHT20):
    STATUS = 0x14


KINDS = ((AHT20, "aht20"), (FirstCrc, "aht20"), (Uncalibrated, "aht20"), (AHT10, "aht10"))


def probed(has_crc):
    bus = Triggered()
    bus.plain = REAL if has_crc else REAL[:6]
    sensor = probe(bus, 0x38)
    harness.equal(sensor.name, "aht20" if has_crc else "aht10")
    return sensor


def replay(has_crc, answer=REAL):
    sensor = probed(has_crc)
    sensor.start()
    sensor.bus.plain, sensor.bus.busy = answer, False
    return sensor


def plugged(kind, addr=0x38):
    clock = Clock()
    chip = kind(clock)
    chip.environment = Fixed(20000, 40000)
    clock.pass_ms(chip.START_MS)
    return clock, chip, ChipBus((addr, chip))


def searched(clock, bus, addr=0x38):
    # As the sampler does: once more after 1, 2, 4 s. Returns the driver and how many it took.
    for turn in range(4):
        try:
            sensor = probe(bus, addr)
            if sensor:
                clock.pass_ms(sensor.SETTLE_MS)
                return sensor, turn + 1
        except SensorError as e:
            harness.equal(str(e), "aht20: still starting")
        clock.pass_ms(1000 << turn)
    raise AssertionError("not found")


def measure(clock, sensor):
    # Returns how many times finish() was called.
    sensor.start()
    for turn in range(1, 4):
        clock.pass_ms(sensor.MEASURE_MS)
        if not sensor.finish():
            return turn


def test_an_answer_of_a_real_chip():
    # 100 * 158119 / 2^20 = 15.08 %RH; 200 * 410343 / 2^20 - 50 = 28.27 C
    for has_crc in (True, False):
        sensor = replay(has_crc)
        sensor.finish()
        harness.equal(sensor.values, [2827, 1508])


def test_every_value_against_the_formulas_in_floats():
    # DS 8.1 and 8.2: 2^20 values in steps, with both ends.
    answer = bytearray(REAL)
    sensor = replay(True, answer)
    seen = 0
    for raw in range(0, 1 << 20, 93):  # 1048575 is 93 * 11275
        rh = max(raw, 1)
        answer[1], answer[2], answer[3] = rh >> 12, rh >> 4 & 0xFF, rh << 4 & 0xF0 | raw >> 16
        answer[4], answer[5] = raw >> 8 & 0xFF, raw & 0xFF
        answer[6] = crc8(answer[:6])
        celsius = 200 * raw / 1048576 - 50
        try:
            harness.no_heap_but_errors(sensor.finish)
        except SensorError as e:
            assert not -39.99 < celsius < 84.99, (str(e), celsius)
            continue
        seen += 1
        assert -40.01 < celsius < 85.01, celsius
        assert abs(sensor.values[0] - celsius * 100) <= 0.501, (raw, sensor.values)
        assert abs(sensor.values[1] - rh * 10000 / 1048576) <= 0.501, (raw, sensor.values)
    assert seen > 7000, seen


def test_humidity_to_both_ends():
    answer = bytearray(REAL)
    sensor = replay(True, answer)
    for raw, cpct in ((0xFFFFF, 10000), (1, 0), (52, 0), (53, 1), (0x80000, 5000)):
        answer[1], answer[2], answer[3] = raw >> 12, raw >> 4 & 0xFF, raw << 4 & 0xF0 | 6
        answer[6] = crc8(answer[:6])
        harness.no_heap(sensor.finish)
        harness.equal(sensor.values[1], cpct)


def test_measuring_does_not_allocate():
    for has_crc in (True, False):
        sensor = probed(has_crc)
        harness.no_heap(sensor.start)
        sensor.bus.busy = False
        assert harness.no_heap(sensor.finish) is None
        sensor.bus.plain = bytes((REAL[0] & ~8,)) + REAL[1:]
        harness.no_heap(sensor.start)
        assert harness.no_heap(sensor.finish) is True


def refused(sensor, answer, reason):
    sensor.bus.plain = answer
    sensor.bus.busy = False
    harness.equal(str(harness.raises(SensorError, sensor.finish)), reason)
    harness.equal(sensor.values, [2827, 1508])


def with_crc(*six):
    return bytes(six) + bytes((crc8(six),))


def test_what_is_refused():
    for has_crc in (True, False):
        sensor = replay(has_crc)
        sensor.finish()
        refused(sensor, with_crc(0x9C, *REAL[1:6]), "still measuring")
        refused(sensor, with_crc(0x14, *REAL[1:6]), "not calibrated")
        refused(sensor, with_crc(0x1C, 0x80, 0, 8, 0, 0), "measurement skipped")
        refused(sensor, with_crc(0x1C, 0, 0, 6, 0, 0), "measurement skipped")
        refused(sensor, with_crc(0x1C, 0x80, 0, 0, 0xCC, 0), "temperature out of range")
        refused(sensor, with_crc(0x1C, 0x80, 0, 0x0A, 0xCD, 0), "temperature out of range")
        refused(sensor, b"\0" * 7, "not calibrated")
        refused(sensor, b"\xff" * 7, "still measuring")
    sensor = replay(True)
    sensor.finish()
    for at in range(7):
        for bit in range(8):
            if (at, bit) not in ((0, 7), (0, 3)):
                damaged = bytearray(REAL)
                damaged[at] ^= 1 << bit
                refused(sensor, damaged, "crc")


def test_without_a_crc_both_reads_must_agree():
    class Damaged(Triggered):
        flip = None

        def readfrom_into(self, addr, buf):
            Registers.readfrom_into(self, addr, buf)
            self.turn += 1
            if self.turn == 2:
                buf[self.flip >> 3] ^= 1 << (self.flip & 7)

    sensor = replay(False)
    sensor.finish()
    sensor.bus = Damaged()
    sensor.bus.plain = REAL
    for sensor.bus.flip in range(48):
        sensor.bus.turn = 0
        refused(sensor, REAL, "damaged data")
        sensor.bus.turn = 2
        sensor.finish()


def test_both_are_found_as_what_they_are():
    # turns: of the search, from the moment of power on; again, once something was measured.
    for (kind, name), turns in zip(KINDS, (2, 1, 3, 3)):
        for addr in (0x38, 0x39):
            clock, chip, bus = plugged(kind, addr)
            sensor, took = searched(clock, bus, addr)
            harness.equal((sensor.name, took), (name, turns))
            for _ in range(2):
                measure(clock, sensor)
                harness.equal(sensor.values, [2000, 4000])
            sensor, took = searched(clock, bus, addr)
            harness.equal((sensor.name, took), (name, 1))
            harness.equal(sensor.values, [None, None])
            measure(clock, sensor)
            harness.equal(sensor.values, [2000, 4000])


def test_an_initialisation_takes_one_more_finish():
    for (kind, _), calls in zip(KINDS, (1, 1, 2, 2)):
        clock, chip, bus = plugged(kind)
        sensor, _ = searched(clock, bus)
        chip.power_on()
        clock.pass_ms(200)
        harness.equal(measure(clock, sensor), calls)
        harness.equal(sensor.values, [2000, 4000])
        harness.equal(measure(clock, sensor), 1)


def test_probe_ends_what_another_program_left():
    clock, chip, bus = plugged(AHT10)
    chip.write(b"\xe1\x28\x00")  # another mode
    clock.pass_ms(20)
    sensor, _ = searched(clock, bus)
    harness.equal(sensor.name, "aht10")
    measure(clock, sensor)
    harness.equal(sensor.values, [2000, 4000])
    for kind, name in KINDS:
        clock, chip, bus = plugged(kind)
        measure(clock, searched(clock, bus)[0])
        chip.fault = "stuck"
        chip.write(b"\xac\x33\x00")
        harness.equal(probe(bus, 0x38), None)  # busy, and reset for the next time
        chip.fault = None
        clock.pass_ms(1000)
        sensor, _ = searched(clock, bus)
        harness.equal(sensor.name, name)


def test_a_measurement_that_hangs_is_reset():
    for kind, _ in KINDS:
        clock, chip, bus = plugged(kind)
        sensor, _ = searched(clock, bus)
        measure(clock, sensor)
        chip.fault = "stuck"
        text = str(harness.raises(SensorError, measure, clock, sensor))
        harness.equal(text, "still measuring")
        chip.fault = None
        chip.write(b"\xba")
        clock.pass_ms(20)
        chip.fault = "stuck"
        harness.raises(SensorError, measure, clock, sensor)
        harness.equal(str(harness.raises(SensorError, sensor.start)), "still measuring")
        chip.fault = None
        clock.pass_ms(20)
        measure(clock, sensor)
        harness.equal(sensor.values, [2000, 4000])


def test_faults_of_the_model_are_errors():
    for kind, _ in KINDS:
        for fault, error in (("nack", OSError), ("stuck", SensorError), ("crc", SensorError)):
            clock, chip, bus = plugged(kind)
            sensor, _ = searched(clock, bus)
            measure(clock, sensor)
            chip.fault = fault
            harness.raises(error, measure, clock, sensor)
            chip.fault = None
            clock.pass_ms(2000)
            measure(clock, sensor)


def test_too_early_and_power_loss_between_start_and_finish():
    for kind, _ in KINDS:
        clock, chip, bus = plugged(kind)
        sensor, _ = searched(clock, bus)
        measure(clock, sensor)
        sensor.start()
        clock.pass_ms(79)
        harness.equal(str(harness.raises(SensorError, sensor.finish)), "still measuring")
        clock.pass_ms(1)
        sensor.finish()
        for wait_ms in (10, 101):  # it starts yet; it has started, with nothing to say
            measure(clock, sensor)
            sensor.start()
            chip.power_on()
            clock.pass_ms(wait_ms)
            harness.raises((OSError, SensorError), sensor.finish)
            clock.pass_ms(200)
        measure(clock, sensor)
        harness.equal(sensor.values, [2000, 4000])


def test_other_chips_at_these_addresses_are_left_alone():
    class Other(Registers):
        # Says what it is told to, whatever it is asked; what is written to it is kept.
        def writeto(self, addr, buf):
            self.written.append(bytes(buf))

    class Pointer(Other):
        # Each read goes on where the last one ended.
        at = 0

        def readfrom_into(self, addr, buf):
            for i in range(len(buf)):
                self.at = self.at * 5 + 7 & 0x7F
                buf[i] = self.at

    bus = Other()
    bus.written = []
    for port in range(256):  # PCF8574A: 0x38 to 0x3F
        bus.plain = bytes((port,)) * 7
        harness.equal(probe(bus, 0x38), None)
    harness.equal(bus.written, [])
    bus = Pointer()
    bus.written = []
    harness.equal(probe(bus, 0x38), None)
    harness.equal(bus.written, [])
    # APDS-9960 and the like at 0x39: no CRC, and a trigger does not make it busy.
    bus = Other()
    bus.written = []
    bus.plain = b"\x08\xff\x00\x12\x34\x56\x78"
    harness.equal(probe(bus, 0x39), None)
    harness.equal(bus.written, [b"\xac\x33\x00"])
