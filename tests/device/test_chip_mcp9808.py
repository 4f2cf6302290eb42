# The MCP9808 model alone.

import harness
from fakes_chips import powered, read
from tools.sim.chips.chip import Fixed
from tools.sim.chips.mcp9808 import MCP9808


def start(mdeg):
    return powered(MCP9808, Fixed(mdeg))


def test_power_on_values():
    chip, _ = start(20000)
    harness.equal(read(chip, 6, 2), b"\x00\x54")
    harness.equal(read(chip, 7, 2), b"\x04\x00")
    harness.equal(read(chip, 8, 1), b"\x03")
    harness.equal(read(chip, 0, 2), b"\x00\x1f")
    for reg in (1, 2, 3, 4):
        harness.equal(read(chip, reg, 2), b"\x00\x00")


def test_ambient_is_zero_until_the_first_conversion():
    chip, clock = start(25250)
    harness.equal(read(chip, 5, 2), b"\x80\x00")  # 0 C, at or above the critical limit of 0 C
    clock.pass_ms(250)
    harness.equal(read(chip, 5, 2), b"\xc1\x94")  # 25.25 C = 0x194, above upper and critical


def test_negative_is_thirteen_bits_twos_complement():
    chip, clock = start(-250)
    clock.pass_ms(250)
    harness.equal(read(chip, 5, 2), b"\x3f\xfc")  # -0.25 C = -4/16, below the lower limit


def test_resolution_changes_step_and_time():
    chip, clock = start(20300)
    chip.write(b"\x08\x00")
    clock.pass_ms(26)  # 31 since power-on: after 30 ms, the next one is due at 60
    harness.equal(read(chip, 5, 2), b"\xc1\x48")  # 20.5 C: steps of half a degree
    chip.environment.t = 30000
    clock.pass_ms(28)
    harness.equal(read(chip, 5, 2), b"\xc1\x48")
    clock.pass_ms(1)
    harness.equal(read(chip, 5, 2), b"\xc1\xe0")


def test_shutdown_keeps_the_last_value():
    chip, clock = start(20000)
    clock.pass_ms(300)
    chip.write(b"\x01\x01\x00")
    chip.environment.t = 30000
    clock.pass_ms(1000)
    harness.equal(read(chip, 5, 2)[1], 0x40)
    chip.write(b"\x01\x00\x00")
    clock.pass_ms(249)
    harness.equal(read(chip, 5, 2)[1], 0x40)
    clock.pass_ms(1)
    harness.equal(read(chip, 5, 2)[1], 0xE0)


def test_limits_set_the_flags():
    chip, clock = start(50000)
    for reg, limit in ((2, b"\x02\x80"), (3, b"\x00\xa0"), (4, b"\x04\xb0")):  # 40, 10, 75 C
        chip.write(bytes((reg,)) + limit)
    for mdeg, flags in ((5000, 1), (10000, 0), (40000, 0), (41000, 2), (75000, 6)):
        chip.environment.t = mdeg
        clock.pass_ms(250)
        harness.equal(read(chip, 5, 2)[0] >> 5, flags)


def test_limits_can_be_locked():
    chip, _ = start(20000)
    chip.write(b"\x02\x05\x57")
    harness.equal(read(chip, 2, 2), b"\x05\x54")  # bits 1 and 0 do not exist
    chip.write(b"\x01\x00\x40")
    chip.write(b"\x02\x00\x00")
    harness.equal(read(chip, 2, 2), b"\x05\x54")
    chip.write(b"\x01\x00\x00")
    harness.equal(read(chip, 1, 2), b"\x00\x40")
    chip.power_on()
    chip._clock.pass_ms(5)
    harness.equal(read(chip, 1, 2), b"\x00\x00")
