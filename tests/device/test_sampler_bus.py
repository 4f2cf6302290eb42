# How the sampler gets over a bus that is held, another sensor and other pins.

import harness
from fakes_sampler import Bench, Bus


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
    b.sampler.set_sensor("bme280")
    b.run(100)
    harness.equal(b.sampler.sensor, None)
    harness.equal(b.sampler.last_error, "no bme280 found; on the bus: 0x44")
    b.sampler.set_sensor("sht3x@0x44")
    b.run(100)
    harness.equal(b.sampler.sensor, "sht3x@0x44")
    other = Bus(b.clock)
    other.plugged = False
    b.sampler.rebuild(other)
    b.run(100)
    harness.equal(b.sampler.sensor, None)


harness.run(globals())
