# heap: 48wk
# One wrong server does not put a clock wrong that is set; two do, and AWS does.

import harness
from clock_rig import FLOOR, NOW, Rig, ran

YEARS = 2 * 365 * 86400
UNIX = 946684800


def hear(rig, error_s, verified=True, ago_s=0):
    # What AWS has answered, as core/shadow.py notes it.
    clock = rig.clock
    now = NOW + rig.ticks.total // 1000
    clock.heard = UNIX + now - ago_s + error_s, clock.s - ago_s
    rig.module.heard(clock, rig.settings, FLOOR, rig, rig.log, verified)
    harness.equal(clock.heard, None)
    return rig.now_s()


def test_one_wrong_answer_is_not_believed_against_a_clock_that_is_set():
    for error in (YEARS, -1000, 6 + 5, -11):
        rig = ran(10)
        rig.wrong = {"two": error}
        harness.equal(rig.run(22_000), NOW + 22_010)
        # Another one is asked within seconds, and then not for six hours.
        harness.equal(rig.asked, ["one", "two", "three"])
        harness.equal((rig.clock.rejected, rig.clock.failures), ((), 0))


def test_an_rtc_is_as_good_as_any_clock():
    rig = Rig(rtc=NOW)
    rig.wrong = {"one": YEARS}
    harness.equal(rig.run(10), NOW + 10)
    harness.equal((rig.asked, rig.clock.source), (["one", "two"], "ntp"))


def test_two_that_agree_put_it_right():
    rig = Rig()
    rig.wrong = {"one": YEARS}
    harness.equal(rig.run(10), NOW + 10 + YEARS)
    rig.clock.ask_s = 0  # as net/failure.py does
    harness.equal(rig.run(10), NOW + 20)
    harness.equal(rig.asked, ["one", "two", "three"])
    assert rig.lines[-2].endswith("two: date {} not believed".format(NOW + 10)), rig.lines


def test_two_that_are_wrong_in_different_ways_do_not():
    rig = ran(10)
    rig.wrong = {"two": YEARS, "three": -YEARS}
    harness.equal(rig.run(22_000), NOW + 22_010)
    harness.equal(rig.asked, ["one", "two", "three", "one"])


def test_one_server_alone_never_does_and_is_not_hammered():
    rig = Rig()
    rig.servers[1:] = []
    rig.run(10)
    rig.wrong = {"one": YEARS}
    harness.equal(rig.run(86_400), NOW + 86_410)
    assert len(rig.asked) < 40, len(rig.asked)
    assert len(rig.clock.rejected) <= 3
    rig.wrong = {}
    rig.run(3700)
    harness.equal((rig.clock.failures, rig.clock.rejected), (0, ()))


def test_after_days_without_an_answer_the_second_is_asked_soon():
    rig = ran(10)
    rig.silent = True
    rig.run(3 * 86_400, every_ms=10_000)
    rig.silent, rig.wrong = False, {"one": YEARS, "two": YEARS, "three": YEARS}
    rig.run(3700)
    before = len(rig.asked)
    assert before >= 2
    harness.equal(rig.now_s(), NOW + rig.ticks.total // 1000 + YEARS)


def test_a_clock_may_drift_by_200_ppm():
    for days, error, believed in ((0, 5, True), (0, 7, False), (10, 170, True), (10, 185, False)):
        rig = ran(1)
        rig.run(days * 86_400, online=False, every_ms=1_000_000)
        rig.clock.ask_s, rig.wrong = 0, {"two": error}
        rig.run(1)
        harness.equal(rig.now_s() - NOW - rig.ticks.total // 1000, error if believed else 0)


def test_without_a_time_two_servers_overrule_the_last_good_one_where_there_are_two():
    rig = Rig([NOW, None, NOW + 3, None, NOW + 9, None, NOW + 25], good=NOW + YEARS)
    rig.servers[2:] = []
    assert rig.run(60) is None  # one alone, three times
    rig = Rig(good=NOW + YEARS)
    rig.servers[2:] = []
    harness.equal(rig.run(60), NOW + 60)
    harness.equal(rig.asked, ["one", "two", "one"])
    rig = Rig(good=NOW + YEARS)
    rig.servers[1:] = []
    harness.equal(rig.run(60), NOW + 60)


def test_aws_tells_the_time_where_there_is_none():
    for verified in (True, False):
        rig = ran(10, [None] * 9)
        harness.equal(hear(rig, 0, verified, ago_s=3), NOW + 10)
        harness.equal((rig.clock.source, rig.rtc), ("aws", NOW + 10))
        harness.equal(rig.settings.state["clock"], NOW + 10)
        harness.equal((rig.clock.failures, rig.clock.ask_s), (0, 10 + 21_600))


def test_aws_wins_by_more_than_a_minute_where_it_is_verified():
    for error, verified, wins in ((61, True, True), (60, True, False), (YEARS, False, False)):
        rig = ran(10)
        hear(rig, error, verified)
        harness.equal(rig.now_s(), NOW + 10 + (error if wins else 0))
        harness.equal(rig.clock.source, "aws" if verified else "ntp")  # or it agrees


def test_aws_wins_over_the_rtc_and_over_the_last_good_time():
    rig = Rig(rtc=NOW + YEARS)
    harness.equal(hear(rig, 0), NOW)
    rig = Rig(good=NOW + YEARS)
    harness.equal(hear(rig, 0), NOW)
    harness.equal(rig.settings.state["clock"], NOW)


def test_after_aws_one_server_does_not_put_it_back():
    rig = Rig()
    rig.wrong = {"one": YEARS, "two": YEARS + 30}
    rig.run(10)
    hear(rig, 0)
    harness.equal(rig.run(50_000), NOW + 50_010)


def test_ntp_does_not_overrule_aws():
    # All names of one router that answers port 123 itself, every six hours again.
    for error in (0, 40):  # what AWS has set, or only confirmed
        rig = Rig()
        rig.silent = not error
        rig.run(20)
        hear(rig, error)
        rig.silent = False
        rig.run(22_000)  # a sync that is right changes nothing of that
        harness.equal((rig.now_s() - NOW - rig.ticks.total // 1000, rig.clock.source), (0, "aws"))
        rig.wrong = {"one": YEARS, "two": YEARS, "three": YEARS}
        for _ in range(24):
            harness.equal(rig.run(3600, every_ms=5000), NOW + rig.ticks.total // 1000)
            hear(rig, 0)
        assert len(rig.asked) < 60, len(rig.asked)


def test_within_a_minute_of_what_aws_said_two_servers_count():
    for error, moved in ((50, 50), (80, 0)):
        rig = Rig()
        hear(rig, 0)
        rig.clock.ask_s, rig.wrong = 0, {"one": error, "two": error, "three": error}
        rig.run(1)
        harness.equal(rig.now_s(), NOW + 1)
        harness.equal(rig.run(60), NOW + 61 + moved)


def test_an_aws_that_is_not_verified_is_overruled_by_two():
    rig = Rig()
    rig.verified = False
    hear(rig, YEARS, False)
    rig.clock.ask_s = 0
    harness.equal(rig.run(60), NOW + 60)
    harness.equal(rig.asked, ["one", "two"])


def test_an_rtc_that_is_a_little_wrong_needs_one_server():
    for error, good, mended in ((30, 0, True), (-590, 0, True), (610, 0, False), (30, 9, False)):
        rig = Rig(rtc=NOW + error, good=good and NOW + good)
        rig.servers[1:] = []
        harness.equal(rig.run(5) == NOW + 5, mended)
        assert rig.clock.source == ("ntp" if mended else "rtc")


def test_an_rtc_gives_way_to_aws_by_more_than_an_answer_takes():
    for error, verified, wins in ((11, True, True), (10, True, False), (50, False, False)):
        rig = Rig(rtc=NOW)
        harness.equal(hear(rig, error, verified), NOW + error * wins)
        harness.equal(rig.clock.source, "aws" if verified else "rtc")


def test_once_a_time_was_dropped_no_server_alone_sets_it():
    rig = ran(10)
    clock = rig.clock
    clock.offset, clock.source, clock.ask_s = None, "dropped", 0  # as net/failure.py does
    rig.wrong = {"one": YEARS, "three": -YEARS}
    rig.servers = ["one"]
    assert rig.run(4000) is None and clock.failures > 3
    rig.servers = ["two", "three"]
    assert rig.run(60) is None
    rig.servers = ["two", "four"]
    rig.run(600)
    harness.equal((rig.now_s() - NOW - rig.ticks.total // 1000, clock.source), (0, "ntp"))


def test_flash_is_spared():
    rig = Rig([None], good=NOW - 100)
    hear(rig, 0)
    harness.equal(rig.settings.saves, 0)


def test_what_aws_cannot_have_said():
    for unix_s in (None, "1795248682", 1.0, True, 0, -1, UNIX, UNIX + FLOOR - 1, 1 << 70):
        rig = Rig([None])
        rig.clock.heard = unix_s, 0
        rig.module.heard(rig.clock, rig.settings, FLOOR, rig, rig.log, True)
        harness.equal((rig.clock.offset, rig.clock.heard), (None, None))
