# heap: 48wk
# The HTU21D, Si7021 and SHT2x models alone.

import harness
from fakes import Clock
from fakes_chips import fetch
from tools.sim.chips.chip import Fixed
from tools.sim.chips.htu21d import HTU21D, SI7021, SHT2x, crc8

KINDS = (HTU21D, SI7021, SHT2x)


def powered(kind, mdeg=25000, mpct=50000):
    clock = Clock()
    chip = kind(clock)
    chip.environment = Fixed(mdeg, mpct)
    clock.pass_ms(kind.START_MS)
    return chip, clock


def ask(chip, command, size):
    chip.write(command)
    return fetch(chip, size)


def test_crc_examples_of_the_data_sheet():
    # P. 14, and the sequence on p. 11.
    for data, crc in (
        (b"\xdc", 0x79),
        (b"\x68\x3a", 0x7C),
        (b"\x4e\x85", 0x6B),
        (b"\x7c\x82", 0x97),
    ):
        harness.equal(crc8(data), crc)


def test_a_measurement_is_not_acknowledged_before_it_is_done():
    # 25 C: (25 + 46.85) / 175.72 * 2^14 = 6699 = 0x68AC >> 2; 50 %RH: 56 / 125 * 2^12 = 1835
    for kind in KINDS:
        for command, ms, word in (
            (b"\xf3", kind.MS[0][0], b"\x68\xac"),
            (b"\xf5", kind.MS[0][1], b"\x72\xb2"),
        ):
            chip, clock = powered(kind)
            chip.write(command)
            clock.pass_ms(ms - 1)
            harness.raises(OSError, fetch, chip, 3)
            harness.raises(OSError, chip.write, b"\xe7")
            clock.pass_ms(1)
            harness.equal(fetch(chip, 4), word + bytes((crc8(word), 0xFF)))
            harness.raises(OSError, fetch, chip, 3)


def test_start_and_soft_reset():
    for kind in KINDS:
        clock = Clock()
        chip = kind(clock)
        clock.pass_ms(kind.START_MS - 1)
        harness.raises(OSError, chip.write, b"\xe7")
        clock.pass_ms(1)
        user = kind.USER
        harness.equal(ask(chip, b"\xe7", 1), bytes((user,)))
        chip.write(bytes((0xE6, user | 0x85)))
        harness.equal(ask(chip, b"\xe7", 1), bytes((user | 0x85,)))
        harness.raises(OSError, chip.write, bytes((0xE6, user ^ 0x10)))  # reserved bits
        chip.write(b"\xfe")
        clock.pass_ms(14)
        harness.raises(OSError, chip.write, b"\xe7")
        clock.pass_ms(1)
        # The heater goes on, but for an Si7021.
        harness.equal(ask(chip, b"\xe7", 1)[0], user | (0 if kind is SI7021 else 4))


def test_resolution_costs_time():
    for kind in KINDS:
        for bits, t, rh in ((0x01, 12, 8), (0x80, 13, 10), (0x81, 11, 11)):
            chip, clock = powered(kind, 23450, 43210)
            chip.write(bytes((0xE6, kind.USER | bits)))
            for command, left, ms in (
                (b"\xf3", 16 - t, kind.MS[bits][0]),
                (b"\xf5", 16 - rh, kind.MS[bits][1]),
            ):
                chip.write(command)
                clock.pass_ms(ms - 1)
                harness.raises(OSError, fetch, chip, 3)
                clock.pass_ms(1)
                got = fetch(chip, 3)
                harness.equal((got[0] << 8 | got[1] & 0xFC) & (1 << left) - 1, 0)


def test_serial_numbers_and_their_crcs():
    chip, _ = powered(HTU21D)
    harness.equal(ask(chip, b"\xfc\xc9", 6), b"\x32\x11\x19HT\x04")
    got = ask(chip, b"\xfa\x0f", 8)
    for at, byte in ((0, 0x00), (2, 0xDD), (4, 0xEE), (6, 0xCE)):
        harness.equal(got[at : at + 2], bytes((byte, crc8(bytes((byte,))))))
    chip, _ = powered(SI7021)
    got = ask(chip, b"\xfc\xc9", 6)
    harness.equal(got, bytes((0x15, 0xFF, crc8(b"\x15\xff"), 255, 255, crc8(b"\x15\xff\xff\xff"))))
    harness.equal(ask(chip, b"\xfa\x0f", 4), bytes((11, crc8(b"\x0b"), 0xAD, crc8(b"\x0b\xad"))))
    chip, _ = powered(SHT2x)
    got = ask(chip, b"\xfc\xc9", 6)
    harness.equal((crc8(got[:2]), crc8(got[3:5])), (got[2], got[5]))


def test_an_si7021_keeps_the_temperature_of_a_humidity():
    chip, clock = powered(SI7021)
    harness.raises(OSError, chip.write, b"\xe0")
    chip.write(b"\xf5")
    clock.pass_ms(23)
    fetch(chip, 3)
    harness.equal(ask(chip, b"\xe0", 3), b"\x68\xac\xff")  # without a CRC
    for kind in (HTU21D, SHT2x):
        chip, clock = powered(kind)
        for other in (b"\xe0", b"\x84\xb8", b"\x11"):
            harness.raises(OSError, chip.write, other)


def test_an_htu21d_reads_less_when_it_is_warm():
    chip, clock = powered(HTU21D, 45000, 50000)  # 20 degrees more: 3 %RH less
    chip.write(b"\xf5")
    clock.pass_ms(16)
    got = fetch(chip, 2)
    assert abs(-6 + 125 * (got[0] << 8 | got[1] & 0xFC) / 65536 - 47) < 0.02


def test_unknown_commands_are_refused_and_faults():
    for kind in KINDS:
        chip, clock = powered(kind)
        for bad in (b"\x00", b"\xfc", b"\xfa", b"\xfc\xc8", b"\xff", b"\xf3\x00", b"\xe6"):
            harness.raises(OSError, chip.write, bad)
            harness.raises(OSError, fetch, chip, 3)
        chip.fault = "stuck"
        chip.write(b"\xf3")
        clock.pass_ms(2000)
        harness.raises(OSError, fetch, chip, 3)
        chip.fault = "crc"
        got = fetch(chip, 3)
        assert crc8(got[:2]) != got[2]
        chip.fault = "nack"
        harness.raises(OSError, chip.write, b"\xf3")
