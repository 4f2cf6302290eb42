# When the sampler reads.

import harness
from fakes_sampler import Bench, sampler


def test_first_reading_at_once_then_every_interval():
    b = Bench(60)
    b.run(150)
    harness.equal(b.out, [(0, 2100, 4500, None)])
    harness.equal(b.sampler.sensor, "sht3x@0x44")
    b.run(240_000, 50)
    harness.equal(b.times(), [0, 60, 120, 180, 240])
    harness.equal((b.sampler.readings, b.sampler.errors), (5, 0))


def test_waits_for_the_conversion_and_says_how_long():
    b = Bench()
    b.sampler.step()
    harness.equal(b.sampler.next_due_ms(), 5)
    b.clock.pass_ms(5)
    b.sampler.step()
    harness.equal(b.sampler.state, sampler.BUSY)
    harness.equal(b.sampler.next_due_ms(), 17)
    b.clock.pass_ms(16)
    b.sampler.step()
    harness.equal(b.out, [])
    b.clock.pass_ms(1)
    b.sampler.step()
    harness.equal(len(b.out), 1)
    harness.equal(b.sampler.next_due_ms(), 60_000 - 22)


def test_idle_step_does_not_allocate():
    b = Bench()
    b.run(1000)
    harness.no_heap(b.sampler.step)
    harness.no_heap(b.sampler.next_due_ms)


def test_read_now_is_one_more_and_keeps_the_schedule():
    b = Bench(60)
    b.run(10_000)
    b.sampler.read_now()
    harness.equal(b.sampler.next_due_ms(), 0)
    b.run(60_000, 50)
    harness.equal(b.times(), [0, 10, 60])


def test_new_interval_counts_from_the_last_reading():
    b = Bench(3600)
    b.run(10_000, 50)
    b.sampler.set_interval(15)
    b.run(25_500, 50)
    harness.equal(b.times(), [0, 15, 30])


harness.run(globals())
