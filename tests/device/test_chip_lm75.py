# The models of the LM75 class alone: LM75A, LM75B, TMP102.

import harness
from fakes_chips import powered, read
from tools.sim.chips.chip import Fixed
from tools.sim.chips.lm75 import LM75A, LM75B, TMP102


def start(kind, mdeg=20000):
    return powered(kind, Fixed(mdeg))


def test_power_on_values():
    for kind, config in ((LM75A, b"\x00\xff"), (LM75B, b"\x00\xff"), (TMP102, b"\x60\xa0")):
        chip, _ = start(kind)
        harness.equal(read(chip, 0, 2), b"\x00\x00")
        harness.equal(read(chip, 1, 2), config)
        harness.equal(read(chip, 2, 2), b"\x4b\x00")
        harness.equal(read(chip, 3, 2), b"\x50\x00")


def test_beyond_the_fourth_register_they_differ():
    chip, _ = start(LM75A)
    harness.equal(read(chip, 7, 1), b"\xa1")
    for reg in (4, 5, 6):
        harness.equal(read(chip, reg, 2), b"\xff\xff")
    harness.equal(read(chip, 11, 2), b"\x50\x00")
    for kind in (LM75B, TMP102):
        chip, _ = start(kind)
        harness.equal(read(chip, 7, 2), b"\x50\x00")


def test_temperatures_by_resolution():
    for kind, mdeg, word in (
        (LM75A, 125000, b"\x7d\x00"),  # LM75A: 0FAh
        (LM75A, 500, b"\x00\x80"),
        (LM75A, -500, b"\xff\x80"),
        (LM75A, -55000, b"\xc9\x00"),  # 192h
        (LM75A, 20200, b"\x14\x00"),
        (LM75B, 127000, b"\x7f\x00"),  # LM75B table 10
        (LM75B, 126875, b"\x7e\xe0"),
        (LM75B, 25000, b"\x19\x00"),
        (LM75B, -125, b"\xff\xe0"),
        (LM75B, -54875, b"\xc9\x20"),
        (TMP102, 150000, b"\x7f\xf0"),  # TMP102 table 6-2: no more than 7FFh
        (TMP102, 250, b"\x00\x40"),
        (TMP102, -250, b"\xff\xc0"),
        (TMP102, -55000, b"\xc9\x00"),
    ):
        chip, clock = start(kind, mdeg)
        clock.pass_ms(300)
        harness.equal(read(chip, 0, 2), word)


def test_limits_have_nine_or_twelve_bits():
    for kind, kept in ((LM75A, b"\x4a\x80"), (LM75B, b"\x4a\x80"), (TMP102, b"\x4a\xf0")):
        chip, _ = start(kind)
        for reg in (2, 3):
            chip.write(bytes((reg,)) + b"\x4a\xff")
            harness.equal(read(chip, reg, 2), kept)
        chip.write(b"\x00\x12\x34")  # read-only
        harness.equal(read(chip, 0, 2), b"\x00\x00")


def test_an_lm75a_that_is_read_too_often_measures_nothing():
    chip, clock = start(LM75A)
    chip.write(b"\x00")
    for _ in range(10):
        clock.pass_ms(299)
        harness.equal(read(chip, 0, 2), b"\x00\x00")
    clock.pass_ms(300)
    harness.equal(read(chip, 0, 2), b"\x14\x00")


def test_an_lm75b_does_not_mind():
    chip, clock = start(LM75B)
    clock.pass_ms(94)
    harness.equal(read(chip, 0, 2), b"\x00\x00")
    clock.pass_ms(1)
    harness.equal(read(chip, 0, 2), b"\x14\x00")


def test_shutdown():
    chip, clock = start(LM75B)
    clock.pass_ms(100)
    chip.write(b"\x01\xff")
    harness.equal(read(chip, 1, 1), b"\x1f")  # the reserved bits stay 0
    chip.environment.t = 30000
    clock.pass_ms(10000)
    harness.equal(read(chip, 0, 2), b"\x14\x00")
    chip.write(b"\x01\x00")
    clock.pass_ms(99)
    harness.equal(read(chip, 0, 2), b"\x14\x00")
    clock.pass_ms(1)
    harness.equal(read(chip, 0, 2), b"\x1e\x00")


def test_tmp102_one_shot():
    chip, clock = start(TMP102)
    clock.pass_ms(40)
    chip.write(b"\x01\x61\xa0")
    harness.equal(read(chip, 1, 2), b"\xe1\xa0")
    chip.environment.t = 30000
    clock.pass_ms(1000)
    harness.equal(read(chip, 0, 2), b"\x14\x00")
    chip.write(b"\x01\xe1\xa0")
    clock.pass_ms(34)
    harness.equal(read(chip, 1, 2), b"\x61\xa0")
    clock.pass_ms(1)
    harness.equal(read(chip, 1, 2), b"\xe1\xa0")
    harness.equal(read(chip, 0, 2), b"\x1e\x00")


def test_tmp102_takes_no_shot_while_it_is_not_shut_down():
    chip, clock = start(TMP102)
    clock.pass_ms(40)  # the next conversion begins at 250
    harness.equal(read(chip, 0, 2), b"\x14\x00")
    chip.environment.t = 30000
    chip.write(b"\x01\xe1\xa0")
    clock.pass_ms(1000)
    harness.equal(read(chip, 0, 2), b"\x14\x00")


def test_tmp102_ends_its_conversion_before_it_is_shut_down():
    chip, clock = start(TMP102)
    chip.write(b"\x01\x61\xa0")
    harness.equal(read(chip, 1, 2), b"\x61\xa0")
    clock.pass_ms(30)
    harness.equal(read(chip, 1, 2), b"\xe1\xa0")
    harness.equal(read(chip, 0, 2), b"\x14\x00")


def test_tmp102_converts_at_its_rate():
    chip, clock = start(TMP102)
    chip.write(b"\x01\x60\x40")  # 1 Hz
    clock.pass_ms(30)
    harness.equal(read(chip, 0, 2), b"\x14\x00")
    for mdeg, ms in ((30000, 1000), (40000, 1000), (50000, 3600000)):
        chip.environment.t = mdeg
        clock.pass_ms(ms - 1)
        early = read(chip, 0, 2)
        clock.pass_ms(1)
        harness.equal(read(chip, 0, 2)[0], mdeg // 1000)
        assert early[0] < mdeg // 1000 or ms > 1000


def test_tmp102_alert():
    chip, clock = start(TMP102, 85000)
    for mdeg, alert in ((79000, 0x20), (80000, 0), (76000, 0), (74000, 0x20)):
        chip.environment.t = mdeg
        clock.pass_ms(250)
        harness.equal(read(chip, 1, 2)[1] & 0x20, alert)
        chip.write(b"\x01\x64\xa0")  # the other polarity
        harness.equal(read(chip, 1, 2)[1] & 0x20, 0x20 - alert)
        chip.write(b"\x01\x60\xa0")


def test_tmp102_extended():
    chip, clock = start(TMP102, 25000)
    clock.pass_ms(250)
    chip.write(b"\x01\x60\xb0")
    harness.equal(read(chip, 0, 2), b"\x19\x01")  # said at once, done with the next conversion
    clock.pass_ms(250)
    harness.equal(read(chip, 0, 2), b"\x0c\x81")  # 190h in 13 bits
    chip.environment.t = 150000
    clock.pass_ms(250)
    harness.equal(read(chip, 0, 2), b"\x4b\x01")  # 960h


def test_faults():
    for kind in (LM75A, LM75B, TMP102):
        chip, clock = start(kind)
        chip.fault = "stuck"
        clock.pass_ms(1000)
        harness.equal(read(chip, 0, 2), b"\x00\x00")
        chip.fault = "crc"
        harness.equal(read(chip, 3, 2), b"\xff\xff")
        chip.fault = "nack"
        harness.raises(OSError, chip.write, b"\x00")
