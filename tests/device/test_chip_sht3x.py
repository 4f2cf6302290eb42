# The SHT3x model alone.

import harness
from fakes_chips import fetch, powered
from tools.sim.chips.chip import Fixed
from tools.sim.chips.sht3x import SHT3x, crc8


def ask(chip, command, size):
    tell(chip, command)
    return fetch(chip, size)


def tell(chip, command):
    chip.skip_ms(2)  # it takes a moment from one command to the next
    chip.write(command)


def test_crc_example_of_the_datasheet():
    harness.equal(crc8(0xBEEF), 0x92)  # DS table 20
    harness.equal(crc8(0x0000), 0x81)


def test_status_after_power_on_and_clear():
    chip, _ = powered(SHT3x)
    harness.equal(ask(chip, b"\xf3\x2d", 3), bytes((0x80, 0x10, crc8(0x8010))))
    tell(chip, b"\x30\x41")
    harness.equal(ask(chip, b"\xf3\x2d", 3), b"\x00\x00\x81")


def test_single_shot_is_not_acknowledged_before_it_is_done():
    chip, clock = powered(SHT3x)
    chip.environment = Fixed(25000, 50000)
    tell(chip, b"\x24\x00")
    clock.pass_ms(15)
    harness.raises(OSError, fetch, chip, 6)
    harness.raises(OSError, chip.write, b"\xf3\x2d")
    clock.pass_ms(1)
    got = fetch(chip, 6)
    # 0x6666 = 26214: 25.00 C; 0x8000 = 32768: 50.00 %RH
    harness.equal(got, bytes((0x66, 0x66, crc8(0x6666), 0x80, 0x00, crc8(0x8000))))
    harness.raises(OSError, fetch, chip, 6)  # read once


def test_unknown_command_is_refused_and_noted():
    chip, _ = powered(SHT3x)
    for bad in (b"\x12\x34", b"\xfd", b"\x20\x33", b"\xe0\x00"):
        harness.raises(OSError, tell, chip, bad)
    tell(chip, b"\x30\x41")
    harness.raises(OSError, tell, chip, b"\x89")
    chip._status |= 2
    harness.equal(chip._status, 2)
    harness.equal(ask(chip, b"\xf3\x2d", 3)[1], 0)


def test_serial_number():
    chip, _ = powered(SHT3x)
    harness.equal(ask(chip, b"\x37\x80", 6)[:2], b"\x0b\xad")
    harness.equal(ask(chip, b"\x36\x82", 6)[3:5], b"\xca\xfe")


def test_periodic_mode_refuses_single_shots_until_break():
    chip, clock = powered(SHT3x)
    tell(chip, b"\x21\x30")  # once a second
    harness.raises(OSError, ask, chip, b"\xe0\x00", 6)
    clock.pass_ms(1000)
    harness.equal(len(ask(chip, b"\xe0\x00", 6)), 6)
    harness.raises(OSError, ask, chip, b"\xe0\x00", 6)
    harness.raises(OSError, tell, chip, b"\x24\x00")
    tell(chip, b"\x30\x93")
    tell(chip, b"\x24\x00")


def test_soft_reset_and_heater():
    chip, clock = powered(SHT3x)
    tell(chip, b"\x30\x41")
    tell(chip, b"\x30\x6d")
    harness.equal(ask(chip, b"\xf3\x2d", 3)[0], 0x20)
    tell(chip, b"\x30\xa2")
    clock.pass_ms(1)
    harness.raises(OSError, chip.write, b"\xf3\x2d")
    harness.raises(OSError, fetch, chip, 3)
    clock.pass_ms(1)
    harness.equal(ask(chip, b"\xf3\x2d", 3)[:2], b"\x80\x10")


def test_one_command_a_millisecond():
    chip, clock = powered(SHT3x)
    chip.write(b"\x30\x41")
    harness.raises(OSError, chip.write, b"\x30\x93")
    clock.pass_ms(1)
    chip.write(b"\x30\x93")
    for _ in range(10):  # where no time passes, the refused ones count
        harness.raises(OSError, chip.write, b"\x30\x93")
    chip.write(b"\x30\x93")


def test_a_result_that_nobody_read_is_lost_with_the_next_command():
    chip, clock = powered(SHT3x)
    chip.write(b"\x24\x00")
    clock.pass_ms(16)
    harness.equal(ask(chip, b"\xf3\x2d", 3), bytes((0x80, 0x10, crc8(0x8010))))
    harness.raises(OSError, fetch, chip, 6)


def test_faults():
    chip, clock = powered(SHT3x)
    chip.fault = "crc"
    got = ask(chip, b"\xf3\x2d", 3)
    assert got[2] != crc8(0x8010)
    chip.fault = "nack"
    harness.raises(OSError, tell, chip, b"\xf3\x2d")
    chip.fault = "stuck"
    tell(chip, b"\x24\x00")
    clock.pass_ms(1000)
    harness.raises(OSError, fetch, chip, 6)
