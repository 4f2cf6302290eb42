# heap: 80wk
# Kinds of chips that may have the same address: each is found as what it is, whatever state it
# was left in, and its driver takes no other.

import harness
from fakes import Clock
from fakes_bus import ChipBus
from firmware import loading
from firmware.core.errors import SensorError
from firmware.drivers import find
from tools.sim.chips.bosch import BME280
from tools.sim.chips.chip import Fixed
from tools.sim.chips.hdc1080 import HDC1080
from tools.sim.chips.htu21d import HTU21D, SI7021, SHT2x
from tools.sim.chips.lm75 import LM75A, TMP102
from tools.sim.chips.sht3x import SHT3x
from tools.sim.chips.sht4x import SHT4x

loading.keep()


def plugged(addr, kind, polite):
    # polite: acknowledges commands of a length it does not know, which a chip is free to do.
    clock = Clock()
    chip = kind(clock)
    chip.environment = Fixed(42501)  # as 0x8000 it could be an SHT3x's status, too
    strict = chip._write

    def write(data):
        if len(data) in SIZES[kind]:
            strict(data)

    if polite:
        chip._write = write
    clock.pass_ms(200)
    return clock, chip, ChipBus((addr, chip))


SIZES = {
    SHT3x: (2,),
    SHT4x: (1,),
    HTU21D: (1, 2),
    SI7021: (1, 2),
    SHT2x: (1, 2),
    HDC1080: (1, 2, 3),
}


def is_found(addr, kind, polite, name, others, left=()):
    # left: commands of whoever used the chip before, and nobody read what came of them.
    label = "{}@0x{:02x}".format(name, addr)
    for wanted in ("auto", name, label) + others:
        clock, chip, bus = plugged(addr, kind, polite)
        for command in left:
            chip.write(command)
            clock.pass_ms(2000)
        if wanted in others:
            harness.raises(SensorError, find, bus, wanted)
        else:
            driver, found = find(bus, wanted)
            harness.equal(found, label)
            clock.pass_ms(driver.SETTLE_MS)
            driver.start()
            clock.pass_ms(driver.MEASURE_MS)
            while driver.finish():
                clock.pass_ms(driver.MEASURE_MS)
            assert abs(driver.values[0] - 4250) <= 1
            assert abs(driver.values[1] - 4500) <= 3
        loading.unload()


def test_sht3x_and_sht4x():
    for polite in (False, True):
        for addr in (0x44, 0x45):
            for left in ((), (b"\x24\x00",), (b"\x21\x30",), (b"\x36\x82",), (b"\x2c\x06",)):
                is_found(addr, SHT3x, polite, "sht3x", ("sht4x",), left)
            for left in ((), (b"\xfd",), (b"\x89",), (b"\x1e",)):
                is_found(addr, SHT4x, polite, "sht4x", ("sht3x",), left)
    is_found(0x46, SHT4x, False, "sht4x", ("sht3x",))


def test_htu21d_si7021_sht2x_and_hdc1080():
    kinds = ((HTU21D, "htu21d"), (SI7021, "si7021"), (SHT2x, "sht2x"), (HDC1080, "hdc1080"))
    for kind, name in kinds:
        others = tuple(other for _, other in kinds if other != name)
        asked = ((), (b"\xf3",), (b"\xf5",), (b"\xfa\x0f",), (b"\xe7",))
        for left in ((), (b"\x00",), (b"\xfb",)) if kind is HDC1080 else asked:
            is_found(0x40, kind, False, name, others, left)


def test_what_has_no_id_is_taken_when_nothing_else_is_there():
    clock = Clock()
    lm75, other, bme280 = LM75A(clock), TMP102(clock), BME280(clock)
    clock.pass_ms(200)
    harness.equal(find(ChipBus((0x48, lm75), (0x76, bme280)), "auto")[1], "bme280@0x76")
    loading.unload()
    for wanted, label in (
        ("auto", "lm75@0x48"),
        ("lm75", "lm75@0x48"),
        ("tmp102", "tmp102@0x49"),
        ("auto@0x49", "tmp102@0x49"),
    ):
        harness.equal(find(ChipBus((0x48, lm75), (0x49, other)), wanted)[1], label)
        loading.unload()
    both = ChipBus((0x48, lm75), (0x76, bme280))
    harness.equal(find(both, "lm75")[1], "lm75@0x48")
    loading.unload()
