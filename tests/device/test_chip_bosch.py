# The BMP280 and BME280 models alone: what the datasheets say about their registers
# and a measurement.

import harness
from fakes import Clock
from fakes_chips import fetch, powered, read
from tools.sim.chips.bosch import BME280, BMP280
from tools.sim.chips.chip import Fixed
from tools.sim.chips.trim import Trim, search

POWER_ON = b"\x80\x00\x00\x80\x00\x00"


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
    harness.equal(fetch(chip, 1), b"\x60")
    harness.equal(read(chip, 0xF2, 4), b"\x05\x00\x00\x10")
    chip.write(b"\xd0\x11")  # read only
    harness.equal(read(chip, 0xD0), b"\x60")


def test_soft_reset_copies_the_trim_again():
    chip, clock = powered(BME280)
    chip.write(b"\xe0\xb5")  # any other value: nothing
    chip.write(b"\xf5\x10")
    chip.write(b"\xe0\xb6")
    harness.raises(OSError, read, chip, 0xF3)
    clock.pass_ms(1)
    harness.equal(read(chip, 0xF3), b"\x01")
    harness.equal(read(chip, 0x88, 2), b"\x00\x00")
    chip.write(b"\xf4\x25")  # too early
    clock.pass_ms(1)
    harness.equal(read(chip, 0xF3, 3), b"\x00\x00\x00")
    harness.equal(read(chip, 0x88, 2), b"\x70\x6b")


def test_search_finds_the_closest_on_rising_and_falling_functions():
    harness.equal(search(lambda n: n * 2, 11, 0, 100) in (5, 6), True)
    harness.equal(search(lambda n: n * 10, 58, 0, 100), 6)
    harness.equal(search(lambda n: 100 - n, 30, 0, 100), 70)
    harness.equal(search(lambda n: n, 1000, 0, 100), 100)
    harness.equal(search(lambda n: -n, 1000, 0, 100), 0)


def test_forced_measurement_takes_its_time():
    chip, clock = powered(BME280)
    chip.write(b"\xf2\x01")
    chip.write(b"\xf4\x25")
    harness.equal(chip.measure_ms(), 10)  # 1.25 + 2.3 + 2.875 + 2.875 = 9.3
    clock.pass_ms(9)
    harness.equal(read(chip, 0xF3, 2), b"\x08\x25")
    harness.equal(read(chip, 0xF7, 6), POWER_ON)
    clock.pass_ms(1)
    harness.equal(read(chip, 0xF3, 2), b"\x00\x24")  # back in sleep mode by itself
    assert read(chip, 0xF7, 6) != POWER_ON


def test_bmp280_without_humidity_is_faster():
    chip, clock = powered(BMP280)
    chip.write(b"\xf2\x01\xf4\x25")
    harness.equal(chip.measure_ms(), 7)  # BMP280 table 13: 6.4 ms
    harness.equal(read(chip, 0xF2), b"\x00")  # there is no such register
    clock.pass_ms(7)
    harness.equal(read(chip, 0xFD, 2), b"\x00\x00")


def test_ctrl_hum_waits_for_ctrl_meas():
    chip, clock = powered(BME280)
    chip.write(b"\xf4\x25")
    chip.write(b"\xf2\x01")  # too late for this measurement
    clock.pass_ms(20)
    harness.equal(read(chip, 0xFD, 2), b"\x80\x00")
    chip.write(b"\xf4\x25")
    clock.pass_ms(20)
    assert read(chip, 0xFD, 2) != b"\x80\x00"


def test_skipped_quantities_keep_the_skip_code():
    chip, clock = powered(BME280)
    chip.write(b"\xf4\x21")  # temperature only
    clock.pass_ms(20)
    harness.equal(read(chip, 0xF7, 3), b"\x80\x00\x00")
    assert read(chip, 0xFA, 3) != b"\x80\x00\x00"


def test_mode_written_while_measuring_waits():
    chip, clock = powered(BMP280)
    chip.write(b"\xf4\x25")
    chip.write(b"\xf4\x00")
    harness.equal(read(chip, 0xF3, 2), b"\x08\x25")
    clock.pass_ms(7)
    harness.equal(read(chip, 0xF3, 2), b"\x00\x00")
    assert read(chip, 0xF7, 6) != POWER_ON


def test_normal_mode_repeats_and_filters():
    chip, clock = powered(BMP280, Fixed(20000))
    chip.write(b"\xf5\x04")  # filter coefficient 2, standby 0.5 ms
    chip.write(b"\xf4\x27")
    clock.pass_ms(7)
    first = read(chip, 0xFA, 3)
    chip.environment.t = 30000
    clock.pass_ms(8)
    half = read(chip, 0xFA, 3)
    clock.pass_ms(500)
    last = read(chip, 0xFA, 3)
    assert first < half < last, (first, half, last)
    harness.equal(read(chip, 0xF4), b"\x27")


def test_faults():
    chip, clock = powered(BME280)
    chip.fault = "nack"
    harness.raises(OSError, chip.write, b"\xd0")
    chip.fault = "crc"
    harness.equal(read(chip, 0xD0), b"\xff")
    chip.fault = "stuck"
    chip.write(b"\xf4\x25")
    clock.pass_ms(1000)
    harness.equal(read(chip, 0xF3), b"\x08")
