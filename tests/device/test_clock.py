# heap: 64wk
# No time is better than a wrong one; one question to an NTP server, and what may come back.

import sys

import fakes
import harness
from clock_rig import FLOOR, NOW, Rig, ran
from firmware.core.timing import Clock
from firmware.net import clock as ntp


def test_no_time_before_an_answer():
    rig = Rig()
    assert rig.now_s() is None
    assert rig.run(100, online=False) is None
    harness.equal(rig.asked, [])
    harness.equal(rig.run(1), NOW + 101)
    harness.equal((rig.asked, rig.clock.source), (["one"], "ntp"))
    assert NOW <= rig.rtc <= NOW + 101


def test_time_goes_on_across_the_wrap_of_the_ticks():
    rig = ran(1)
    for days in (1, 10, 20):
        rig.silent = True
        rig.run(days * 86400, every_ms=3_600_000)
    harness.equal(rig.now_s(), NOW + 1 + 31 * 86400)


def test_odd_steps_lose_no_milliseconds():
    rig = ran(1)
    rig.run(7000, online=False, every_ms=7)
    harness.equal(rig.now_s(), NOW + 7001)


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
    rig = Rig([NOW - 100] + [None] * 100)  # a time that is good is asked for less often
    rig.run(86400, every_ms=1000)
    assert 20 <= len(rig.asked) <= 50, len(rig.asked)


def test_whatever_ntptime_raises():
    # A packet too short for struct.unpack, an IPv6 address for an IPv4 socket (ports/esp32's
    # sendto), an empty list of addresses: nothing may end the program.
    for error in (OSError(110), ValueError("buffer too small"), IndexError(), TypeError()):
        rig = Rig([error])
        assert rig.run(1) is None
        assert rig.lines[-1].startswith("clock: one: no answer, " + str(error)), rig.lines
        harness.equal(rig.run(10), NOW + 11)


def test_answers_that_cannot_be():
    for answer in (0, -5, FLOOR - 1, FLOOR + 473040001, 1 << 40):
        rig = Rig([answer])
        assert rig.run(1) is None, answer
        harness.equal(rig.run(10), NOW + 11)
    harness.equal(Rig([FLOOR]).run(1), FLOOR + 1)  # the floor itself is believed


def test_an_rtc_that_kept_the_time():
    rig = Rig(rtc=NOW - 3)
    harness.equal((rig.now_s(), rig.clock.source), (NOW - 3, "rtc"))
    rig.run(1)
    harness.equal((rig.now_s(), rig.clock.source), (NOW + 1, "ntp"))


def test_an_rtc_that_did_not():
    for rtc in (0, 10, FLOOR - 1, FLOOR + 473040001):
        assert Rig(rtc=rtc).now_s() is None, rtc
    assert Rig(rtc=NOW - 1, good=NOW).now_s() is None


def test_below_the_last_good_time_is_not_believed():
    rig = Rig([NOW - 86400], good=NOW - 100)
    assert rig.run(1) is None
    harness.equal(rig.run(5), NOW + 6)


def test_three_that_agree_overrule_the_last_good_time():
    rig = Rig(good=NOW + 3 * 365 * 86400)
    assert rig.run(2) is None
    harness.equal(rig.run(60), NOW + 62)
    harness.equal((len(rig.asked), rig.settings.saves), (3, 1))
    assert NOW <= rig.settings.state["clock"] <= NOW + 62
    rig.run(86400, every_ms=10_000)  # and so it stays
    harness.equal((len(rig.asked), rig.now_s()), (3 + 4, NOW + 62 + 86400))


def test_three_that_do_not_agree_overrule_nothing():
    answers = [NOW, NOW + 100000, NOW + 200000, NOW + 300000, NOW + 400000]
    rig = Rig(answers, good=NOW + 3 * 365 * 86400)
    assert rig.run(50) is None
    harness.equal(len(rig.asked), 5)


def test_a_good_answer_in_between_and_they_are_not_in_a_row():
    wrong = NOW - 30 * 86400
    rig = ran(10, [wrong, wrong + 2, NOW + 6, wrong + 6 + 21600], good=NOW - 100)
    harness.equal(len(rig.asked), 3)
    harness.equal(rig.run(21600), NOW + 21610)
    assert len(rig.asked) >= 4


def test_a_saved_time_that_cannot_be_is_no_obstacle():
    for value in (0, -1, FLOOR - 1):  # what lies too far ahead does not pass config.py
        harness.equal(Rig(good=value).run(1), NOW + 1)


def test_asks_again_every_six_hours():
    rig = Rig()
    rig.run(3 * 86400, every_ms=10_000)
    harness.equal(len(rig.asked), 12)


def test_a_week_off_line_does_not_silence_the_questions():
    # The ticks have gone more than half their round: the last question seems to be to come.
    rig = ran(10)
    rig.run(7 * 86_400, online=False, every_ms=1_000_000)
    rig.asked.clear()
    rig.run(2)
    harness.equal(rig.asked, ["two"])


def test_a_clock_that_drifted_is_put_right():
    rig = Rig()
    rig.run(21600, every_ms=10_000)
    rig.answers = [NOW + 21600 - 7]
    rig.run(10, every_ms=10_000)
    harness.equal(rig.now_s(), NOW + 21610 - 7)


def test_flash_is_written_every_six_hours_at_most():
    rig = Rig()
    rig.run(10 * 86400, every_ms=10_000)
    assert 30 <= rig.settings.saves <= 41, rig.settings.saves
    for age_s, saves in ((60, 0), (21599, 0), (21600, 1)):
        rig = ran(100, good=NOW - age_s)
        harness.equal(rig.settings.saves, saves)


def test_the_time_is_an_offset_to_the_seconds_since_boot():
    rig = Rig(rtc=NOW - 3)
    clock = rig.clock
    for seconds in (1, 100, 21600, 50000):
        rig.run(seconds, every_ms=1000)
        harness.equal(clock.s, rig.ticks.total // 1000)  # no answer moves it
        harness.equal(clock.offset, NOW)
    rig = Rig([None, NOW + 9])
    harness.equal((rig.clock.offset, rig.now_s()), (None, None))
    rig.run(1)
    harness.equal((rig.clock.offset, rig.now_s()), (None, None))
    rig.run(4)
    harness.equal(rig.clock.offset, NOW + 9 - 2)  # the answer came at second 2


def test_an_answer_is_of_the_end_of_the_question():
    rig = Rig()
    rig.blocks_ms = 14_000
    rig.run(1)
    harness.equal(rig.now_s(), NOW + 15)
    rig = Rig([None])
    rig.blocks_ms = 14_000
    rig.run(1)
    harness.equal(rig.clock.ask_s - 14, 2)  # the pause begins then, too


def test_the_uptime_goes_on_across_the_wrap_of_the_ticks():
    for start_ms in (0, 500, fakes.PERIOD - 1, fakes.PERIOD - 999, fakes.PERIOD - 1000):
        for every_ms in (1, 7, 999, 1000, 1001, 59_999):
            ticks = fakes.Clock(start_ms)
            clock = Clock(ticks.now, ticks.diff)
            for n in range(200):
                clock.step()
                harness.equal(clock.s, n * every_ms // 1000)
                harness.equal(clock.left_ms(n * 60), max(0, n * (60_000 - every_ms)))
                ticks.pass_ms(every_ms)
    ticks = fakes.Clock()
    clock = Clock(ticks.now, ticks.diff)
    for _ in range(50 * 24):  # 50 days are four rounds of the ticks
        ticks.pass_ms(3_600_123)
        clock.step()
    harness.equal(clock.s, 50 * 24 * 3_600_123 // 1000)
    harness.equal(clock.left_ms(clock.s + 86_400), 86_400_000 - 50 * 24 * 123 % 1000)
    ticks.pass_ms(3_600_123)  # nobody has looked
    harness.equal(clock.left_ms(clock.s + 3600), 0)


def test_the_module_may_be_unloaded_between_two_questions():
    rig = Rig([None], good=NOW + 3 * 365 * 86400)
    for seconds in (1, 2, 4, 8, 16, 32):
        rig.run(seconds)
        old = sys.modules.pop("firmware.net.clock")
        del sys.modules["firmware.net"].clock
        from firmware.net import clock

        assert clock is not old
        rig.module = clock
    harness.equal((len(rig.asked), rig.clock.source), (4, "ntp"))
    harness.equal(rig.asked, ["one", "two", "three", "one"])


def test_what_is_asked_in_each_pass_allocates_nothing():
    rig = ran(1)
    clock = rig.clock
    for ms in (0, 1, 1500, 100_000):
        rig.ticks.pass_ms(ms)
        harness.no_heap(clock.step)
        harness.no_heap(lambda: clock.left_ms(86_400))
        harness.no_heap(lambda: clock.diff(clock.now(), clock.now()))
    assert not harness.no_heap(lambda: clock.s >= clock.ask_s)


QUERY = ntp.query  # the rig puts its own in its place
HERE = ("192.0.2.1", 123)
S1900 = FLOOR + 3155673600


class Net:
    # Stands in for `socket`; answers(question) -> [(packet, sender)], then nothing for 2 s.
    AF_INET, SOCK_DGRAM = 2, 2

    def __init__(self, answers):
        self.answers, self.found = answers, [(2, 2, 0, "", HERE)]
        self.ticks = fakes.Clock()
        self.open, self.asked, self.slow_ms = 0, [], 0
        ntp.socket = self

    def getaddrinfo(self, host, port, family):
        harness.equal((port, family), (123, 2))
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def socket(self, family, kind):
        harness.equal((family, kind), (2, 2))
        self.open += 1
        return self

    def settimeout(self, seconds):
        harness.equal(seconds, 2)

    def sendto(self, data, address):
        self.asked.append((bytes(data), address))
        self.left = list(self.answers(bytes(data)))

    def recvfrom(self, size):
        harness.equal(size, 48)
        if not self.left:
            self.ticks.pass_ms(2000)
            raise OSError(110)
        self.ticks.pass_ms(self.slow_ms)
        packet, sender = self.left.pop(0)
        return packet[:size], sender

    def close(self):
        self.open -= 1

    def query(self, seed=1):
        try:
            return QUERY("a.pool", self.ticks, fakes.Random(seed))
        finally:
            harness.equal(self.open, 0)


def answer(question, s1900=S1900, first=0x24, stratum=2, echo=None):
    packet = bytearray(48)
    packet[0], packet[1] = first, stratum
    packet[24:32] = question[40:] if echo is None else echo
    packet[40:44] = (s1900 & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(packet)


def one(**changes):
    return Net(lambda question: [(answer(question, **changes), HERE)])


def test_the_question():
    net = one()
    harness.equal(net.query(), FLOOR)
    net.query(2)
    (first, address), (second, _) = net.asked
    harness.equal((first[0], len(first), first[1:40], address), (0x23, 48, bytes(39), HERE))
    assert first[40:] != second[40:] and len(set(first[40:])) > 3


def test_what_else_a_server_may_say():
    for changes in (
        {"first": 0x1C},  # version 3
        {"first": 0x64},  # leap second to come
        {"stratum": 1},
        {"stratum": 15},
    ):
        harness.equal(one(**changes).query(), FLOOR)


def test_a_server_without_the_time():
    for changes in ({"stratum": 0}, {"stratum": 16}, {"first": 0xE4}, {"s1900": 0}):
        error = harness.raises(ValueError, one(**changes).query)
        assert str(error).endswith("not synchronised"), error


def test_the_years_after_2036():
    for s2000 in (FLOOR, 1139293695, 1139293697, 1139293696 + 400000000):
        harness.equal(one(s1900=s2000 + 3155673600).query(), s2000)


def test_what_is_not_the_answer_is_passed_over():
    def junk(question):
        right = answer(question)
        yield answer(question, S1900 + 99, echo=bytes(8)), HERE  # forged: the question unseen
        yield answer(question, S1900 + 99), ("192.0.2.2", 123)
        yield answer(question, S1900 + 99), ("192.0.2.1", 124)
        yield answer(question, S1900 + 99, first=0x23), HERE  # a question
        yield answer(question, S1900 + 99, first=0x25), HERE  # a broadcast
        yield right[:47], HERE
        yield b"", HERE
        yield question, HERE
        yield right + b"more", HERE

    harness.equal(Net(junk).query(), FLOOR)


def test_nothing_right_is_no_answer():
    assert isinstance(harness.raises(OSError, one(echo=bytes(8)).query), OSError)
    flood = Net(lambda question: [(b"", HERE)] * 1000)
    flood.slow_ms = 10
    error = harness.raises(ValueError, flood.query)
    assert 2000 <= fakes.Clock().diff(flood.ticks.now(), fakes.PERIOD - 5) <= 2010, error


def test_addresses():
    net = one()
    net.found = [(10, 1, 0, "a", None)] + net.found  # an ESP32's for IPv6
    harness.equal(net.query(), FLOOR)
    for found in ([], [(10, 1, 0, "a", None)], OSError(-2), TypeError()):
        net.found = found
        harness.raises(Exception, net.query)


def test_whatever_comes_nothing_is_raised_by_ask():
    random = fakes.Random(harness.seed())
    rig = Rig([None])
    for _ in range(harness.count(300)):
        size = random(60)
        packet = bytes(random(256) for _ in range(size))
        found = [
            [(2, 2, 0, "", HERE)],
            [],
            OSError(-2),
            [(10, 1, 0, "", None)],
            MemoryError(),
            RuntimeError(),
        ][random(12) % 6]

        cut = random(96)

        def answers(question, packet=packet, cut=cut):
            return [(answer(question)[: max(0, cut - 48)] + packet, HERE)]

        net = Net(answers)
        net.found = found
        rig.query = lambda server, clock, chance, net=net: net.query()
        rig.run(1)
        rig.clock.ask_s = 0
        offset = rig.clock.offset
        assert offset is None or FLOOR - 400 <= offset <= FLOOR + 473040000
