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
    b.sampler.apply("sensor")
    b.run(100)
    harness.equal(b.sampler.sensor, None)
    harness.equal(b.sampler.last_error, "no bme280 found; on the bus: 0x44")
    b.settings["sensor"] = "sht3x@0x44"
    b.sampler.apply("sensor")
    b.run(100)
    harness.equal(b.sampler.sensor, "sht3x@0x44")
    b.bus = Bus(b.clock)
    b.bus.plugged = False
    b.sampler.apply("sensor")
    b.run(100)
    harness.equal(b.sampler.sensor, None)


def test_it_says_whether_a_sensor_was_found_before():
    # So that a trial of settings can tell whether it has lost one.
    b = Bench(60)
    harness.equal(b.sampler.apply("i2c"), False)
    b.run(1000)
    harness.equal(b.sampler.apply("sensor"), True)
    harness.equal((b.sampler.apply("sensor"), b.sampler.apply("interval_s")), (False, None))


def test_pins_that_do_not_fit_are_named_and_tried_again():
    b = Bench(60)
    text = "bus: i2c settings do not fit this chip: invalid pin"

    def misfit(settings, failures):
        raise SensorError(text)

    good = b.i2c
    b.i2c = misfit
    b.run(5000)
    harness.equal((b.sampler.last_error, b.sampler.errors), (text, 3))
    harness.equal(b.log, ["sensor: " + text])
    b.i2c = good
    b.sampler.apply("i2c")
    b.run(100)
    harness.equal(b.sampler.sensor, "sht3x@0x44")


def test_another_setting_is_no_reason_to_search():
    b = Bench(60)
    b.run(1000)
    for key in ("interval_s", "drain_per_s"):
        b.sampler.apply(key)
        b.run(100)
        harness.equal((b.sampler.sensor, b.opened), ("sht3x@0x44", 1))


def test_an_error_of_the_bus_is_named_by_its_number():
    b = Bench(60)

    def scan():
        raise OSError(116)

    b.bus.scan = scan
    b.run(100)
    harness.equal((b.sampler.last_error, b.sampler.failures), ("bus: errno 116", 1))


def test_a_driver_that_was_let_go_is_found_again_by_the_next_reading():
    b = Bench(60)
    b.run(1000)
    for busy in (False, True):
        if busy:
            b.sampler.read_now()
            b.sampler.step()
        harness.equal(b.sampler.busy, busy)
        b.sampler.release()
        harness.equal((b.sampler.driver, b.sampler.sensor), (None, "sht3x@0x44"))
        b.run(61_000, 10)
        assert b.sampler.driver
    harness.equal((b.times(), b.opened), ([0, 60, 62, 120], 3))
    harness.equal((b.sampler.errors, b.bus.recovered, b.log), (0, 0, ["sensor: sht3x@0x44"]))


def test_let_go_means_nothing_while_no_reading_is_due():
    b = Bench(60)
    b.run(1000)
    b.sampler.release()
    due_ms = b.sampler.next_due_ms()
    assert 58_000 < due_ms < 60_000, due_ms
    harness.no_heap(b.sampler.step)
    harness.equal(b.opened, 1)


def test_let_go_and_no_memory_to_find_it_again():
    b = Bench(60)

    def full(settings, failures):
        raise MemoryError

    good, b.i2c = b.i2c, full
    harness.raises(MemoryError, b.sampler.step)  # at boot: a crash, and a restart
    b.i2c = good
    b.run(1000)
    b.sampler.release()
    b.i2c = full
    b.run(59_100, 10)
    harness.equal((b.sampler.sensor, b.sampler.last_error), ("sht3x@0x44", "no memory"))
    b.i2c = good
    b.run(2000, 10)
    harness.equal((b.sampler.sensor, b.times()), ("sht3x@0x44", [0, 61]))


def test_let_go_and_then_unplugged():
    b = Bench(60)
    b.run(1000)
    b.sampler.release()
    b.bus.plugged = False
    b.run(59_100, 10)
    harness.equal((b.sampler.sensor, b.sampler.errors), ("sht3x@0x44", 1))
    harness.equal(b.sampler.last_error, "no sht3x@0x44 found; on the bus: nothing")
    b.run(3000, 10)
    harness.equal(b.sampler.sensor, None)
    b.bus.plugged = True
    b.run(10_000, 10)
    harness.equal((b.sampler.sensor, len(b.out)), ("sht3x@0x44", 2))


harness.run(globals())
