import harness
from fakes import Clock, Fixed, Random
from firmware.core.timing import Deadline, pause_ms


def started(wait_ms):
    clock = Clock()  # 5 ms below the wrap of the ticks
    deadline = Deadline(clock)
    deadline.start(wait_ms)
    return clock, deadline


def test_a_wait_ends_and_stays_over():
    harness.equal(Deadline(Clock()).left_ms(), 0)  # nothing is waited for before the start
    clock, deadline = started(60_000)
    for passed_ms, left_ms in ((0, 60_000), (59_999, 1), (1, 0)):
        clock.pass_ms(passed_ms)
        harness.equal(deadline.left_ms(), left_ms)
    for _ in range(10):
        clock.pass_ms(86_400_000)
        harness.equal(deadline.left_ms(), 0)
    deadline.start(60_000)
    deadline.start(0)
    harness.equal(deadline.left_ms(), 0)


def test_a_day_across_the_wrap():
    clock, deadline = started(86_400_000)
    for _ in range(30):
        clock.pass_ms(86_399_999)
        harness.equal(deadline.left_ms(), 1)
        clock.pass_ms(1)
        harness.equal(deadline.left_ms(), 0)
        deadline.start(86_400_000)


def test_nobody_looked_for_five_days():
    clock, deadline = started(86_400_000)
    clock.pass_ms(5 * 86_400_000)
    harness.equal(deadline.left_ms(), 0)
    deadline.start(86_400_000)
    harness.equal(deadline.left_ms(), 86_400_000)


def test_waiting_does_not_allocate():
    # With the ticks of a 32-bit board, which stay small ints.
    deadline = Deadline(Clock(1000))

    def turn():
        deadline.left_ms()
        deadline.start(60_000)
        deadline.left_ms()

    harness.no_heap(turn)


def pauses(random, failures):
    return [pause_ms(random, n, 1000, 60_000) for n in range(1, failures + 1)]


def test_the_ceiling_doubles_to_the_cap():
    waits_ms = pauses(Fixed(1), 8)
    harness.equal(waits_ms, [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000])


def test_the_lowest_draw_is_the_floor():
    harness.equal(pauses(Fixed(0), 8), [500] * 8)
    harness.equal(pause_ms(Fixed(0), 3, 8000, 60_000), 4000)


def test_draws_spread_over_the_whole_range_and_do_not_gather_at_the_floor():
    random = Random(harness.seed())
    waits_ms = [pause_ms(random, 8, 1000, 60_000) for _ in range(400)]
    assert 500 <= min(waits_ms) < 5000 and 55000 < max(waits_ms) <= 60000
    for low in range(500, 60500, 10000):
        share = sum(1 for wait in waits_ms if low <= wait < low + 10000)
        assert 35 < share < 105, (low, share)


def test_a_year_of_failures_costs_no_memory():
    # Nor a number that is no small int on 32 bits, for any pause in use.
    def longest(limit):
        return limit - 1

    for failures in (1, 12, 13, 2000, 1 << 29):
        harness.equal(pause_ms(longest, failures, 60_000, 3_600_000) <= 3_600_000, True)
        harness.no_heap(lambda n=failures: pause_ms(longest, n, 60_000, 3_600_000))
