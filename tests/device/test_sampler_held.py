# heap: 40wk
# With which time a reading goes out, and what becomes of it when it cannot go yet.

import harness
from fakes_sampler import S2000, Bench


class Chip:
    # A driver whose every reading is one hundredth warmer than the last.
    MEASURE_MS = 1

    def __init__(self):
        self.values = [-1, None, 101325]

    def start(self):
        pass

    def finish(self):
        self.values[0] += 1


def bench(interval_s=10, offset=None):
    b = Bench(interval_s, offset)
    b.run(10)
    b.sampler.driver = Chip()
    return b


def run(b, seconds):
    # Two steps a second are a reading, where one is due.
    for _ in range(2 * seconds):
        b.sampler.step()
        b.clock.pass_ms(500)


def readings(b):
    for reading in b.out:
        harness.equal(reading[2:], (None, 101325))
    return [reading[:2] for reading in b.out]


def test_known_time_is_that_of_the_reading():
    b = bench(offset=S2000)
    run(b, 25)
    harness.equal(readings(b), [(0, 0), (10, 1), (20, 2)])
    assert b.sampler.next_due_ms() > 1000


def test_readings_before_the_time_is_known_are_stored_at_once_with_the_uptime():
    b = bench()
    run(b, 25)
    harness.equal((readings(b), b.undated), ([(0, 0), (10, 1), (20, 2)], 3))
    harness.equal((len(b.sampler.kept), b.starts), (0, [None]))
    assert b.sampler.next_due_ms() > 1000
    b.clock.offset = S2000
    b.note("start")  # as the loop does
    run(b, 20)
    harness.equal(readings(b), [(10 * n, n) for n in range(5)])
    harness.equal((b.undated, b.starts), (3, [None, S2000]))


def test_a_boot_that_knows_the_time_says_so_once():
    b = bench(offset=S2000)
    run(b, 25)
    harness.equal((b.starts, b.undated), ([S2000], 0))


def test_no_reading_without_a_time_is_stored_before_its_boot_is():
    # Else it would count for the boot before. What was kept gets its date when it is stored.
    b = bench()
    b.note_fails = True
    run(b, 25)
    harness.equal((b.out, len(b.sampler.kept), b.sampler.started), ([], 3 * 12, None))
    b.note_fails = False
    run(b, 10)
    harness.equal((readings(b)[:3], b.undated), ([(0, 0), (10, 1), (20, 2)], 4))
    b = bench()
    b.note_fails = True
    run(b, 25)
    b.clock.offset, b.note_fails = S2000, False
    run(b, 15)
    harness.equal((readings(b), b.undated), ([(10 * n, n) for n in range(4)], 0))


def test_one_is_written_at_a_time_and_the_next_at_once():
    b = bench(offset=S2000)
    b.full = True
    run(b, 25)
    b.clock.pass_ms(10_000)
    b.full = b.sampler.due = False
    b.sampler.turn_s = b.clock.s
    for wanted in (1, 2, 3, 3):
        harness.equal(b.sampler.next_due_ms() == 0, len(b.out) < 3)
        b.sampler.step()
        harness.equal(len(b.out), wanted)


def test_full_file_system_loses_nothing_and_is_not_written_to_at_every_step():
    b = bench(offset=S2000)
    b.full = True
    run(b, 35)
    kept = [line for line in b.log if line == "sensor: reading kept in RAM: errno 28"]
    harness.equal(len(kept), 4)
    b.full = False
    run(b, 15)
    harness.equal(readings(b), [(0, 0), (10, 1), (20, 2), (30, 3), (40, 4)])


def test_a_full_file_system_that_stays_so_is_bounded_too():
    b = bench(offset=S2000)
    b.full = True
    run(b, 395)
    harness.equal(b.dropped, 8)
    b.full = False
    run(b, 30)
    harness.equal(readings(b), [(10 * n, n) for n in range(8, 43)])


def test_a_time_that_is_corrected_moves_later_readings_only():
    b = bench(offset=S2000 + 5)
    b.full = True
    run(b, 15)
    b.clock.offset = S2000
    b.full = False
    run(b, 16)
    harness.equal(readings(b), [(5, 0), (10, 1), (20, 2), (30, 3)])


class NoRoom:
    # There is no memory for what is left of it.
    def __init__(self, kept):
        self.kept = kept

    def __len__(self):
        return len(self.kept)

    def __getitem__(self, at):
        if isinstance(at, slice) and at.stop is None:
            raise MemoryError
        return self.kept[at]

    def __setitem__(self, at, byte):
        self.kept[at] = byte


def test_without_memory_no_reading_is_stored_twice():
    b = bench(offset=S2000)
    b.full = True
    run(b, 15)
    b.full = False
    b.clock.pass_ms(10_000)
    kept = b.sampler.kept
    b.sampler.kept = NoRoom(kept)
    harness.raises(MemoryError, b.sampler.step)
    b.sampler.kept = kept
    run(b, 1)
    harness.equal(readings(b), [(0, 0), (10, 1), (25, 2)])


def test_memory_held_while_the_file_system_fails_is_given_back():
    b = bench(offset=S2000)
    b.full = True
    run(b, 400)
    harness.equal(len(b.sampler.kept), 32 * 12)
    b.full = False
    run(b, 30)
    harness.equal(len(b.sampler.kept), 0)


def test_uptime_outlives_the_wrap_of_the_ticks():
    b = bench(86_400)
    for _ in range(20 * 24):  # 20 days; the ticks wrap after 12
        run(b, 1)
        b.clock.pass_ms(3_599_000)
    b.clock.offset = S2000
    run(b, 11)
    harness.equal(readings(b), [(86_400 * n, n) for n in range(21)])
    harness.equal(b.undated, 20)


harness.run(globals())
