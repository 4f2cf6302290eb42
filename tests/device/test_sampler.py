# When the sampler reads, and with which time a reading goes out.

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


def test_readings_before_the_time_is_known_are_stamped_later():
    b = Bench(10, known=False)
    b.run(35_000, 50)
    harness.equal(b.out, [])
    b.wall.know()
    b.clock.pass_ms(700)
    b.run(5_000, 50)
    harness.equal(b.times(), [-35, -25, -15, -5, 5])


def test_readings_kept_in_ram_are_bounded_and_the_loss_is_counted():
    b = Bench(10, known=False)
    b.run(395_000, 100)
    harness.equal(b.sampler.dropped, 8)
    b.wall.know()
    b.run(1_000, 100)
    harness.equal(b.times(), list(range(-315, 0, 10)))


def test_full_file_system_loses_nothing_and_is_not_hammered():
    b = Bench(10)
    b.full = True
    b.run(25_000, 50)
    harness.equal(b.out, [])
    kept = [line for line in b.log.lines if "RAM" in line]
    assert 2 <= len(kept) <= 4, b.log.lines
    b.full = False
    b.run(11_000, 50)
    harness.equal(b.times(), [0, 10, 20, 30])


def test_uptime_outlives_the_wrap_of_the_ticks():
    b = Bench(86_400, known=False)
    b.sampler.step()
    b.run(100)
    for _ in range(20 * 24):  # 20 days; the ticks wrap after 12
        b.clock.pass_ms(3_600_000)
        b.run(60)
    b.wall.know()
    b.run(1000, 50)
    harness.equal(len(b.out), 21)
    assert -20 * 86_400 - 31 <= b.times()[0] <= -20 * 86_400, b.times()


harness.run(globals())
