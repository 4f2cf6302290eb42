# The HDC1080 model alone.

import harness
from fakes import Clock
from fakes_chips import fetch, powered, read
from tools.sim.chips.chip import Fixed
from tools.sim.chips.hdc1080 import HDC1080


def start(mdeg=20000, mpct=45000):
    chip, clock = powered(HDC1080, Fixed(mdeg, mpct))
    clock.pass_ms(10)
    return chip, clock


def test_power_on_values():
    chip, _ = start()
    harness.equal(fetch(chip, 4), bytes(4))
    harness.equal(read(chip, 2, 2), b"\x10\x00")
    harness.equal(read(chip, 0xFE, 2), b"\x54\x49")
    harness.equal(read(chip, 0xFF, 2), b"\x10\x50")
    harness.equal(read(chip, 0xFD, 2)[1] & 0x7F, 0)


def test_starting_it_gives_its_serial_number_and_ids_only():
    clock = Clock()
    chip = HDC1080(clock)
    clock.pass_ms(14)
    harness.equal(read(chip, 0xFB, 2), b"\x01\x23")
    harness.equal(read(chip, 0xFF, 2), b"\x10\x50")
    for data in (b"\x00", b"\x02", b"\x02\x10\x00"):
        harness.raises(OSError, chip.write, data)
    clock.pass_ms(1)
    chip.write(b"\x00")


def test_unknown_registers_and_read_only_ones_are_refused():
    chip, _ = start()
    for data in (b"\x03", b"\xfa", b"\x00\x00\x00", b"\xff\x10\x50", b"\x02\x10", b"\x02\x50\x00"):
        harness.raises(OSError, chip.write, data)
    harness.raises(OSError, chip.write, b"\x02\x10\x01")


def test_both_are_measured_one_after_the_other():
    chip, clock = start(25000, 50000)
    chip.write(b"\x00")
    clock.pass_ms(19)
    harness.raises(OSError, fetch, chip, 4)
    clock.pass_ms(1)
    # 65 / 165 of 65,536 is 25817.2; the two lowest bits are always 0
    harness.equal(fetch(chip, 4), b"\x64\xd8\x80\x00")
    harness.raises(OSError, fetch, chip, 4)  # read already


def test_one_alone():
    chip, clock = start(25000, 50000)
    chip.write(b"\x02\x00\x00")
    chip.write(b"\x00")
    clock.pass_ms(10)
    harness.equal(fetch(chip, 2), b"\x64\xd8")
    chip.write(b"\x01")
    clock.pass_ms(9)
    harness.raises(OSError, fetch, chip, 2)
    clock.pass_ms(1)
    harness.equal(fetch(chip, 2), b"\x80\x00")


def test_a_write_ends_what_is_under_way():
    chip, clock = start()
    chip.write(b"\x00")
    clock.pass_ms(15)
    chip.write(b"\x00")
    clock.pass_ms(19)
    harness.raises(OSError, fetch, chip, 4)
    clock.pass_ms(1)
    harness.equal(len(fetch(chip, 4)), 4)


def test_coarse_resolutions_are_faster():
    chip, clock = start(25000, 50000)
    for config, ms, t, rh in ((0x15, 12, b"\x64\xc0", 0x80), (0x16, 10, b"\x64\xc0", 0x80)):
        chip.write(bytes((2, config, 0)))
        chip.write(b"\x00")
        clock.pass_ms(ms)
        harness.equal(fetch(chip, 4), t + bytes((rh, 0)))


def test_ends_of_the_scale():
    for mdeg, mpct, answer in (
        (-40000, 0, b"\x00\x00\x00\x00"),
        (125000, 100000, b"\xff\xfc\xff\xfc"),
        (-60000, 0, b"\x00\x00\x00\x00"),
    ):
        chip, clock = start(mdeg, mpct)
        chip.write(b"\x00")
        clock.pass_ms(20)
        harness.equal(fetch(chip, 4), answer)


def test_heater_battery_and_reset():
    chip, clock = start(25000)
    chip.low_battery = True
    chip.write(b"\x02\x30\x00")
    harness.equal(read(chip, 2, 2), b"\x38\x00")
    chip.write(b"\x00")
    clock.pass_ms(20)
    assert fetch(chip, 4) > b"\x6c"  # 5 C more
    chip.write(b"\x02\x80\x00")
    harness.raises(OSError, chip.write, b"\x02")
    clock.pass_ms(15)
    harness.equal(read(chip, 2, 2), b"\x18\x00")


def test_faults():
    chip, clock = start()
    chip.fault = "stuck"
    chip.write(b"\x00")
    clock.pass_ms(1000)
    harness.raises(OSError, fetch, chip, 4)
    chip.fault = "crc"
    harness.equal(read(chip, 0xFF, 2), b"\xff\xff")
    chip.fault = "nack"
    harness.raises(OSError, chip.write, b"\x00")
