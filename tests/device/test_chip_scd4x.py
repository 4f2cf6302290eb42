# heap: 56wk
# The SCD4x model alone. "DS" = datasheet version 1.7.

import harness
from fakes_chips import fetch, powered
from tools.sim.chips.chip import Fixed
from tools.sim.chips.scd4x import SCD40, SCD41, SCD43, crc8

# As the datasheet prints them: command, answer.
EXAMPLES = (
    (SCD40, b"\x36\x82", b"\xf8\x96\x31\x9f\x07\xc2\x3b\xbe\x89"),  # DS 3.10.2
    (SCD40, b"\x20\x2f", b"\x04\x40\x3f"),  # DS 3.10.6
    (SCD41, b"\x20\x2f", b"\x14\x40\x51"),
    (SCD43, b"\x20\x2f", b"\x54\x41\xe9"),
    (SCD40, b"\xe4\xb8", b"\x80\x00\xa2"),  # DS 3.9.2, not ready
)


def idle(kind, environment=None):
    chip, clock = powered(kind, environment)
    clock.pass_ms(1000)
    return chip, clock


def ask(chip, clock, command, size):
    chip.write(command)
    clock.pass_ms(1)
    return fetch(chip, size)


def refused(chip, command):
    harness.raises(OSError, chip.write, command)


def measured(chip, clock):
    # CO2 and the raw words of the last measurement.
    got = ask(chip, clock, b"\xec\x05", 9)
    words = [got[at] << 8 | got[at + 1] for at in (0, 3, 6)]
    harness.equal([got[at + 2] for at in (0, 3, 6)], [crc8(word) for word in words])
    return words


def test_the_examples_of_the_datasheet():
    harness.equal(crc8(0xBEEF), 0x92)  # DS table 40
    for kind, command, answer in EXAMPLES:
        chip, clock = idle(kind)
        harness.equal(ask(chip, clock, command, len(answer)), answer)
        harness.raises(OSError, fetch, chip, len(answer))  # once


def test_the_measurement_of_the_datasheet():
    # DS 3.6.2: 500 ppm, 25 C, 37 %RH; the first one after power-up is off.
    chip, clock = idle(SCD41, Fixed(25000, 37000, co2_ppm=500))
    for co2 in (650, 500):
        chip.write(b"\x21\x9d")
        clock.pass_ms(5000)
        harness.equal(measured(chip, clock)[0], co2)
    chip.write(b"\x21\x9d")
    clock.pass_ms(5000)
    wanted = b"\x01\xf4\x33\x66\x67\xa2\x5e\xb9\x3c"
    got = ask(chip, clock, b"\xec\x05", 9)
    # Its 25 C and 37 %RH are rounded: 0x6666 and 0x5eb8 are as near.
    assert abs(got[4] - wanted[4]) <= 1 and abs(got[7] - wanted[7]) <= 1, got
    harness.equal((got[:4], got[6]), (wanted[:4], wanted[6]))


def test_it_answers_nothing_while_it_starts():
    chip, clock = powered(SCD40)  # 5 ms ago
    clock.pass_ms(994)
    refused(chip, b"\x20\x2f")
    clock.pass_ms(1)
    chip.write(b"\x20\x2f")


def test_an_answer_takes_a_millisecond_or_forty_read_headers():
    chip, clock = idle(SCD40)
    chip.write(b"\x20\x2f")
    refused(chip, b"\x36\x82")  # no command while one is executed
    for _ in range(40):
        harness.raises(OSError, fetch, chip, 3)
    harness.equal(fetch(chip, 3), b"\x04\x40\x3f")
    chip.write(b"\x36\x82")
    harness.raises(OSError, fetch, chip, 9)
    clock.pass_ms(1)
    harness.equal(len(fetch(chip, 9)), 9)


def test_measuring_it_takes_four_commands():
    chip, clock = idle(SCD40, Fixed(25000, 50000))
    chip.write(b"\x21\xb1")
    for command in (b"\x20\x2f", b"\x36\x82", b"\x36\x46", b"\x21\xb1", b"\x21\xac", b"\x23\x18"):
        refused(chip, command)
    refused(chip, b"\x24\x1d\x07\xe6\x48")
    harness.equal(ask(chip, clock, b"\xe4\xb8", 3), b"\x80\x00\xa2")
    chip.write(b"\xec\x05")
    clock.pass_ms(1)
    harness.raises(OSError, fetch, chip, 9)  # nothing there yet
    harness.equal(ask(chip, clock, b"\xe0\x00", 3)[:2], b"\x03\xf5")
    chip.write(b"\xe0\x00\x03\xdb\x42")
    clock.pass_ms(1)
    harness.equal(ask(chip, clock, b"\xe0\x00", 3), b"\x03\xdb\x42")  # DS 3.7.6
    clock.pass_ms(5000)
    harness.equal(ask(chip, clock, b"\xe4\xb8", 3)[1], 6)
    harness.equal(measured(chip, clock)[0], 750)
    harness.equal(ask(chip, clock, b"\xe4\xb8", 3), b"\x80\x00\xa2")  # read once
    chip.environment.c = 900
    clock.pass_ms(30000)
    harness.equal(measured(chip, clock)[0], 900)  # the newest
    chip.write(b"\x3f\x86")
    clock.pass_ms(499)
    refused(chip, b"\x20\x2f")
    clock.pass_ms(1)
    chip.write(b"\x20\x2f")
    clock.pass_ms(1)
    refused(chip, b"\x3f\x86")  # nothing to stop


def test_low_power_takes_thirty_seconds():
    chip, clock = idle(SCD40)
    chip.write(b"\x21\xac")
    clock.pass_ms(29999)
    harness.equal(ask(chip, clock, b"\xe4\xb8", 3)[1], 0)
    harness.equal(ask(chip, clock, b"\xe4\xb8", 3)[1], 6)


def test_single_shots_are_for_the_others():
    chip, clock = idle(SCD40)
    for command in (b"\x21\x9d", b"\x21\x96", b"\x36\xe0"):
        refused(chip, command)
    for kind in (SCD41, SCD43):
        chip, clock = idle(kind, Fixed(25000, 50000, co2_ppm=700))
        chip.write(b"\x21\x9d")
        clock.pass_ms(4999)
        refused(chip, b"\xe4\xb8")
        harness.raises(OSError, fetch, chip, 9)
        clock.pass_ms(1)
        harness.equal(ask(chip, clock, b"\xe4\xb8", 3)[1], 6)
        harness.equal(measured(chip, clock)[0], 850)
        chip.write(b"\x21\x96")
        clock.pass_ms(50)
        harness.equal(measured(chip, clock)[0], 0)


def test_it_sleeps_until_it_is_woken():
    chip, clock = idle(SCD41)
    chip.write(b"\x36\xe0")
    refused(chip, b"\x20\x2f")
    refused(chip, b"\x36\xf6")  # which it does not acknowledge, DS 3.11.4
    refused(chip, b"\x20\x2f")
    clock.pass_ms(30)
    chip.write(b"\x20\x2f")


def test_settings_last_as_long_as_the_power_or_are_kept():
    chip, clock = idle(SCD41, Fixed(25000, 50000))
    harness.equal(ask(chip, clock, b"\x23\x18", 3)[:2], bytes((1498 >> 8, 1498 & 0xFF)))  # 4 C
    refused(chip, b"\x24\x1d\x07\xe6\x49")  # CRC
    refused(chip, b"\x24\x1d")
    chip.write(b"\x24\x1d\x07\xe6\x48")  # DS 3.7.1, 5.4 C
    clock.pass_ms(1)
    harness.equal(ask(chip, clock, b"\x23\x18", 3), b"\x07\xe6\x48")
    chip.write(b"\x21\x9d")
    clock.pass_ms(5000)
    t = measured(chip, clock)[1]
    assert abs(t * 175 / 65535 - 45 - 23.6) < 0.01, t
    chip.write(b"\x36\x46")
    clock.pass_ms(29)
    refused(chip, b"\x23\x18")
    clock.pass_ms(1)
    harness.equal(ask(chip, clock, b"\x23\x18", 3)[:2], b"\x05\xda")
    chip.write(b"\x24\x1d\x07\xe6\x48")
    clock.pass_ms(1)
    chip.write(b"\x36\x15")
    clock.pass_ms(800)
    chip.power_on()
    clock.pass_ms(1000)
    harness.equal(ask(chip, clock, b"\x23\x18", 3), b"\x07\xe6\x48")


def test_unknown_commands_are_refused():
    chip, clock = idle(SCD41)
    for bad in (b"\x12\x34", b"\x20", b"", b"\x20\x2f\x00", b"\x36\x39", b"\x36\x32", b"\x36\xf6"):
        refused(chip, bad)
    harness.raises(OSError, fetch, chip, 3)


def test_faults():
    chip, clock = idle(SCD40)
    chip.fault = "crc"
    assert ask(chip, clock, b"\x20\x2f", 3)[2] != 0x3F
    chip.fault = "nack"
    refused(chip, b"\x20\x2f")
    chip.fault = "stuck"
    chip.write(b"\x21\xb1")
    clock.pass_ms(60000)
    harness.equal(ask(chip, clock, b"\xe4\xb8", 3), b"\x80\x00\xa2")
    chip, clock = idle(SCD41)
    chip.write(b"\x21\x9d")
    chip.fault = "stuck"
    clock.pass_ms(60000)
    refused(chip, b"\xe4\xb8")
    chip.fault = None
    harness.equal(ask(chip, clock, b"\xe4\xb8", 3)[1], 6)
