# heap: 56wk
# Which driver fits: by id, not by address alone.

import sys

import firmware.drivers
import harness
from fakes_bus import Registers, Triggered, Words
from firmware import loading
from firmware.core import schema
from firmware.core.errors import SensorError
from firmware.drivers import ROWS, find

loading.keep()


class Bus:
    # One set of registers an address; an address with None does not answer.
    def __init__(self, **chips):
        self.chips = {int(at[1:], 16): chip for at, chip in chips.items()}

    def scan(self):
        return sorted(self.chips)

    def at(self, addr):
        if self.chips.get(addr) is None:
            raise OSError(19)
        return self.chips[addr]

    def writeto(self, addr, buf):
        self.at(addr).writeto(addr, buf)

    def readfrom_into(self, addr, buf):
        self.at(addr).readfrom_into(addr, buf)

    def writeto_mem(self, addr, reg, buf):
        self.at(addr).writeto_mem(addr, reg, buf)

    def readfrom_mem_into(self, addr, reg, buf):
        self.at(addr).readfrom_mem_into(addr, reg, buf)


def bosch(chip_id):
    chip = Registers(bytes(range(1, 27)), 0x88)
    chip.regs[0xD0] = chip_id
    chip.regs[0xE1] = 1
    return chip


def sht3x():
    chip = Registers()
    chip.plain = b"\x00\x00\x81"
    return chip


def sht4x():
    chip = Registers()
    chip.plain = b"\x00\x00\x81\xbe\xef\x92"
    return chip


def htu21d(number):
    chip = Registers()
    chip.regs[0xE7] = 0x02
    chip.plain = number
    return chip


def aht(crc):
    chip = Triggered()
    chip.plain = bytes((28, 38, 154, 118, 66, 231)) + crc
    return chip


def mcp9808():
    # Both ids lie in the byte-wide registers so that each two-byte read finds its own.
    chip = Registers(b"\x00\x54", 0x06)
    plain = chip.readfrom_mem_into

    def read(addr, reg, buf):
        plain(addr, reg, buf)
        if reg == 0x07:
            buf[0] = 0x04

    chip.readfrom_mem_into = read
    return chip


def tmp117():
    return Registers(b"\x01\x17", 0x0F)  # register 4 stays 0: EEPROM locked, not busy


class HDC1080(Registers):
    # Its ids; 0xFF where it has no register.
    def readfrom_mem_into(self, addr, reg, buf):
        word = {0xFE: b"\x54\x49", 0xFF: b"\x10\x50"}.get(reg, b"\xff\xff")
        for i in range(len(buf)):
            buf[i] = word[i]


class LM75(Words):
    def __init__(self, config=0):
        self.regs = [0, config, 0x4B00, 0x5000] + [0] * 12

    def writeto_mem(self, addr, reg, buf):
        super().writeto_mem(addr, reg, buf)
        self.regs[2] &= 0xFF80


def scd4x(variant):
    # Every answer is its variant; three words of it make a serial number.
    chip = Registers()
    chip.plain = variant * 3
    return chip


MAKE = {
    "bme280": lambda: bosch(0x60),
    "bmp280": lambda: bosch(0x58),
    "sht3x": sht3x,
    "sht4x": sht4x,
    "htu21d": lambda: htu21d(b"\x32\x11\x19HT\x04"),
    "si7021": lambda: htu21d(b"\x15\xff\xb5\xff\xff\xcb"),
    "sht2x": lambda: htu21d(b"\x31\x07\xd1\x82\x3c\x42"),
    "mcp9808": mcp9808,
    "tmp117": tmp117,
    "hdc1080": HDC1080,
    "lm75": LM75,
    "tmp102": lambda: LM75(0x60A0),
    "scd40": lambda: scd4x(b"\x04\x40\x3f"),
    "scd41": lambda: scd4x(b"\x14\x40\x51"),
    "scd43": lambda: scd4x(b"\x54\x41\xe9"),
    "aht20": lambda: aht(b"\x76"),
    "aht10": lambda: aht(b""),
}


def label(bus, wanted):
    driver, text = find(bus, wanted)
    loading.unload()
    assert driver.MEASURE_MS > 0
    harness.equal(set(driver.values), {None})
    return text


def refused(bus, wanted):
    return str(harness.raises(SensorError, find, bus, wanted))


def test_auto_knows_every_chip_at_every_address():
    for row in ROWS.strip().split("\n"):
        _, places, *chips = row.split()
        for name in chips:
            for at in places.split(","):
                bus = Bus(**{"x" + at: MAKE[name]()})
                harness.equal(label(bus, "auto"), "{}@0x{}".format(name, at))


def test_an_exact_sensor_is_found_beside_others():
    both = Bus(x76=bosch(0x60), x77=bosch(0x58), x44=sht3x())
    harness.equal(label(both, "bmp280"), "bmp280@0x77")
    harness.equal(label(both, "bme280@0x76"), "bme280@0x76")
    harness.equal(label(both, "sht3x"), "sht3x@0x44")
    harness.equal(label(Bus(x1a=mcp9808()), "mcp9808@0x1A"), "mcp9808@0x1a")
    harness.equal(label(Bus(x48=tmp117(), x49=LM75()), "lm75"), "lm75@0x49")


def test_error_names_what_was_found_instead():
    text = refused(Bus(x76=bosch(0x58), x44=sht3x()), "bme280")
    harness.equal(text, "no bme280 found; on the bus: 0x44, bmp280@0x76")
    text = refused(Bus(x77=bosch(0x60)), "bme280@0x76")
    harness.equal(text, "no bme280@0x76 found; on the bus: 0x77")
    harness.equal(refused(Bus(), "auto"), "no known sensor found; on the bus: nothing")


def test_wrong_id_at_the_right_address_is_not_taken():
    bus = Bus(x18=Registers(), x3c=Registers(), x44=Registers(b"\xff" * 256), x76=bosch(0x61))
    bus.chips[0x44].plain = b"\xff\xff\xff"
    text = refused(bus, "auto")
    harness.equal(text, "no known sensor found; on the bus: 0x18, 0x3c, 0x44, 0x76")


def test_a_chip_that_does_not_answer_does_not_hide_the_next():
    bus = Bus(x44=None, x76=bosch(0x60))
    harness.equal(label(bus, "auto"), "bme280@0x76")
    text = refused(bus, "sht3x")
    harness.equal(text, "no sht3x found; on the bus: 0x44 (bus: errno 19), 0x76")


def test_every_name_that_a_setting_may_have_is_known_here():
    known = [chip for row in ROWS.strip().split("\n") for chip in row.split()[2:]]
    harness.equal(sorted(known), sorted(schema.SENSORS.split()))
    text = refused(Bus(x44=sht3x()), "dht22")  # which no setting may be
    harness.equal(text, "no dht22 found; on the bus: 0x44")


loading.keep()


class Shorted(Bus):
    # Every address answers, with nothing but zeros; `chips` have registers of their own.
    def __init__(self, chips, addresses=range(8, 120)):
        self.chips, self.addresses = chips, addresses

    def scan(self):
        return self.addresses

    def at(self, addr):
        zeros = Registers()
        zeros.plain = bytes(32)
        return self.chips.get(addr) or zeros


def test_a_bus_on_which_all_answer_is_a_fault():
    # Though one of them looks like a sensor: SDA is held low, or floats.
    wanted = "bus: 112 addresses answer; SDA or SCL shorted, or no pull-ups"
    for chips in ({}, {0x77: bosch(0x60)}):
        for name in ("auto", "sht3x", "bme280@0x77"):
            harness.equal(refused(Shorted(chips), name), wanted)


def test_of_many_chips_the_first_eight_are_named():
    text = refused(Shorted({}, range(0x50, 0x60)), "sht3x")
    assert text.endswith(", 0x57 and 8 more"), text
    harness.equal(text.count("0x"), 8)


def test_and_the_sensor_is_found_beyond_the_eighth():
    chip, addresses = bosch(0x60), range(0x60, 0x78)
    driver, label = find(Shorted({0x77: chip}, addresses), "auto")
    harness.equal(label, "bme280@0x77")
    # What only the set-up needs does not stay with the driver.
    assert not hasattr(sys.modules["firmware.drivers.bme280"], "probe")
    loading.unload()
    harness.equal(find(Shorted({0x77: chip}, addresses), "bme280")[1], label)
    loading.unload()


def test_a_driver_that_was_not_staged_is_named():
    few = Shorted({}, [0x44, 0x76])
    loading.unload()
    kept, firmware.drivers.__path__ = firmware.drivers.__path__, "nowhere"
    try:
        text = refused(few, "auto")
    finally:
        firmware.drivers.__path__ = kept
    what = "no known sensor found; on the bus: 0x44 ({}), 0x76 (no driver bme280 on this board)"
    both = "no driver sht4x on this board; no driver sht3x on this board"
    harness.equal(text, what.format(both))
    harness.equal(refused(few, "auto"), "no known sensor found; on the bus: 0x44, 0x76")
