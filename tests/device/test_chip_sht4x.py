# The SHT4x model alone.

import harness
from fakes_chips import fetch, powered
from tools.sim.chips.chip import Fixed
from tools.sim.chips.sht4x import SHT4x, crc8


def test_a_measurement_is_not_acknowledged_before_it_is_done():
    for command, ms in ((b"\xfd", 9), (b"\xf6", 5), (b"\xe0", 2)):
        chip, clock = powered(SHT4x)
        chip.environment = Fixed(25000, 50000)
        chip.write(command)
        clock.pass_ms(ms - 1)
        harness.raises(OSError, fetch, chip, 6)
        harness.raises(OSError, chip.write, b"\x89")
        clock.pass_ms(1)
        # 0x6666 = 26214: 25.00 C; 0x72B0 = 29360: 50.00 %RH
        harness.equal(fetch(chip, 6), bytes((0x66, 0x66, crc8(0x6666), 0x72, 0xB0, crc8(0x72B0))))
        harness.raises(OSError, fetch, chip, 6)  # read once


def test_serial_number_after_a_moment():
    chip, clock = powered(SHT4x)
    chip.write(b"\x89")
    harness.raises(OSError, fetch, chip, 6)
    harness.raises(OSError, chip.write, b"\xfd")
    clock.pass_ms(1)
    harness.equal(
        fetch(chip, 8), bytes((0x0F, 0x4A, crc8(0x0F4A), 0x12, 0x34, crc8(0x1234), 255, 255))
    )


def test_unknown_commands_are_refused():
    chip, _ = powered(SHT4x)
    for bad in (b"\xf3\x2d", b"\x24\x00", b"\x30\xa2", b"\x00", b"\xfe", b"\xfd\x00", b"\x88"):
        harness.raises(OSError, chip.write, bad)
        harness.raises(OSError, fetch, chip, 3)


def test_start_and_soft_reset_take_a_moment():
    chip, clock = powered(SHT4x)
    chip.write(b"\xfd")
    chip.write(b"\x94")  # ends the measurement
    harness.raises(OSError, chip.write, b"\xfd")
    harness.raises(OSError, fetch, chip, 6)
    clock.pass_ms(1)
    harness.raises(OSError, fetch, chip, 6)
    chip.write(b"\xfd")


def test_heater_measures_and_stops_by_itself():
    chip, clock = powered(SHT4x)
    chip.environment = Fixed(20000, 50000)
    chip.write(b"\x15")
    clock.pass_ms(118)
    harness.raises(OSError, fetch, chip, 6)
    clock.pass_ms(1)
    warm = fetch(chip, 6)
    chip.write(b"\xfd")
    clock.pass_ms(9)
    assert fetch(chip, 6) < warm


def test_faults():
    chip, clock = powered(SHT4x)
    chip.fault = "stuck"
    chip.write(b"\xfd")
    clock.pass_ms(2000)
    harness.raises(OSError, fetch, chip, 6)
    chip.fault = "crc"
    got = fetch(chip, 6)
    assert got[5] != crc8(got[3] << 8 | got[4])
    chip.fault = "nack"
    harness.raises(OSError, chip.write, b"\x89")
