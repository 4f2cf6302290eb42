# When the sampler reads.

import harness
from fakes import Random
from fakes_sampler import S2000, Bench


def test_first_reading_at_once_then_every_interval():
    b = Bench(60)
    b.run(150)
    harness.equal(b.out, [(0, 2100, 4500, None)])
    harness.equal(b.sampler.sensor, "sht3x@0x44")
    b.run(240_000, 50)
    harness.equal(b.times(), [0, 60, 120, 180, 240])
    harness.equal((b.sampler.readings, b.sampler.errors), (5, 0))
    harness.equal(b.opened, 1)


def test_waits_for_the_conversion_and_says_how_long():
    b = Bench()
    b.sampler.step()
    harness.equal(b.sampler.next_due_ms(), 5)
    b.clock.pass_ms(5)
    b.sampler.step()
    assert b.sampler.busy
    harness.equal(b.sampler.next_due_ms(), 17)
    b.clock.pass_ms(16)
    b.sampler.step()
    harness.equal(b.out, [])
    b.clock.pass_ms(1)
    b.sampler.step()
    harness.equal(len(b.out), 1)
    harness.equal(b.sampler.next_due_ms(), 60_000 - 22)


def test_a_step_with_nothing_due_does_not_allocate():
    b = Bench()
    b.run(1000)
    harness.no_heap(b.sampler.step)
    harness.no_heap(b.sampler.next_due_ms)


def test_a_whole_reading_does_not_allocate():
    b = Bench()
    stored = [0]

    def put(record, size):
        stored[0] = size

    b.put = put  # the bench is the outbox of its sampler
    b.run(1000)
    stored[0] = 0
    b.sampler.read_now()
    harness.no_heap(b.sampler.step)  # start()
    harness.equal((b.sampler.busy, stored), (True, [0]))
    b.clock.pass_ms(20)
    harness.no_heap(b.sampler.step)  # finish(), pack() and put()
    harness.equal((b.sampler.readings, stored), (2, [12]))


def test_read_now_is_one_more_and_keeps_the_schedule():
    b = Bench(60)
    b.run(10_000)
    b.sampler.read_now()
    harness.equal(b.sampler.next_due_ms(), 0)
    b.run(60_000, 50)
    harness.equal(b.times(), [0, 10, 60])


def test_being_late_does_not_add_up():
    b = Bench(10)
    random = Random(harness.seed())
    passed_ms = 0
    while passed_ms < 1_800_000:
        step_ms = 1 + random(400)
        b.clock.pass_ms(step_ms)
        passed_ms += step_ms
        b.sampler.step()
        b.out.clear()
    b.run(100)
    harness.equal(b.sampler.readings, passed_ms // 10_000 + 1)


def test_missed_turns_are_skipped_and_the_schedule_kept():
    b = Bench(10)
    b.run(100)
    b.clock.pass_ms(46_900)
    b.run(23_100)
    harness.equal(b.times(), [0, 47, 50, 60, 70])


def test_a_shorter_interval_counts_from_the_last_turn():
    b = Bench(3600)
    b.run(10_000, 50)
    b.change(15)
    b.run(25_500, 50)
    harness.equal(b.times(), [0, 15, 30])


def test_a_shorter_interval_that_has_passed_is_due_now_and_then_in_full():
    b = Bench(60)
    b.run(50_000, 50)
    b.change(30)
    harness.equal(b.sampler.next_due_ms(), 0)
    b.run(31_000, 50)
    harness.equal(b.times(), [0, 50, 80])


def test_a_longer_interval_counts_from_the_last_turn():
    b = Bench(30)
    b.run(20_000, 50)
    b.change(60)
    harness.equal(b.sampler.next_due_ms(), 40_000)
    b.change(50)  # a second change counts from the same turn
    harness.equal(b.sampler.next_due_ms(), 30_000)
    b.run(81_000, 50)
    harness.equal(b.times(), [0, 50, 100])


def test_the_interval_before_the_first_turn_may_change():
    b = Bench(30)
    b.change(86_400)
    b.run(100)
    harness.equal(b.times(), [0])


def test_an_overdue_turn_survives_a_longer_interval():
    b = Bench(30)
    b.run(1000)
    b.clock.pass_ms(30_000)
    b.change(86_400)
    b.run(100)
    harness.equal(b.times(), [0, 31])
    harness.equal(b.sampler.next_due_ms(), 86_400_000 - 100)


def test_a_day_is_a_day_across_the_wrap_of_the_ticks():
    b = Bench(86_400)
    b.run(100)
    for _ in range(24 * 14):
        b.clock.pass_ms(3_599_900)
        b.run(100, 20)
    harness.equal([out[0] for out in b.out], [86_400 * n for n in range(15)])
    harness.equal(S2000 + b.times()[-1], b.clock.offset + b.clock.s)


harness.run(globals())
