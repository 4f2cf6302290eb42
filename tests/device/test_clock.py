# No time is better than a wrong one.

import harness
from fakes import Clock, Fixed
from firmware.net.clock import WallClock

FLOOR = 848534400
NOW = FLOOR + 5000000


class Saved:
    def __init__(self, value=None):
        self.value = value
        self.saves = 0

    def load(self):
        return self.value

    def save(self, value):
        self.value = value
        self.saves += 1


class Rig:
    def __init__(self, answers=(), rtc=0, saved=None, servers=("one", "two", "three")):
        self.answers = list(answers)  # s2000, None: no answer; then NOW and counting
        self.asked = []
        self.silent = False
        self.rtc = rtc
        self.saved = saved or Saved()
        self.ticks = Clock()
        self.passed_ms = 0
        self.said = None
        self.clock = WallClock(
            self.ask,
            lambda: self.rtc,
            self.set_rtc,
            self.saved,
            list(servers),
            FLOOR,
            self.ticks,
            Fixed(1),
            self.note,
        )

    def ask(self, server):
        if self.silent:
            raise OSError(110)
        self.asked.append(server)
        answer = self.answers.pop(0) if self.answers else NOW + self.passed_ms // 1000
        if answer is None:
            raise OSError(110)
        return answer

    def note(self, text):
        self.said = text

    def set_rtc(self, s2000):
        self.rtc = s2000

    def run(self, s, online=True, every_ms=1000):
        for _ in range(s * 1000 // every_ms):
            self.clock.step(online)
            self.ticks.pass_ms(every_ms)
            self.passed_ms += every_ms
        return self.clock.now_s()


def test_no_time_before_an_answer():
    rig = Rig()
    assert rig.clock.now_s() is None
    assert rig.run(100, online=False) is None
    harness.equal(rig.asked, [])
    harness.equal(rig.run(1), NOW + 101)
    harness.equal((rig.asked, rig.clock.source), (["one"], "ntp"))
    assert NOW <= rig.rtc <= NOW + 101


def test_time_goes_on_across_the_wrap_of_the_ticks():
    rig = Rig()
    rig.run(1)
    for days in (1, 10, 20):
        rig.silent = True
        rig.run(days * 86400, every_ms=3_600_000)
    harness.equal(rig.clock.now_s(), NOW + 1 + 31 * 86400)


def test_odd_steps_lose_no_milliseconds():
    rig = Rig()
    rig.run(1)
    rig.run(7000, online=False, every_ms=7)
    harness.equal(rig.clock.now_s(), NOW + 7001)


def test_servers_take_turns_and_the_pauses_grow():
    rig = Rig([None] * 7)
    times = []
    for second in range(700):
        before = len(rig.asked)
        rig.run(1)
        if len(rig.asked) > before:
            times.append(second)
    harness.equal(rig.asked[:7], ["one", "two", "three", "one", "two", "three", "one"])
    gaps = [times[i + 1] - times[i] for i in range(6)]
    harness.equal(gaps, [2, 4, 8, 16, 32, 64])
    harness.equal(rig.clock.source, "ntp")
    harness.equal(rig.clock.failures, 0)


def test_the_pause_has_a_cap():
    rig = Rig([None] * 100)
    rig.run(6000)
    assert 20 <= len(rig.asked) <= 32, len(rig.asked)


def test_a_time_that_is_good_is_asked_for_less_often():
    rig = Rig([NOW - 100] + [None] * 100)
    rig.run(86400, every_ms=1000)
    assert 20 <= len(rig.asked) <= 50, len(rig.asked)


def test_answers_that_cannot_be():
    for answer in (0, -5, FLOOR - 1, FLOOR + 473040001, 1 << 40):
        rig = Rig([answer])
        assert rig.run(1) is None, answer
        harness.equal(rig.run(10), NOW + 11)


def test_the_floor_itself_is_believed():
    harness.equal(Rig([FLOOR]).run(1), FLOOR + 1)


def test_an_rtc_that_kept_the_time():
    rig = Rig(rtc=NOW - 3)
    harness.equal((rig.clock.now_s(), rig.clock.source), (NOW - 3, "rtc"))
    rig.run(1)
    harness.equal((rig.clock.now_s(), rig.clock.source), (NOW + 1, "ntp"))


def test_an_rtc_that_did_not():
    for rtc in (0, 10, FLOOR - 1, FLOOR + 473040001):
        assert Rig(rtc=rtc).clock.now_s() is None, rtc
    assert Rig(rtc=NOW - 1, saved=Saved(NOW)).clock.now_s() is None


def test_below_the_last_good_time_is_not_believed():
    rig = Rig([NOW - 86400], saved=Saved(NOW - 100))
    assert rig.run(1) is None
    harness.equal(rig.run(5), NOW + 6)


def test_three_that_agree_overrule_the_last_good_time():
    rig = Rig(saved=Saved(NOW + 3 * 365 * 86400))
    assert rig.run(2) is None
    harness.equal(rig.run(60), NOW + 62)
    harness.equal(len(rig.asked), 3)
    harness.equal(rig.saved.saves, 1)
    assert NOW <= rig.saved.value <= NOW + 62


def test_three_that_do_not_agree_overrule_nothing():
    answers = [NOW, NOW + 100000, NOW + 200000, NOW + 300000, NOW + 400000]
    rig = Rig(answers, saved=Saved(NOW + 3 * 365 * 86400))
    assert rig.run(50) is None
    harness.equal(len(rig.asked), 5)


def test_a_saved_time_that_cannot_be_is_no_obstacle():
    for value in (0, -1, FLOOR - 1, FLOOR + 473040001, 1 << 40):
        harness.equal(Rig(saved=Saved(value)).run(1), NOW + 1)


def test_asks_again_every_six_hours():
    rig = Rig()
    rig.run(3 * 86400, every_ms=10_000)
    harness.equal(len(rig.asked), 12)


def test_a_week_off_line_does_not_silence_the_questions():
    # The ticks have gone more than half their round: the last question seems to be to come.
    rig = Rig()
    rig.run(10)
    rig.run(7 * 86_400, online=False, every_ms=1_000_000)
    rig.asked.clear()
    rig.run(2)
    harness.equal(rig.asked, ["one"])


def test_a_clock_that_drifted_is_put_right():
    rig = Rig()
    rig.run(21600, every_ms=10_000)
    rig.answers = [NOW + 21600 - 7]
    rig.run(10, every_ms=10_000)
    harness.equal(rig.clock.now_s(), NOW + 21610 - 7)


def test_flash_is_written_every_six_hours_at_most():
    rig = Rig()
    rig.run(10 * 86400, every_ms=10_000)
    assert 30 <= rig.saved.saves <= 41, rig.saved.saves
    saved = Saved(NOW - 60)
    Rig(saved=saved).run(100)
    harness.equal(saved.saves, 0)


def test_a_full_flash_is_said_and_nothing_more():
    saved = Saved()

    def fails(_value):
        raise OSError(28)

    saved.save = fails
    rig = Rig(saved=saved)
    harness.equal(rig.run(1), NOW + 1)
    assert "not saved" in rig.said


def test_asking_what_time_it_is_allocates_nothing():
    rig = Rig()
    rig.run(1)
    now_s = rig.clock.now_s
    harness.no_heap(now_s)
    rig.ticks.pass_ms(1500)
    harness.no_heap(lambda: rig.clock.step(True))


harness.run(globals())
