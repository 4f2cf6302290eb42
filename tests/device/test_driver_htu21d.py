# heap: 56wk
# HTU21D, Si7021 and SHT2x: the examples of the data sheet, every raw value against the formulas
# in floats, what the driver refuses, and which chip it is.

import gc

import harness
from fakes import Clock
from fakes_bus import ChipBus, Registers
from firmware.core.errors import SensorError
from firmware.drivers.htu21d import probe
from tools.sim.chips.chip import Fixed
from tools.sim.chips.htu21d import HTU21D, SI7021, SHT2x, crc8

KINDS = ((HTU21D, "htu21d"), (SI7021, "si7021"), (SHT2x, "sht2x"))
NUMBERS = {  # the first as libdriver/htu21d shows one of a real chip
    "htu21d": b"\x32\x11\x19HT\x04",
    "si7021": b"\x15\xff\xb5\xff\xff" + bytes((crc8(b"\x15\xff\xff\xff"),)),
    "sht2x": b"\x31\x07" + bytes((crc8(b"\x31\x07"),)) + b"\x82\x3c" + bytes((crc8(b"\x82\x3c"),)),
}


class Answers(Registers):
    # What it says to each command: `t` after 0xF3, `rh` after 0xF5. Never allocates.
    t = rh = None
    last = 0

    def writeto(self, addr, buf):
        self.last = buf[0]

    def readfrom_into(self, addr, buf):
        self.plain = self.rh if self.last == 0xF5 else self.t
        Registers.readfrom_into(self, addr, buf)


def found(number):
    bus = Answers()
    bus.regs[0xE7] = 0x02
    bus.t = number
    return bus, probe(bus, 0x40)


def word(raw):
    two = bytes((raw >> 8, raw & 0xFF))
    return two + bytes((crc8(two),))


def read(bus, sensor, t, rh):
    bus.t, bus.rh = word(t), word(rh)
    sensor.start()
    harness.equal(sensor.finish(), True)
    harness.equal(sensor.finish(), None)
    return sensor.values


def plugged(kind, user=None):
    clock = Clock()
    chip = kind(clock)
    chip.environment = Fixed(20000, 40000)
    clock.pass_ms(kind.START_MS)
    if user is not None:
        chip.write(bytes((0xE6, kind.USER | user)))
    return clock, chip, ChipBus((0x40, chip))


def settled(clock, bus):
    sensor = probe(bus, 0x40)
    clock.pass_ms(sensor.SETTLE_MS)
    return sensor


def measure(clock, sensor):
    sensor.start()
    clock.pass_ms(sensor.MEASURE_MS)
    harness.equal(sensor.finish(), True)
    clock.pass_ms(sensor.MEASURE_MS)
    harness.equal(sensor.finish(), None)


def test_examples_of_the_data_sheet():
    # P. 14 and 15: 0x683A is 44.8 %RH, 0x4E85 is 7.04 C, 0x7C82 is 54.8 %RH. A humidity is
    # corrected by the temperature of an HTU21D (p. 4): by (7.04 - 25) * 0.15 = -2.69 %RH.
    for name, number in NUMBERS.items():
        bus, sensor = found(number)
        harness.equal(sensor.name, name)
        less = 269 if name == "htu21d" else 0
        harness.equal(read(bus, sensor, 0x4E85, 0x683A), [704, 4489 - less])
        harness.equal(read(bus, sensor, 0x4E85, 0x7C82), [704, 5479 - less])
    # 25 C, where nothing is corrected, and 85 C, where the formula has ended at 80 C.
    bus, sensor = found(NUMBERS["htu21d"])
    harness.equal(read(bus, sensor, 0x68AC, 0x7C82), [2500, 5479])
    harness.equal(read(bus, sensor, 0xC010, 0x7C82), [8498, 5479 + 825])


def test_every_raw_value_against_the_formulas_in_floats():
    # Temperatures in steps of 7 with both ends; humidities of both kinds of chips, at 10 C.
    answer = bytearray(3)
    for name in ("htu21d", "si7021"):
        bus, sensor = found(NUMBERS[name])
        bus.t = answer
        seen = 0
        for raw in range(0, 16384, 7 if name == "htu21d" else 16383):
            put(answer, raw << 2)
            celsius = -46.85 + 175.72 * raw / 16384
            sensor.start()
            try:
                harness.no_heap_but_errors(sensor.finish)
            except SensorError:
                assert not -39.99 < celsius < 124.99, celsius
                continue
            seen += 1
            assert -40.01 < celsius < 125.01, celsius
            assert abs(sensor.cdeg - celsius * 100) <= 0.51, (raw, sensor.cdeg)
        assert seen > (2100 if name == "htu21d" else -1), seen
        bus.t, bus.rh = word(0x52D0), answer  # 9.98 C
        less = 0.15 * (9.9956 - 25) if name == "htu21d" else 0
        for raw in range(0, 16383, 6):
            put(answer, raw << 2 | 2)
            sensor.start()
            harness.no_heap(sensor.finish)
            harness.no_heap(sensor.finish)
            percent = -6 + 125 * raw / 16384 + less
            assert abs(sensor.values[1] - min(max(percent, 0), 100) * 100) <= 1.6, (
                raw,
                sensor.values,
            )


def put(answer, raw):
    answer[0], answer[1] = raw >> 8, raw & 0xFF
    answer[2] = crc8(answer[:2])


def test_whole_range_against_the_models():
    for kind, _ in KINDS:
        clock, chip, bus = plugged(kind)
        sensor = settled(clock, bus)
        for step in range(56):
            mdeg, mpct = -40000 + 3000 * step, 100000 * step // 55
            chip.environment = Fixed(mdeg, mpct)
            measure(clock, sensor)
            assert abs(sensor.values[0] * 10 - mdeg) <= 12, (mdeg, sensor.values)
            # An HTU21D cannot say below -6 and above 119 %RH, before it is corrected.
            assert abs(sensor.values[1] * 10 - mpct) <= 35, (mpct, sensor.values)


def test_measuring_does_not_allocate():
    for number in NUMBERS.values():
        bus, sensor = found(number)
        bus.t, bus.rh = word(0x68AC), word(0x72B2)
        harness.no_heap(sensor.start)
        assert harness.no_heap(sensor.finish) is True
        assert harness.no_heap(sensor.finish) is None
        harness.equal(sensor.values[0], 2500)


def test_what_is_refused():
    bus, sensor = found(NUMBERS["si7021"])
    good_t, good_rh = word(0x68AC), word(0x72B2)
    read(bus, sensor, 0x68AC, 0x72B2)
    before = list(sensor.values)

    def refused(t, rh, reason):
        bus.t, bus.rh = t, rh
        sensor.start()
        if t == good_t:
            sensor.finish()
        harness.equal(str(harness.raises(SensorError, sensor.finish)), reason)
        harness.equal(sensor.values, before)

    for at in range(3):
        for bit in range(8):
            for good in (good_t, good_rh):
                bad = bytearray(good)
                bad[at] ^= 1 << bit
                refused(*((bad, good_rh) if good == good_t else (good_t, bad)), "crc")
    refused(good_rh, good_rh, "damaged data")  # a humidity for a temperature
    refused(good_t, good_t, "damaged data")
    refused(b"\0\0\0", good_rh, "temperature out of range")  # zeros have a good CRC
    refused(good_t, b"\0\0\0", "damaged data")  # open circuit
    refused(word(0xFFFF), good_rh, "damaged data")  # short circuit
    refused(good_t, word(0xFFFF), "damaged data")
    refused(good_t, b"\xff\xff\xff", "crc")
    refused(word(0x09F8), good_rh, "temperature out of range")  # -40.01 C
    refused(word(0xFA60), good_rh, "temperature out of range")  # 125.01 C
    read(bus, sensor, 0x68AC, 0x72B2)


def test_an_error_in_either_turn_begins_anew():
    for kind, _ in KINDS:
        for turn in (1, 2):
            for fault, error in (("nack", OSError), ("stuck", OSError), ("crc", SensorError)):
                clock, chip, bus = plugged(kind)
                sensor = settled(clock, bus)
                measure(clock, sensor)
                chip.fault = fault if turn == 1 else None
                if turn == 1 and fault == "nack":
                    harness.raises(error, sensor.start)
                else:
                    sensor.start()
                    clock.pass_ms(sensor.MEASURE_MS)
                    if turn == 2:
                        chip.fault = "stuck" if fault == "stuck" else None
                        chip._since = chip.now_ms() - 100 if fault == "stuck" else chip._since
                        chip.fault = None
                        sensor.finish()
                        chip.fault = fault
                        clock.pass_ms(sensor.MEASURE_MS)
                    harness.raises(error, sensor.finish)
                chip.fault = None
                clock.pass_ms(100)
                chip.environment = Fixed(30000, 60000)
                measure(clock, sensor)
                assert abs(sensor.values[0] - 3000) <= 1 and abs(sensor.values[1] - 6000) <= 3


def test_too_early_and_power_loss_in_either_turn():
    for kind, _ in KINDS:
        clock, chip, bus = plugged(kind)
        sensor = settled(clock, bus)
        t_ms, rh_ms = kind.MS[0]
        sensor.start()
        clock.pass_ms(t_ms - 1)
        harness.raises(OSError, sensor.finish)
        clock.pass_ms(1)
        sensor.finish()
        clock.pass_ms(rh_ms - 1)
        harness.raises(OSError, sensor.finish)
        clock.pass_ms(1)
        sensor.finish()
        for turn in (1, 2):
            sensor.start()
            clock.pass_ms(sensor.MEASURE_MS)
            if turn == 2:
                sensor.finish()
            chip.power_on()
            clock.pass_ms(100)
            harness.raises(OSError, sensor.finish)
        measure(clock, sensor)


def test_probe_ends_what_another_program_left():
    for kind, name in KINDS:
        clock, chip, bus = plugged(kind, 0x85)  # heater on, least resolution
        sensor = probe(bus, 0x40)
        harness.equal(sensor.name, name)
        harness.raises(OSError, sensor.start)  # it is in its soft reset
        clock.pass_ms(sensor.SETTLE_MS)
        measure(clock, sensor)
        assert abs(sensor.values[0] - 2000) <= 1, sensor.values
        chip.write(b"\xe7")
        user = bytearray(1)
        chip.read_into(user)
        harness.equal(user[0], kind.USER)
        chip.write(b"\xf3")
        harness.raises(OSError, probe, bus, 0x40)  # measuring
        clock.pass_ms(100)
        harness.equal(probe(bus, 0x40).name, name)


def test_all_kinds_of_si70xx():
    for kind in (0x0D, 0x14, 0x15):
        four = bytes((kind, 0xFF, 0xB5, 0xFF))
        answer = four[:2] + bytes((crc8(four[:2]),)) + four[2:] + bytes((crc8(four),))
        harness.equal(found(answer)[1].name, "si7021")


def test_an_identity_with_any_bit_wrong_is_none():
    for number in NUMBERS.values():
        for at in range(6):
            for bit in range(8):
                bad = bytearray(number)
                bad[at] ^= 1 << bit
                harness.equal(found(bad)[1], None)
    for answer in (b"\0" * 6, b"\xff" * 6):
        harness.equal(found(answer)[1], None)
    for user in (0x00, 0xFF, 0x01, 0x38):
        bus = Answers()
        bus.regs[0xE7] = user
        bus.t = NUMBERS["htu21d"]
        harness.equal(probe(bus, 0x40), None)


class HDC1080:
    # TI HDC1080 (SNAS672A, 8.6): a pointer and words; the rest is reserved. It acknowledges all.
    def __init__(self, serial, reserved):
        self.words = {
            0xFB: serial[0],
            0xFC: serial[1],
            0xFD: serial[2],
            0xFE: 0x5449,
            0xFF: 0x1050,
        }
        self.reserved, self.pointer, self.beyond = reserved, 0, 0xFF
        self.written = []

    def write(self, data):
        self.pointer = data[0]
        if len(data) > 1:
            self.written.append(bytes(data))

    def read_into(self, buf):
        value = self.words.get(self.pointer, self.reserved)
        for i in range(len(buf)):
            buf[i] = (
                (value >> 8, value & 0xFF)[i & 1] if i < 2 or self.beyond is None else self.beyond
            )


def test_an_hdc1080_is_not_taken():
    # Whatever its serial number and its reserved registers say, and what follows a word.
    for reserved in (0, 0xFFFF, 0x0200, 0x3A3A):
        for beyond in (0xFF, 0x00, None):  # None: the word again and again
            for middle in range(0, 65536, 13 if reserved == 0x0200 else 771):
                chip = HDC1080((0x0123, middle, 0x8000), reserved)
                chip.beyond = beyond
                harness.equal(probe(ChipBus((0x40, chip)), 0x40), None)
                if reserved in (0, 0xFFFF):
                    harness.equal(chip.written, [])
            gc.collect()


def test_other_chips_at_0x40_are_not_written_to():
    class PCA9685:
        # Reserved registers are not acknowledged (NXP, table 4); 0xFA to 0xFD drive all outputs.
        def __init__(self):
            self.regs = bytearray(256)
            self.pointer = 0

        def write(self, data):
            if 0x46 <= data[0] < 0xFA:
                raise OSError(19)
            self.pointer = data[0]
            if len(data) > 1:
                raise AssertionError("written to")

        def read_into(self, buf):
            for i in range(len(buf)):
                buf[i] = self.regs[self.pointer]

    bus = ChipBus((0x40, PCA9685()))
    harness.raises(OSError, probe, bus, 0x40)
