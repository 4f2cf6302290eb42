# What a search says of a bus on which all addresses answer, and of drivers that were not staged.

import sys

import firmware.drivers
import harness
from fakes_registers import Registers
from firmware import loading
from firmware.core.errors import SensorError
from firmware.drivers import find

loading.keep()


class Shorted:
    # Every address answers, with nothing but zeros; `chips` have registers of their own.
    def __init__(self, chips):
        self.chips = chips

    def scan(self):
        return range(8, 120)

    def at(self, addr):
        return self.chips.get(addr) or Registers()

    def writeto(self, addr, buf):
        pass

    def readfrom_into(self, addr, buf):
        for i in range(len(buf)):
            buf[i] = 0

    def writeto_mem(self, addr, reg, buf):
        pass

    def readfrom_mem_into(self, addr, reg, buf):
        self.at(addr).readfrom_mem_into(addr, reg, buf)


class Few(Shorted):
    def scan(self):
        return [0x44, 0x76]


def refused(bus, wanted):
    return str(harness.raises(SensorError, find, bus, wanted))


def test_a_bus_on_which_all_answer_makes_a_short_message():
    for wanted in ("auto", "sht3x"):
        text = refused(Shorted({}), wanted)
        assert text.endswith(", 0x0f and 104 more"), text
        harness.equal(text.count("0x"), 8)


def test_and_the_sensor_is_found_beyond_the_eighth():
    chip = Registers(bytes(range(1, 27)), 0x88)
    chip.regs[0xD0] = 0x60
    chip.regs[0xE1] = 1
    driver, label = find(Shorted({0x77: chip}), "auto")
    harness.equal(label, "bme280@0x77")
    # What only the set-up needs does not stay with the driver.
    assert not hasattr(sys.modules["firmware.drivers.bme280"], "probe")
    loading.unload()
    harness.equal(find(Shorted({0x77: chip}), "bme280")[1], label)


def test_a_driver_that_was_not_staged_is_named():
    loading.unload()
    kept, firmware.drivers.__path__ = firmware.drivers.__path__, "nowhere"
    try:
        text = refused(Few({}), "auto")
    finally:
        firmware.drivers.__path__ = kept
    what = "no known sensor found; on the bus: 0x44 (no driver sht3x on this board), "
    harness.equal(text, what + "0x76 (no driver bme280 on this board)")
    harness.equal(refused(Few({}), "auto"), "no known sensor found; on the bus: 0x44, 0x76")


harness.run(globals())
