# The BMP280 and BME280 models alone: what the datasheets say about their registers.

import harness
from fakes import Clock
from tools.sim.chips.bosch import BME280, BMP280
from tools.sim.chips.trim import Trim, search

POWER_ON = b"\x80\x00\x00\x80\x00\x00"


def powered(kind):
    clock = Clock()
    chip = kind(clock)
    clock.pass_ms(5)
    return chip, clock


def read(chip, reg, size=1):
    buf = bytearray(size)
    chip.write(bytes((reg,)))
    chip.read_into(buf)
    return bytes(buf)


def test_worked_example_of_the_datasheet():
    # BMP280 datasheet 3.12: UT = 519888 gives 25.08 C, UP = 415148 gives 100653.27 Pa.
    chip = Trim()
    fine = chip.t_fine(519888)
    harness.equal("{:.2f}".format(fine / 5120), "25.08")
    harness.equal("{:.2f}".format(chip.pascal(415148, fine)), "100653.27")


def test_ids_and_power_on_values():
    for kind, chip_id, tail in ((BMP280, 0x58, b"\x00\x00"), (BME280, 0x60, b"\x80\x00")):
        chip, _ = powered(kind)
        harness.equal(read(chip, 0xD0)[0], chip_id)
        harness.equal(read(chip, 0xF3, 4), bytes(4))
        harness.equal(read(chip, 0xF7, 8), POWER_ON + tail)
        harness.equal(read(chip, 0xE0), b"\x00")
        # 27504, 26435, -1000, 36477: low byte first
        harness.equal(read(chip, 0x88, 8), b"\x70\x6b\x43\x67\x18\xfc\x7d\x8e")


def test_humidity_trim_is_packed_as_in_table_16():
    chip = BME280(Clock(), Trim(h=(75, 370, 9, -313, 0x7A5, -30)))
    chip._clock.pass_ms(5)
    harness.equal(read(chip, 0xA1), bytes((75,)))
    # -313 is 0xEC7 in 12 bits: 0xE4 = 0xEC, low nibble of 0xE5 = 7
    harness.equal(read(chip, 0xE1, 7), b"\x72\x01\x09\xec\x57\x7a\xe2")


def test_says_nothing_before_start_up():
    clock = Clock()
    chip = BME280(clock)
    harness.raises(OSError, read, chip, 0xD0)
    clock.pass_ms(2)
    harness.equal(read(chip, 0xD0), b"\x60")


def test_writes_are_pairs_and_reads_count_up():
    chip, _ = powered(BME280)
    chip.write(b"\xf5\x10\xf2\x05\xd0")
    buf = bytearray(1)
    chip.read_into(buf)
    harness.equal(buf[0], 0x60)
    harness.equal(read(chip, 0xF2, 4), b"\x05\x00\x00\x10")
    chip.write(b"\xd0\x11")  # read only
    harness.equal(read(chip, 0xD0), b"\x60")


def test_soft_reset_copies_the_trim_again():
    chip, clock = powered(BME280)
    chip.write(b"\xe0\xb5")  # any other value: nothing
    chip.write(b"\xf5\x10")
    chip.write(b"\xe0\xb6")
    harness.equal(read(chip, 0xF3), b"\x01")
    harness.equal(read(chip, 0x88, 2), b"\x00\x00")
    clock.pass_ms(2)
    harness.equal(read(chip, 0xF3, 3), b"\x00\x00\x00")
    harness.equal(read(chip, 0x88, 2), b"\x70\x6b")


def test_search_finds_the_closest_on_rising_and_falling_functions():
    harness.equal(search(lambda n: n * 2, 11, 0, 100) in (5, 6), True)
    harness.equal(search(lambda n: n * 10, 58, 0, 100), 6)
    harness.equal(search(lambda n: 100 - n, 30, 0, 100), 70)
    harness.equal(search(lambda n: n, 1000, 0, 100), 100)
    harness.equal(search(lambda n: -n, 1000, 0, 100), 0)


harness.run(globals())
