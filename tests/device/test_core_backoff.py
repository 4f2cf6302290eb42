import harness
from fakes import Fixed, Random
from firmware.core.backoff import Backoff


def test_the_ceiling_doubles_to_the_cap():
    backoff = Backoff(Fixed(1))
    waits_ms = [backoff.failed() for _ in range(8)]
    harness.equal(waits_ms, [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000])


def test_the_lowest_draw_is_the_floor():
    backoff = Backoff(Fixed(0))
    harness.equal([backoff.failed() for _ in range(8)], [500] * 8)


def test_draws_spread_over_the_whole_range_and_do_not_gather_at_the_floor():
    backoff = Backoff(Random(harness.seed()))
    for _ in range(7):
        backoff.failed()
    waits_ms = [backoff.failed() for _ in range(400)]
    assert 500 <= min(waits_ms) < 5000 and 55000 < max(waits_ms) <= 60000
    for low in range(500, 60500, 10000):
        share = sum(1 for wait in waits_ms if low <= wait < low + 10000)
        assert 35 < share < 105, (low, share)


def test_a_stable_session_starts_over():
    backoff = Backoff(Fixed(1))
    for _ in range(9):
        backoff.failed()
    backoff.stable()
    harness.equal([backoff.failed(), backoff.failed()], [1000, 2000])


def test_a_year_of_failures_costs_no_memory():
    backoff = Backoff(Random(1))
    for _ in range(2000):
        backoff.failed()
    failed = Backoff(lambda limit: limit - 1).failed
    harness.no_heap(failed)


harness.run(globals())
