# heap: 64wk
# SCD4x: the datasheet's example ("DS" = version 1.7), the whole raw range against its formulas,
# both ways of measuring, and what the driver refuses.

import harness
from fakes_bus import ChipBus, Registers, measure, powered
from firmware.core.errors import SensorError
from firmware.drivers.scd4x import probe
from tools.sim.chips.chip import Fixed
from tools.sim.chips.scd4x import SCD40, SCD41, SCD43, crc8

EXAMPLE = b"\x01\xf4\x33\x66\x67\xa2\x5e\xb9\x3c"  # DS 3.6.2: 500 ppm, 25 C, 37 %RH
OFFSET = b"\x23\x18"


def idle(kind, environment=None):
    # A chip that has started, on a bus, and its driver.
    clock, chip, bus = powered(0x62, kind)
    clock.pass_ms(1000)
    chip.environment = environment or chip.environment
    sensor = probe(bus, 0x62)
    clock.pass_ms(sensor.SETTLE_MS)
    return clock, chip, bus, sensor


def settled(kind, environment=None):
    # The same, with its first reading taken.
    made = idle(kind, environment)
    measure(made[0], made[3])
    return made


class Script:
    # Answers each command with what `answers` has for it, else with the bytes in `plain`.
    def __init__(self, plain=b"", answers=None):
        self.plain, self.answers = plain, answers or {}
        self.sent = []
        self.last = self.plain

    def writeto(self, addr, buf):
        self.sent.append(bytes(buf))
        self.last = self.answers.get(bytes(buf), self.plain)

    def readfrom_into(self, addr, buf):
        for i in range(len(buf)):
            buf[i] = self.last[i % len(self.last)]


def words(*values):
    return b"".join([bytes((v >> 8, v & 0xFF, crc8(v))) for v in values])


def genuine(variant=0x1440, offset=1499):
    # What an SCD4x says to probe(): marked, so that a reading is one measurement.
    answers = {b"\x20\x2f": words(variant), b"\x36\x82": words(1, 2, 3), OFFSET: words(offset)}
    answers[b"\xe4\xb8"] = words(0x8006)
    answers[b"\xec\x05"] = EXAMPLE
    return Script(b"\xff", answers)


def read(bus):
    sensor = probe(bus, 0x62)
    sensor.start()
    while sensor.finish():
        pass
    return sensor


def test_the_example_of_the_datasheet():
    harness.equal(read(genuine()).values, [2500, 3700, None, 500])


def test_the_whole_raw_range_against_the_formulas():
    # DS 3.6.2: T = -45 + 175 * raw / 65535, RH = 100 * raw / 65535; to half of a hundredth, and
    # what shifts instead of divisions cost.
    bus = genuine()
    sensor = probe(bus, 0x62)
    buf = bytearray(9)
    for raw in range(0, 65536, 5):  # 65535 is one of them
        t = -45 + 175 * raw / 65535
        buf[0], buf[1], buf[3], buf[4] = 0x02, 0x58, raw >> 8, raw & 0xFF
        buf[6], buf[7] = buf[3], buf[4]
        if -10.004 <= t <= 60.004:
            harness.no_heap(lambda: sensor._take(buf))
            assert abs(sensor.values[0] / 100 - t) < 0.0064, (raw, sensor.values)
            assert abs(sensor.values[1] / 100 - 100 * raw / 65535) < 0.0058, (raw, sensor.values)
        elif not -10.006 < t < 60.006:
            harness.raises(SensorError, sensor._take, buf)
    for raw, cpct in ((0, 0), (65535, 10000)):  # humidity at 25 C
        buf[3], buf[4], buf[6], buf[7] = 0x66, 0x67, raw >> 8, raw & 0xFF
        harness.no_heap(lambda: sensor._take(buf))
        harness.equal(sensor.values, [2500, cpct, None, 600])


def test_co2_from_1_to_40000_ppm():
    bus = genuine()
    for ppm in (1, 399, 400, 5000, 40000):
        bus.answers[b"\xec\x05"] = words(ppm, 0x6667, 0x5EB9)
        harness.equal(read(bus).values[3], ppm)
    for ppm in (0, 40001, 65535):
        bus.answers[b"\xec\x05"] = words(ppm, 0x6667, 0x5EB9)
        harness.equal(str(harness.raises(SensorError, read, bus)), "co2 out of range")


def test_a_wrong_byte_is_an_error_and_keeps_the_last_reading():
    for command, answer in ((b"\xec\x05", EXAMPLE), (b"\xe4\xb8", words(0x8006))):
        for at in range(len(answer)):
            bus = genuine()
            sensor = read(bus)
            damaged = bytearray(answer)
            damaged[at] ^= 0x04
            bus.answers[command] = damaged
            sensor.start()
            error = None
            while not error:
                try:
                    assert sensor.finish()
                except SensorError as e:
                    error = str(e)
            harness.equal((error, sensor.values), ("crc", [2500, 3700, None, 500]))
    for silent in (bytes(9), b"\xff" * 9):
        bus = genuine()
        bus.answers[b"\xec\x05"] = silent
        harness.equal(str(harness.raises(SensorError, read, bus)), "crc")


def test_probe_knows_the_variants():
    for kind, name in ((SCD40, "scd40"), (SCD41, "scd41"), (SCD43, "scd43")):
        harness.equal(idle(kind)[3].name, name)
    # What other specimens have in the lower bits (DS 3.10.6: they may differ).
    harness.equal(probe(genuine(0x1408), 0x62).name, "scd41")
    harness.equal(probe(genuine(0x0FFF), 0x62).name, "scd40")


def test_probe_refuses_what_is_no_scd4x():
    for plain in (bytes(9), b"\xff" * 9, b"\x80\x00\xa2", b"\x01\x02\x03"):
        bus = Script(plain)
        harness.equal(probe(bus, 0x62), None)
        assert len(bus.sent) < 3  # and nothing but questions
    harness.equal(probe(genuine(0x2440), 0x62), None)  # SCD42: no datasheet says what it does
    for command in (b"\x20\x2f", b"\x36\x82", OFFSET):
        right = genuine().answers[command]
        for at in range(len(right)):
            bus = genuine()
            damaged = bytearray(right)
            damaged[at] ^= 0x20
            bus.answers[command] = damaged
            harness.equal(probe(bus, 0x62), None)
    registers = Registers(b"\x00" * 256)
    registers.plain = bytes(9)
    harness.equal(probe(registers, 0x62), None)


def test_probe_resets_a_chip_and_marks_it_after_its_first_reading():
    clock, chip, bus, sensor = idle(SCD41, Fixed(25000, 37000, co2_ppm=500))
    for _ in range(2):
        measure(clock, sensor)
        harness.equal(sensor.values, [2500, 3700, None, 500])  # not 650
    harness.equal(chip._ram[0x2318], 1499)
    # Found again, as after a deep sleep: neither reset, nor is a reading discarded.
    chip._ram[0x2322] = 7
    again = probe(bus, 0x62)
    measure(clock, again)
    harness.equal((chip._ram[0x2322], again.fresh, again.values[3]), (7, False, 500))
    # Without power it has lost the mark.
    chip.power_on()
    clock.pass_ms(1000)
    again = probe(bus, 0x62)
    harness.equal((chip._ram[0x2322], again.fresh), (0, True))
    clock.pass_ms(again.SETTLE_MS)
    measure(clock, again)
    harness.equal(again.values[3], 500)


def test_settings_of_another_program_are_undone():
    clock, chip, bus = powered(0x62, SCD41)
    clock.pass_ms(1000)
    chip.write(b"\x24\x1d\x07\xe6\x48")  # 5.4 C
    clock.pass_ms(1)
    sensor = probe(bus, 0x62)
    clock.pass_ms(sensor.SETTLE_MS)
    chip.environment = Fixed(20000)
    measure(clock, sensor)
    harness.equal(sensor.values[0], 2000)


def test_an_scd40_is_stopped_after_each_reading():
    clock, chip, bus, sensor = settled(SCD40, Fixed(20000, 45000, co2_ppm=700))
    for ppm in (700, 800):
        chip.environment.c = ppm
        harness.equal(chip._period_ms, 0)
        measure(clock, sensor)  # at once: it is idle again
        harness.equal(sensor.values, [2000, 4500, None, ppm])


def test_the_time_a_reading_takes():
    for kind, first_ms, next_ms in ((SCD40, 11511, 6007), (SCD41, 10014, 5009)):
        clock, chip, bus, sensor = idle(kind)
        for limit in (first_ms, next_ms):
            began = clock.now()
            measure(clock, sensor)
            harness.equal(clock.diff(clock.now(), began), limit)


def test_a_chip_that_measures_is_stopped_and_found_the_next_time():
    for command in (b"\x21\xb1", b"\x21\xac"):
        clock, chip, bus = powered(0x62, SCD40)
        clock.pass_ms(1000)
        chip.write(command)
        clock.pass_ms(7000)
        error = harness.raises(SensorError, probe, bus, 0x62)
        harness.equal(str(error), "scd4x: stopping, was measuring")
        harness.raises(OSError, probe, bus, 0x62)  # takes 500 ms
        clock.pass_ms(500)
        sensor = probe(bus, 0x62)
        clock.pass_ms(sensor.SETTLE_MS)
        measure(clock, sensor)
        harness.equal(sensor.values[3], 600)


def test_a_chip_that_is_busy_is_an_error_of_the_bus():
    clock, chip, bus = powered(0x62, SCD41)
    harness.raises(OSError, probe, bus, 0x62)  # starting
    clock.pass_ms(1000)
    chip.write(b"\x21\x9d")
    harness.raises(OSError, probe, bus, 0x62)  # a single shot of another program
    clock.pass_ms(5000)
    harness.equal(probe(bus, 0x62).name, "scd41")


def test_too_early():
    for kind in (SCD40, SCD41):
        clock, chip, bus, sensor = settled(kind)
        sensor.start()
        clock.pass_ms(4900)
        if kind is SCD41:
            harness.raises(OSError, sensor.finish)
        else:
            sensor.finish()
            clock.pass_ms(sensor.MEASURE_MS)
            error = harness.raises(SensorError, sensor.finish)
            harness.equal(str(error), "still measuring")
        sensor.start = None  # the measurement that runs is waited for
        clock.pass_ms(500)
        sensor.phase = 0
        while sensor.finish():
            clock.pass_ms(sensor.MEASURE_MS)
        harness.equal(sensor.values[3], 600)


def test_an_answer_asked_for_too_early_is_no_reading():
    clock, chip, bus, sensor = settled(SCD41)
    sensor.start()
    clock.pass_ms(5001)
    harness.equal(sensor.finish(), True)
    harness.raises(OSError, sensor.finish)
    clock.pass_ms(1000)
    measure(clock, sensor)
    harness.equal(sensor.values[3], 600)


def test_faults_of_the_model_are_errors():
    for kind in (SCD40, SCD41):
        for fault in ("nack", "stuck", "crc"):
            clock, chip, bus, sensor = settled(kind)
            chip.fault = fault
            harness.raises((OSError, SensorError), measure, clock, sensor)
            chip.fault = None
            clock.pass_ms(6000)
            if fault == "stuck" and kind is SCD40:  # it still runs: found anew
                harness.raises(OSError, measure, clock, sensor)
                harness.raises(SensorError, probe, bus, 0x62)
                clock.pass_ms(1000)
                sensor = probe(bus, 0x62)
            chip.environment.c = 444
            measure(clock, sensor)
            harness.equal(sensor.values[3], 444)


def test_power_loss_between_start_and_finish():
    for kind in (SCD40, SCD41):
        clock, chip, bus, sensor = settled(kind)
        sensor.start()
        clock.pass_ms(2000)
        chip.power_on()
        clock.pass_ms(sensor.MEASURE_MS)
        sensor.finish()
        clock.pass_ms(sensor.MEASURE_MS)
        error = harness.raises(SensorError, sensor.finish)
        harness.equal(str(error), "still measuring")
        measure(clock, sensor)


def test_a_bus_that_times_out_is_not_waited_for():
    # Each time may take 50 ms: no reason to try 48 times.
    bus = genuine()
    tries = []

    def timeout(addr, buf):
        tries.append(addr)
        raise OSError(110)

    bus.readfrom_into = timeout
    harness.raises(OSError, probe, bus, 0x62)
    harness.equal(len(tries), 2)


def test_unplugged_while_it_measures():
    clock, chip, bus, sensor = settled(SCD40)
    sensor.start()
    bus.plugged = False
    clock.pass_ms(sensor.MEASURE_MS)
    harness.raises(OSError, sensor.finish)


def test_measuring_does_not_allocate():
    class Quiet:
        # Takes no memory, answers every phase.
        def writeto(self, addr, buf):
            self.now = READY if buf[0] == 0xE4 else EXAMPLE

        def readfrom_into(self, addr, buf):
            for i in range(len(buf)):
                buf[i] = self.now[i]

    READY = words(0x8006)
    for variant in (0x0440, 0x1440):
        for offset in (1498, 1499):  # with the first reading discarded, and without
            bus = genuine(variant, offset)
            sensor = probe(bus, 0x62)
            sensor.bus = Quiet()
            sensor.bus.now = READY
            harness.no_heap(sensor.start)
            phases = 1
            while harness.no_heap(sensor.finish):
                phases += 1
            harness.equal((phases, sensor.values[3]), (8 if offset == 1498 else 5, 500))


def test_the_contract_of_a_driver():
    sensor = idle(SCD43)[3]
    harness.equal(sensor.values, [None] * 4)
    harness.equal((sensor.SETTLE_MS, sensor.LEAST_S, sensor.FROZEN), (31, 30, 50))
    assert sensor.MEASURE_MS > 5000


def test_a_slow_scd40_is_waited_for():
    # The datasheet gives the 5 s no tolerance.
    import tools.sim.chips.scd4x as model

    usual = model._PERIODIC[0x21B1]
    try:
        model._PERIODIC[0x21B1] = 5400
        clock, chip, bus, sensor = settled(SCD40)
        measure(clock, sensor)
        harness.equal(sensor.values[3], 600)
    finally:
        model._PERIODIC[0x21B1] = usual


def test_two_readings_do_not_mix_with_other_chips():
    clock, chip, bus, sensor = settled(SCD41)
    both = ChipBus((0x62, chip), (0x63, SCD41(clock)))
    sensor.bus = both
    measure(clock, sensor)
    harness.equal(sensor.values[3], 600)
