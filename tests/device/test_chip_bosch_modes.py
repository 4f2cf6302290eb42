# The BMP280 and BME280 models alone: what a measurement does, and when.

import harness
from fakes import Clock
from tools.sim.chips.bosch import BME280, BMP280
from tools.sim.chips.chip import Fixed

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
    chip, clock = powered(BMP280)
    chip.environment = Fixed(20000)
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


harness.run(globals())
