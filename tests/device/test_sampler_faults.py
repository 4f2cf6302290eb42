# How the sampler gets over sensors that fail, vanish, come back or hold the bus.

import harness
from fakes_sampler import WARM, Bench


def test_single_error_is_counted_and_tried_again():
    b = Bench(60)
    b.bus.damaged = True  # the search fails, too: its answers have a CRC
    b.run(100)
    harness.equal(b.sampler.errors, 1)
    b.bus.damaged = False
    b.run(2000)
    b.bus.damaged = True
    b.sampler.read_now()
    b.run(100)
    harness.equal(b.sampler.last_error, "sht3x: crc")
    harness.equal((b.sampler.errors, b.sampler.sensor), (2, "sht3x@0x44"))
    b.bus.damaged = False
    b.bus.reading = WARM
    b.run(1000)
    harness.equal([r[1] for r in b.out], [2100, 3000])
    harness.equal(b.bus.recovered, 1)  # only after the failed search


def test_unplugged_in_mid_measurement_and_plugged_in_again():
    b = Bench(60)
    b.run(60_003)
    assert b.sampler.busy
    b.bus.plugged = False
    b.run(5000, 10)
    harness.equal((b.sampler.busy, b.sampler.sensor), (False, None))
    assert b.sampler.errors >= 4 and b.bus.recovered >= 1
    b.bus.plugged = True
    b.run(10_000, 10)
    harness.equal(b.sampler.sensor, "sht3x@0x44")
    harness.equal(len(b.out), 2)
    assert 65 <= b.times()[1] <= 75, b.out


def test_searches_less_and_less_often_and_logs_once():
    b = Bench(60)
    b.bus.plugged = False
    b.run(600_000, 500)
    # 1 + 2 + 4 + 8 + 16 s, then every 30 s
    assert 24 <= b.sampler.errors <= 25, b.sampler.errors
    harness.equal(b.log, ["sensor: no known sensor found; on the bus: nothing"])
    b.bus.plugged = True
    b.run(31_000, 500)
    assert b.out
    assert "reads again; errors in a row: 2" in b.log[-1], b.log


harness.run(globals())
