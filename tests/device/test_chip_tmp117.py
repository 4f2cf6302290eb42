# The TMP117 model alone.

import harness
from fakes_chips import powered, read
from tools.sim.chips.chip import Fixed
from tools.sim.chips.tmp117 import TMP117


def start(mdeg=20000):
    return powered(TMP117, Fixed(mdeg))


def test_power_on_values():
    chip, _ = start()
    harness.equal(read(chip, 0, 2), b"\x80\x00")  # -256 C until the first conversion is done
    harness.equal(read(chip, 1, 2), b"\x02\x20")
    harness.equal(read(chip, 2, 2), b"\x60\x00")
    harness.equal(read(chip, 3, 2), b"\x80\x00")
    harness.equal(read(chip, 4, 2), b"\x00\x00")
    harness.equal(read(chip, 7, 2), b"\x00\x00")
    harness.equal(read(chip, 15, 2), b"\x01\x17")


def test_busy_while_starting_it_reads_but_ignores_writes():
    chip, clock = start()
    chip.power_on()
    harness.equal(read(chip, 1, 2), b"\x12\x20")
    harness.equal(read(chip, 4, 2), b"\x40\x00")
    chip.write(b"\x01\x04\x20")
    clock.pass_ms(2)
    harness.equal(read(chip, 1, 2), b"\x02\x20")


def test_the_table_of_the_datasheet():
    for mdeg, word in (  # table 7-1
        (-25000, b"\xf3\x80"),
        (-125, b"\xff\xf0"),
        (0, b"\x00\x00"),
        (125, b"\x00\x10"),
        (1000, b"\x00\x80"),
        (25000, b"\x0c\x80"),
        (100000, b"\x32\x00"),
    ):
        chip, clock = start(mdeg)
        clock.pass_ms(200)
        harness.equal(read(chip, 0, 2), word)


def test_one_shot_then_shutdown():
    chip, clock = start()
    chip.write(b"\x01\x0c\x20")  # the mean of eight
    clock.pass_ms(139)
    harness.equal(read(chip, 1, 2), b"\x0c\x20")
    clock.pass_ms(1)
    harness.equal(read(chip, 1, 2), b"\x24\x20")
    harness.equal(read(chip, 1, 2), b"\x04\x20")  # data ready is cleared by reading
    chip.environment.t = 30000
    clock.pass_ms(60000)
    harness.equal(read(chip, 0, 2), b"\x0a\x00")
    chip.write(b"\x01\x0c\x00")  # without averaging
    clock.pass_ms(18)
    harness.equal(read(chip, 0, 2), b"\x0f\x00")
    harness.equal(read(chip, 1, 2), b"\x04\x00")  # also by reading the temperature


def test_shutdown_ends_a_conversion():
    chip, clock = start()
    chip.write(b"\x01\x0c\x20")
    clock.pass_ms(100)
    chip.write(b"\x01\x04\x20")
    clock.pass_ms(1000)
    harness.equal(read(chip, 0, 2), b"\x80\x00")


def test_continuous_by_conversion_cycle():
    chip, clock = start()  # 3 ms since it began, one second each, the mean of eight
    clock.pass_ms(137)
    harness.equal(read(chip, 1, 2), b"\x22\x20")
    chip.environment.t = 30000
    clock.pass_ms(999)
    harness.equal(read(chip, 0, 2), b"\x0a\x00")
    clock.pass_ms(1)
    harness.equal(read(chip, 0, 2), b"\x0f\x00")
    chip.write(b"\x01\x08\x00")  # 10 is 00 and reads back so; 15.5 ms, no averaging
    harness.equal(read(chip, 1, 2), b"\x00\x00")
    clock.pass_ms(18)
    harness.equal(read(chip, 1, 2), b"\x20\x00")


def test_alerts():
    for mdeg, config in ((30000, 0xA4), (10000, 0x64), (20000, 0x24)):
        chip, clock = start(mdeg)
        chip.write(b"\x02\x0c\x80")  # above 25 C
        chip.write(b"\x03\x07\x80")  # below 15 C
        chip.write(b"\x01\x0c\x00")
        clock.pass_ms(18)
        harness.equal(read(chip, 1, 2)[0], config)
        harness.equal(read(chip, 1, 2)[0], 0x04)


def test_therm_mode_keeps_its_alert():
    chip, clock = start(30000)
    chip.write(b"\x02\x0c\x80")
    chip.write(b"\x03\x07\x80")
    for mdeg, high in ((30000, 0x80), (20000, 0x80), (10000, 0)):
        chip.environment.t = mdeg
        chip.write(b"\x01\x0c\x10")
        clock.pass_ms(18)
        for _ in range(2):
            harness.equal(read(chip, 1, 2)[0] & 0xC0, high)


def test_offset_is_added_and_clamped():
    chip, clock = start(20000)
    for offset, word in ((b"\x00\x80", b"\x0a\x80"), (b"\x7f\xff", b"\x7f\xff")):
        chip.write(b"\x07" + offset)
        chip.write(b"\x01\x0c\x00")
        clock.pass_ms(18)
        harness.equal(read(chip, 0, 2), word)


def test_soft_reset_loads_the_eeprom():
    chip, clock = start()
    chip.write(b"\x04\x80\x00")
    chip.write(b"\x01\x04\x20")  # starts shut down from now on
    harness.equal(read(chip, 4, 2), b"\xc0\x00")
    chip.write(b"\x02\x00\x00")  # lost: busy
    clock.pass_ms(7)
    chip.write(b"\x01\x00\x02")
    harness.equal(read(chip, 1, 2), b"\x14\x20")
    clock.pass_ms(2)
    harness.equal(read(chip, 4, 2), b"\x00\x00")  # locked again
    harness.equal(read(chip, 2, 2), b"\x60\x00")
    clock.pass_ms(1000)
    harness.equal(read(chip, 0, 2), b"\x80\x00")
    harness.equal(chip.programmed, 1)


def test_faults():
    chip, clock = start()
    chip.fault = "crc"
    harness.equal(read(chip, 15, 2), b"\xff\xff")
    chip.fault = "nack"
    harness.raises(OSError, chip.write, b"\x00")
    chip.fault = "stuck"
    chip.write(b"\x01\x0c\x20")
    clock.pass_ms(1000)
    harness.equal(read(chip, 1, 2), b"\x0c\x20")
