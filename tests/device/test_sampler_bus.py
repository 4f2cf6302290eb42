# How the sampler gets over a bus that is held, another sensor and other pins.

import harness
from fakes_sampler import Bench, Bus
from firmware.core.errors import SensorError


def test_read_now_looks_for_the_sensor_at_once():
    b = Bench(60)
    b.bus.plugged = False
    b.run(300_000, 500)
    b.bus.plugged = True
    b.sampler.read_now()
    b.run(50)
    harness.equal((b.sampler.sensor, len(b.out)), ("sht3x@0x44", 1))


def test_stuck_bus_is_clocked_free():
    b = Bench(60)
    b.run(1000)
    b.bus.stuck = 2  # needs two rounds of nine clocks
    b.sampler.read_now()
    b.run(12_000, 10)
    harness.equal((b.bus.recovered, len(b.out)), (2, 2))
    assert "sensor: bus: SDA held low" in b.log, b.log


def test_other_sensor_is_looked_for_at_once():
    b = Bench(60)
    b.run(1000)
    b.settings["sensor"] = "bme280"
    b.sampler.restart()
    b.run(100)
    harness.equal(b.sampler.sensor, None)
    harness.equal(b.sampler.last_error, "no bme280 found; on the bus: 0x44")
    b.settings["sensor"] = "sht3x@0x44"
    b.sampler.restart()
    b.run(100)
    harness.equal(b.sampler.sensor, "sht3x@0x44")
    b.bus = Bus(b.clock)
    b.bus.plugged = False
    b.sampler.restart()
    b.run(100)
    harness.equal(b.sampler.sensor, None)


def test_pins_that_do_not_fit_are_named_and_tried_again():
    b = Bench(60)
    text = "bus: i2c settings do not fit this chip: invalid pin"

    def misfit():
        raise SensorError(text)

    good = b.open
    b.sampler.open_bus = b.sampler.recover = misfit
    b.run(5000)
    harness.equal((b.sampler.last_error, b.sampler.errors), (text, 3))
    harness.equal(b.log, ["sensor: " + text])
    b.sampler.open_bus = good
    b.sampler.restart()
    b.run(100)
    harness.equal(b.sampler.sensor, "sht3x@0x44")


def test_an_error_of_the_bus_is_named_by_its_number():
    b = Bench(60)

    def scan():
        raise OSError(116)

    b.bus.scan = scan
    b.run(100)
    harness.equal((b.sampler.last_error, b.sampler.failing()), ("bus: errno 116", True))


harness.run(globals())
