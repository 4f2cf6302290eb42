# With which time a reading goes out, and what becomes of it when it cannot go yet.

import harness
from fakes_bus import Clock
from firmware.core.errors import StoreError
from firmware.sampler_held import Held

S2000 = 848_000_000  # November 2026


class Bench:
    # A reading every interval_s, each one hundredth warmer than the last; the wall clock shows
    # S2000 when the test's clock has run for base_s.
    def __init__(self, interval_s=10):
        self.clock = Clock()
        self.interval_s = interval_s
        self.known = self.full = False
        self.taken = 0
        self.out = []
        self.log = []
        self.held = Held(self.clock, self, self.put, self.log.append)

    def now_s(self):
        return S2000 + self.clock.total // 1000 if self.known else None

    def put(self, s2000, cdeg, cpct, pa):
        if self.full:
            raise StoreError("full")
        harness.equal((cpct, pa), (None, 101325))
        self.out.append((s2000 - S2000, cdeg))

    def run(self, seconds):
        for _ in range(seconds):
            if self.clock.total // 1000 == self.taken * self.interval_s:
                self.held.add(self.taken, None, 101325)
                self.taken += 1
            self.held.step()
            self.clock.pass_ms(1000)


def test_known_time_is_that_of_the_reading():
    b = Bench()
    b.known = True
    b.run(25)
    harness.equal(b.out, [(0, 0), (10, 1), (20, 2)])
    harness.equal(b.held.ready(), False)


def test_readings_before_the_time_is_known_are_stamped_later():
    b = Bench()
    b.run(35)
    harness.equal((b.out, b.held.ready()), ([], False))
    b.known = True
    harness.equal(b.held.ready(), True)
    b.clock.pass_ms(700)
    b.run(1)
    harness.equal(b.out, [(0, 0), (10, 1), (20, 2), (30, 3)])


def test_only_a_few_are_written_at_a_time():
    b = Bench()
    b.run(95)
    b.known = True
    for wanted in (4, 8, 10, 10):
        b.held.step()
        harness.equal(len(b.out), wanted)


def test_what_is_kept_is_bounded_and_the_loss_is_counted():
    b = Bench()
    b.run(395)
    harness.equal(b.held.dropped, 8)
    b.known = True
    b.run(60)
    harness.equal(b.out, [(10 * n, n) for n in range(8, 46)])


def test_full_file_system_loses_nothing_and_is_not_hammered():
    b = Bench()
    b.known = b.full = True
    b.run(35)
    harness.equal(len(b.log), 4)
    assert "full" in b.log[0], b.log
    b.full = False
    b.run(15)
    harness.equal(b.out, [(0, 0), (10, 1), (20, 2), (30, 3), (40, 4)])


def test_uptime_outlives_the_wrap_of_the_ticks():
    b = Bench(86_400)
    for _ in range(20 * 24):  # 20 days; the ticks wrap after 12
        b.run(1)
        b.clock.pass_ms(3_599_000)
    b.known = True
    b.run(10)
    harness.equal(b.out, [(86_400 * n, n) for n in range(21)])


harness.run(globals())
