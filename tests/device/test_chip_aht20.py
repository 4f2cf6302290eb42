# The AHT20 and AHT10 models alone.

import harness
from fakes import Clock
from fakes_chips import fetch
from tools.sim.chips.aht20 import AHT10, AHT20, crc8
from tools.sim.chips.chip import Fixed

MEASURE = b"\xac\x33\x00"


def powered(kind):
    clock = Clock()
    chip = kind(clock)
    chip.environment = Fixed(25000, 50000)
    clock.pass_ms(chip.START_MS)
    return chip, clock


def test_crc_of_an_answer_seen_from_a_chip():
    # Status 0x1C, 15.08 %RH, 28.27 C: seven bytes in the wiki of elixir-sensors/aht20.
    harness.equal(crc8(bytes((28, 38, 154, 118, 66, 231))), 118)


def test_nothing_is_acknowledged_while_it_starts():
    for kind in (AHT20, AHT10):
        chip, clock = powered(kind)
        for reset in (False, True):
            if reset:
                chip.write(b"\xba")
            else:
                chip.power_on()
            clock.pass_ms((20 if reset else kind.START_MS) - 1)
            harness.raises(OSError, fetch, chip, 1)
            harness.raises(OSError, chip.write, MEASURE)
            clock.pass_ms(1)
            fetch(chip, 1)


def test_aht20_measures_with_a_crc():
    chip, clock = powered(AHT20)
    harness.equal(fetch(chip, 7), b"\x1c\x80\x00\x08\x00\x00\xff")
    chip.write(MEASURE)
    clock.pass_ms(79)
    harness.equal(fetch(chip, 2), b"\x9c\x80")
    harness.raises(OSError, chip.write, MEASURE)
    clock.pass_ms(1)
    # 50 %RH: 0x80000; 25 C: 75/200 * 2^20 = 0x60000
    answer = b"\x1c\x80\x00\x06\x00\x00"
    harness.equal(fetch(chip, 8), answer + bytes((crc8(answer), 0xFF)))
    harness.equal(fetch(chip, 6), answer)  # it stays
    chip.write(b"\xba")
    clock.pass_ms(20)
    harness.equal(fetch(chip, 7), b"\x1c\x80\x00\x08\x00\x00\xff")


def test_aht10_is_right_after_its_initialisation_only():
    chip, clock = powered(AHT10)
    harness.equal(fetch(chip, 7), b"\x11\0\0\0\0\0\xff")
    chip.write(MEASURE)
    clock.pass_ms(80)
    harness.equal(fetch(chip, 7), b"\x11\x40\x00\x03\x00\x00\xff")  # half of all
    chip.write(b"\xe1\x08\x00")
    clock.pass_ms(9)
    harness.equal(fetch(chip, 1), b"\x91")
    clock.pass_ms(1)
    harness.equal(fetch(chip, 1), b"\x19")
    chip.write(MEASURE)
    clock.pass_ms(80)
    harness.equal(fetch(chip, 7), b"\x19\x80\x00\x06\x00\x00\xff")


def test_aht10_in_another_mode_takes_no_trigger():
    chip, clock = powered(AHT10)
    chip.write(b"\xe1\x28\x00")
    clock.pass_ms(10)
    harness.equal(fetch(chip, 1), b"\x39")
    harness.raises(OSError, chip.write, MEASURE)
    chip.write(b"\xe1\x08\x00")
    clock.pass_ms(10)
    chip.write(MEASURE)


def test_other_commands_are_refused():
    both = (b"\x71", b"\xac", b"\xac\x33", b"\xac\x00\x00", b"\xfd", b"\xb1\x08\x00", b"\x00")
    for kind, other in ((AHT20, AHT10.INIT), (AHT10, AHT20.INIT)):
        chip, _ = powered(kind)
        for bad in both + (other,):
            harness.raises(OSError, chip.write, bad)


def test_faults():
    for kind in (AHT20, AHT10):
        chip, clock = powered(kind)
        chip.write(kind.INIT)
        clock.pass_ms(10)
        chip.fault = "stuck"
        chip.write(MEASURE)
        clock.pass_ms(5000)
        assert fetch(chip, 1)[0] & 0x80
        chip.fault = "crc"
        first, second = fetch(chip, 7), fetch(chip, 7)
        if kind is AHT20:
            assert crc8(first[:6]) != first[6]
        assert kind is AHT20 or first != second
        chip.fault = "nack"
        harness.raises(OSError, fetch, chip, 1)
