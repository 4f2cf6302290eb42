import harness
from fakes import Clock, Random
from firmware.core.schedule import Schedule


def test_the_first_turn_is_at_once_and_comes_once():
    clock = Clock()
    schedule = Schedule(clock, 60)
    harness.equal((schedule.left_ms(), schedule.due(), schedule.due()), (0, True, False))
    harness.equal(schedule.left_ms(), 60000)


def test_being_late_does_not_add_up():
    clock = Clock()
    schedule = Schedule(clock, 10)
    schedule.due()
    random = Random(harness.seed())
    turns = passed_ms = 0
    while passed_ms < 3600000:
        step_ms = 1 + random(900)
        clock.pass_ms(step_ms)
        passed_ms += step_ms
        turns += schedule.due()
    harness.equal(turns, passed_ms // 10000)


def test_missed_turns_are_skipped_and_the_beat_kept():
    clock = Clock()
    schedule = Schedule(clock, 10)
    schedule.due()
    clock.pass_ms(47000)
    harness.equal((schedule.due(), schedule.due()), (True, False))
    harness.equal(schedule.left_ms(), 3000)


def test_a_shorter_interval_counts_from_the_last_turn():
    clock = Clock()
    schedule = Schedule(clock, 60)
    schedule.due()
    clock.pass_ms(20000)
    schedule.change(30)
    harness.equal((schedule.due(), schedule.left_ms()), (False, 10000))


def test_a_shorter_interval_that_has_passed_is_due_now_and_then_in_full():
    clock = Clock()
    schedule = Schedule(clock, 60)
    schedule.due()
    clock.pass_ms(50000)
    schedule.change(30)
    harness.equal((schedule.due(), schedule.left_ms()), (True, 30000))


def test_a_longer_interval_counts_from_the_last_turn():
    clock = Clock()
    schedule = Schedule(clock, 30)
    schedule.due()
    clock.pass_ms(20000)
    schedule.change(60)
    harness.equal((schedule.due(), schedule.left_ms()), (False, 40000))


def test_the_interval_before_the_first_turn_may_change():
    schedule = Schedule(Clock(), 30)
    schedule.change(86400)
    assert schedule.due()


def test_an_overdue_turn_survives_a_longer_interval():
    clock = Clock()
    schedule = Schedule(clock, 30)
    schedule.due()
    clock.pass_ms(31000)
    schedule.change(86400)
    harness.equal((schedule.due(), schedule.left_ms()), (True, 86400000))


def test_hasten_makes_the_next_turn_now():
    clock = Clock()
    schedule = Schedule(clock, 30)
    schedule.due()
    clock.pass_ms(1000)
    schedule.hasten()
    harness.equal((schedule.left_ms(), schedule.due(), schedule.left_ms()), (0, True, 30000))


def test_a_day_across_the_wrap():
    clock = Clock()  # 5 ms below it
    schedule = Schedule(clock, 86400)
    schedule.due()
    for _ in range(3):
        clock.pass_ms(86399999)
        assert not schedule.due()
        clock.pass_ms(1)
        assert schedule.due()


def test_five_days_asleep_at_the_wheel():
    clock = Clock()
    schedule = Schedule(clock, 86400)
    schedule.due()
    clock.pass_ms(5 * 86400000)
    harness.equal((schedule.due(), schedule.left_ms()), (True, 86400000))


def test_asking_does_not_allocate():
    # With the ticks of a 32-bit board, which stay small ints.
    schedule = Schedule(Clock(1000), 60)

    def turn():
        schedule.due()
        schedule.left_ms()
        schedule.hasten()
        schedule.change(30)

    harness.no_heap(turn)


harness.run(globals())
