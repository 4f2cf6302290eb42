# A line on which every third to seventh read has a wrong bit: what the drivers let through is
# right, or missing.

import harness
from fakes import Random
from fakes_bus import Registers, Triggered, Words, bosch
from firmware.core.errors import SensorError
from firmware.drivers import aht20, bme280, htu21d, mcp9808, scd4x, sht3x, sht4x

TURNS = harness.count(400)


class Noisy:
    # Flips one bit in one read of three to seven.
    def __init__(self, chip, random):
        self.chip = chip
        self.random = random
        self.left = 3  # reads until the next flip
        self.writeto = chip.writeto
        self.writeto_mem = chip.writeto_mem

    def readfrom_into(self, addr, buf):
        self.chip.readfrom_into(addr, buf)
        self.flip(buf)

    def readfrom_mem_into(self, addr, reg, buf):
        self.chip.readfrom_mem_into(addr, reg, buf)
        self.flip(buf)

    def flip(self, buf):
        self.left -= 1
        if not self.left:
            self.left = 3 + self.random(5)
            buf[self.random(len(buf))] ^= 1 << self.random(8)


def measured(sensor, settle=None):
    # The set of all readings that came through, and how many.
    seen = set()
    good = 0
    for _ in range(TURNS):
        try:
            sensor.start()
            if settle:
                settle()
            while sensor.finish():
                pass
        except SensorError:
            continue
        good += 1
        seen.add(tuple(sensor.values))
    assert TURNS // 10 < good < TURNS, good
    return seen


def test_bme280_reads_everything_twice():
    chip = bosch()
    sensor = bme280.probe(chip, 0x76)
    sensor.bus = Noisy(chip, Random(harness.seed()))

    def settle():
        chip.regs[0xF4] = 0x24

    got = measured(sensor, settle)
    harness.equal(len(got), 1)
    cdeg, _, pa = got.pop()
    harness.equal((cdeg, pa), (2508, 100653))


def test_bme280_calibration_is_right_or_refused():
    chip = bosch()
    right = bme280.probe(chip, 0x76)
    noisy = Noisy(chip, Random(harness.seed()))
    good = 0
    for _ in range(TURNS // 4):
        try:
            sensor = bme280.probe(noisy, 0x76)
        except SensorError:
            continue
        if sensor and sensor.name == "bme280":
            good += 1
            harness.equal(sensor.cal, right.cal)
    assert good > 3, good


def test_sht3x_has_a_crc():
    chip = Registers()
    chip.plain = b"\x00\x00\x81"  # its status
    sensor = sht3x.probe(chip, 0x44)
    chip.plain = b"\xbe\xef\x92\xbe\xef\x92"
    sensor.bus = Noisy(chip, Random(harness.seed()))
    harness.equal(measured(sensor), {(8552, 7458)})


def test_sht4x_has_a_crc():
    chip = Registers()
    chip.plain = b"\xbe\xef\x92\xbe\xef\x92"  # its serial number, too
    sensor = sht4x.probe(chip, 0x44)
    sensor.bus = Noisy(chip, Random(harness.seed()))
    harness.equal(measured(sensor), {(8552, 8723)})


def test_htu21d_has_a_crc():
    chip = Registers(b"\x02", 0xE7)
    chip.plain = b"\x32\x11\x19HT\x04"
    sensor = htu21d.probe(chip, 0x40)

    class Turns(Registers):
        # 25.00 C after 0xF3, 50.00 %RH after 0xF5.
        def writeto(self, addr, buf):
            self.plain = b"\x72\xb2\x3f" if buf == b"\xf5" else b"\x68\xac\xe3"

    sensor.bus = Noisy(Turns(), Random(harness.seed()))
    harness.equal(measured(sensor), {(2500, 5000)})


def test_aht20_has_a_crc_and_aht10_is_read_twice():
    for plain, name in (
        (b"\x1c\x26\x9a\x76\x42\xe7\x76", "aht20"),
        (b"\x19\x26\x9a\x76\x42\xe7", "aht10"),
    ):
        chip = Triggered()
        chip.plain = plain
        sensor = aht20.probe(chip, 0x38)
        harness.equal(sensor.name, name)
        chip = Registers()
        chip.plain = plain
        sensor.bus = Noisy(chip, Random(harness.seed()))
        harness.equal(measured(sensor), {(2827, 1508)})


class Commands:
    # An SCD41 that says the same to the same command.
    writeto_mem = None
    answers = {
        0x20: b"\x14\x40\x51",
        0x36: b"\xf8\x96\x31\x9f\x07\xc2\x3b\xbe\x89",
        0x23: b"\x05\xdb\x18",  # its mark is set
        0xE4: b"\x80\x06\x04",
        0xEC: b"\x01\xf4\x33\x66\x67\xa2\x5e\xb9\x3c",
    }

    def writeto(self, addr, buf):
        self.plain = self.answers.get(buf[0])

    def readfrom_into(self, addr, buf):
        for i in range(len(buf)):
            buf[i] = self.plain[i]


def test_scd4x_has_a_crc():
    chip = Commands()
    sensor = scd4x.probe(chip, 0x62)
    sensor.bus = Noisy(chip, Random(harness.seed()))
    harness.equal(measured(sensor), {(2500, 3700, None, 500)})


def test_mcp9808_may_be_wrong_by_an_eighth_of_a_degree():
    # At 25.25 C.
    chip = Words(0xC194)
    sensor = mcp9808.probe(chip, 0x18)
    sensor.bus = Noisy(chip, Random(harness.seed()))
    for (cdeg,) in measured(sensor):
        assert abs(cdeg - 2525) <= 13, cdeg
