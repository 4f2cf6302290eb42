# heap: 64wk
# When the connection is made, when it subscribes, what ends it, how long it then waits, and what
# it counts. The session and the way to it are fakes; test_connection_steps.py has the real ones.

import sys

import harness
from fakes import DOWN, OPENING, UP, Fixed, Random, state
from fakes_connection import Bench
from firmware import net
from firmware.core.errors import LinkError
from firmware.net.failure import STABLE_S


def test_up_with_connack_and_subscribes():
    # A publish does not wait for SUBACK: that saves a round trip.
    bench = Bench()
    bench.step()
    harness.equal(bench.session.calls, ["connect", "begin False", "subscribe"])
    harness.equal((state(bench.link), bench.events, bench.link.sessions), (UP, [False], 1))
    bench.run(1000)  # once, even while there is no SUBACK
    harness.equal(bench.session.calls[-1], "subscribe")
    harness.equal(len(bench.session.calls), 3)
    harness.equal(bench.log.lines, ["link: up, session new"])


def test_connecting_goes_in_steps():
    bench = Bench()
    bench.session.steps = 3
    for _ in range(3):
        bench.step()
        harness.equal((state(bench.link), bench.events), (OPENING, []))
    bench.step()
    harness.equal((state(bench.link), bench.session.calls[0]), (UP, "connect"))
    harness.equal(bench.session.calls.count("connect"), 1)


def test_a_kept_session_is_not_subscribed_again():
    bench = Bench()
    bench.session.present = True
    bench.run(1000)
    harness.equal((bench.session.calls, bench.events), (["connect", "begin True"], [True]))
    harness.equal(bench.log.lines, ["link: up, session kept"])
    # One that was forgotten is, and one that is kept, in doubt: when the filters are others.
    for doubt in (False, True):
        bench.up().break_up("closed")
        bench.session.present = bench.session.doubt = doubt
        bench.run(2000)
        wanted = ["close", "connect", "begin {}".format(doubt), "subscribe"]
        harness.equal(bench.session.calls, wanted)


def test_a_doubt_in_between_counts_too():
    # As the shadow has one when AWS does not answer: a cut before SUBACK leaves it.
    bench = Bench().up()
    bench.session.doubt = True
    bench.step()
    harness.equal(bench.session.calls, ["subscribe"])
    bench.break_up("closed")
    bench.run(2000)  # the packet stands in its slot and goes out with the others
    harness.equal((bench.session.calls[-1], bench.session.doubt), ("begin True", True))
    bench.session.suback()
    bench.run(1000)
    harness.equal((bench.session.calls[-1], bench.session.doubt), ("begin True", False))


def test_closed_without_an_answer_points_at_the_policy():
    # AWS says no to a PUBLISH or SUBSCRIBE by closing (aws-facts 1.9).
    for used, error, words in (
        (2, ("closed",), "closed with 2 unanswered: AWS policy?"),
        (0, ("closed",), "closed"),
        (2, ("closed", 104), "closed 104"),
    ):
        bench = Bench().up()
        bench.session.used = used
        harness.equal(bench.break_up(*error), words)
        assert bench.log.lines[-1].startswith("link: " + words + ", next try in "), bench.log.lines
    for error in (("closed",), ("closed", 104)):
        bench = Bench()
        bench.session.used = 2  # of the session before
        words = "no_connack closed by AWS: policy, client id or certificate"
        harness.equal(bench.break_up(*error), words)
        harness.equal(bench.log.lines, ["link: " + words + ", next try in 4000 ms"])


def test_the_log_says_what_happened():
    bench = Bench()
    bench.break_up("refused", 5)
    harness.equal(bench.log.lines, ["link: refused 5, next try in 4000 ms"])


def test_no_memory():
    for error, reason in (
        (MemoryError("memory allocation failed"), "memory session"),
        (LinkError("memory", "tls"), "memory tls"),
    ):
        for bench in (Bench(), Bench().up()):
            harness.equal(bench.break_up(error), reason)
            harness.equal(state(bench.link), DOWN)
            harness.equal((bench.session.transport, bench.link.opening), (None, None))
    bench.session.error = None
    bench.run(2000)
    harness.equal(state(bench.link), UP)


def test_no_memory_for_the_subscription():
    bench = Bench()

    def scarce():
        raise MemoryError("memory allocation failed")

    bench.session.subscribe = scarce
    bench.run(500)
    harness.equal((state(bench.link), bench.link.last_reason), (DOWN, "memory session"))
    harness.equal((bench.link.sessions, bench.drops(), bench.events), (1, 1, [False]))
    del bench.session.subscribe
    bench.session.present = True
    bench.run(2000)
    harness.equal(bench.session.calls[-3:], ["connect", "begin True", "subscribe"])


def test_no_memory_for_what_a_failure_needs():
    # failure.py is loaded when something has failed. Without room for it the session is over all
    # the same, and tried again.
    for bench in (Bench(), Bench().up()):
        saved = sys.modules.pop("firmware.net.failure", None)
        if hasattr(net, "failure"):
            del net.failure
        sys.modules["firmware.net.failure"] = Scarce()
        bench.session.error = LinkError("closed")
        bench.step()
        del sys.modules["firmware.net.failure"]
        if saved:
            sys.modules["firmware.net.failure"] = saved
        harness.equal((state(bench.link), bench.session.transport), (DOWN, None))
        harness.equal(bench.link.last_reason, "memory")
        bench.session.error = None
        bench.session.present = True
        bench.run(10_000)
        harness.equal(state(bench.link), UP)


class Scarce:
    def failed(self, *_):
        raise MemoryError("memory allocation failed")


def test_what_nobody_expected_does_not_end_the_program():
    for bench in (Bench(), Bench().up()):
        harness.equal(bench.break_up(ValueError("no such thing")), "bug ValueError no such thing")
        harness.equal((state(bench.link), bench.session.transport), (DOWN, None))
        bench.up()
    bench.link.on_up = lambda present: 1 // 0
    bench.break_up("closed")
    bench.run(1000)
    assert bench.link.last_reason.startswith("bug ZeroDivisionError"), bench.link.last_reason


def test_waiting():
    bench = Bench()
    harness.equal(bench.link.wait(100), False)  # at once: there is nothing to wait for
    bench.session.steps = 1
    bench.step()
    harness.equal((bench.link.wait(100), bench.session.calls[-1]), (True, "wait 100"))
    bench.up()
    bench.session.error = LinkError("closed", 104)
    harness.equal(bench.link.wait(50), True)
    harness.equal((state(bench.link), bench.link.last_reason), (DOWN, "closed 104"))


def test_no_network_no_connect():
    bench = Bench()
    bench.network = False
    bench.run(10_000)
    harness.equal((bench.session.calls, state(bench.link), bench.drops()), ([], DOWN, 0))
    bench.network = True
    bench.run(500)
    harness.equal(bench.session.calls[0], "connect")


def test_network_gone_is_no_trouble_of_the_broker():
    bench = Bench().up()
    bench.network = False
    bench.random.asked.clear()
    bench.step()
    harness.equal((bench.session.calls, state(bench.link)), (["close"], DOWN))
    harness.equal((bench.drops(), bench.link.last_reason), (1, "network gone"))
    assert bench.log.lines[-1].startswith("link: network gone, next try in "), bench.log.lines
    harness.equal(bench.random.asked, [1000])  # only so that not a whole site comes back at once
    bench.run(5000)
    bench.network = True
    bench.run(1000)
    harness.equal((state(bench.link), len(bench.random.asked)), (UP, 1))


def test_network_gone_while_connecting():
    bench = Bench(Fixed(1))
    bench.session.steps = 5
    bench.step()
    bench.network = False
    bench.step()
    harness.equal((bench.session.calls, state(bench.link)), (["connect", "close"], DOWN))
    harness.equal((bench.drops(), bench.random.asked), (0, [1000]))
    bench.network = True
    bench.run(1000)
    harness.equal(bench.session.calls.count("connect"), 2)  # from the start
    bench.run(2000)
    harness.equal(state(bench.link), UP)


def test_waits_grow_to_a_minute_and_keep_a_floor():
    highest = Bench(Fixed(1))
    waits = [highest.fail("tcp") for _ in range(9)]
    wanted = [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]
    harness.equal([round(ms / 100) * 100 for ms in waits], wanted)
    lowest = Bench(Fixed(0))
    harness.equal({lowest.fail("tcp") for _ in range(9)}, {500})


def test_a_no_of_aws_is_asked_again_slowly():
    for reason in ("closed", "refused"):
        bench = Bench(Fixed(1))
        waits = [round(bench.fail(reason) / 100) * 100 for _ in range(5)]
        harness.equal(waits, [8000, 16_000, 32_000, 60_000, 60_000])
        harness.equal({Bench(Fixed(0)).fail(reason)}, {4000})


def test_other_failures_do_not_count_as_a_no():
    bench = Bench(Fixed(1))
    for _ in range(4):
        bench.fail("tcp")
    bench.fail("refused")
    harness.equal(bench.random.asked[-1] + 3999, 8000)


def test_waits_differ():
    bench = Bench(Random(7))
    waits = [bench.fail("tcp") for _ in range(12)]
    assert len(set(waits)) > 8, waits
    steps = [waits[i + 1] - waits[i] for i in range(len(waits) - 1)]
    assert any(step < 0 for step in steps) and any(step > 0 for step in steps), waits


def test_let_in_and_thrown_out_keeps_waiting_longer():
    bench = Bench(Fixed(1))
    bench.session.present = True
    starts = []
    for _ in range(6):
        while state(bench.link) == DOWN:
            bench.clock.pass_ms(50)
            bench.step()
        starts.append(bench.clock.now())
        bench.run(1000)
        bench.break_up("closed")
    gaps = [bench.clock.diff(starts[i + 1], starts[i]) for i in range(5)]
    harness.equal([round(gap / 1000) for gap in gaps], [2, 3, 5, 9, 17])


def test_twenty_seconds_of_session_forgive():
    for reason, short_ms, long_ms in (("tcp", 1000, 32_000), ("refused", 8000, 60_000)):
        for s, wanted in ((STABLE_S - 1, long_ms), (STABLE_S + 1, short_ms)):
            bench = Bench(Fixed(1))
            for _ in range(4):
                bench.fail(reason)
            bench.session.error = None
            bench.up()
            bench.run(s * 1000)
            bench.break_up(reason)
            floor_ms = 499 if reason == "tcp" else 3999
            harness.equal(bench.random.asked[-1] + floor_ms, wanted)


def test_what_is_reported():
    bench = Bench()
    bench.session.error = LinkError("tls", "host name")
    bench.run(3000)
    harness.equal((bench.drops(), bench.link.last_reason), (0, "tls host name"))
    harness.equal((bench.offline_s(), bench.outage_s()), (3, 3))
    bench.session.error = None
    bench.session.present = True
    bench.run(4000)
    harness.equal(state(bench.link), UP)
    offline_s = bench.offline_s()
    assert 3 <= offline_s <= 5, offline_s
    bench.run(60_000)
    harness.equal(bench.offline_s(), offline_s)
    bench.break_up("no_pingresp")
    harness.equal((bench.drops(), bench.link.last_reason), (1, "no_pingresp"))
    bench.session.error = LinkError("dns")
    bench.run(10_000)
    harness.equal(bench.outage_s(), 10)
    harness.equal((bench.offline_s(), bench.drops()), (offline_s + 10, 1))
    bench.session.error = None
    bench.run(4000)
    harness.equal(bench.link.sessions, 2)


def test_connecting_counts_as_offline():
    bench = Bench()
    bench.session.steps = 1000
    bench.run(30_000)
    harness.equal((state(bench.link), bench.outage_s(), bench.offline_s()), (OPENING, 30, 30))


def test_a_week_without_a_network():
    # The ticks have gone more than half their round: the last mark seems to be in the future.
    bench = Bench().up()
    bench.break_up("closed")
    bench.network = False
    bench.run(7 * 86_400_000, 100_000)
    harness.equal(bench.outage_s(), 7 * 86_400)
    bench.network = True
    bench.session.calls.clear()
    bench.run(500)
    harness.equal(bench.session.calls[0], "connect")


def test_wrong_dates_of_a_certificate_ask_for_the_time_again():
    for words, asks in (("expired", True), ("not yet valid", True), ("not trusted", False)):
        bench = Bench()
        clock = bench.clock
        clock.ask_s = 21_600
        bench.break_up("tls", words)
        harness.equal(clock.ask_s, clock.s if asks else 21_600)
        # One was asked, and the certificate is refused again: not each time.
        clock.ask_s = 21_600 + clock.s
        begun = clock.s
        bench.session.error = LinkError("tls", words)
        bench.run(250_000)
        assert bench.session.calls.count("connect") > 3
        harness.equal(clock.ask_s < clock.s + 300, asks)
        assert not asks or clock.ask_s >= begun + 300


def test_a_time_at_which_certificates_are_refused_twice_is_dropped():
    for source, words, dropped in (
        ("ntp", "expired", True),
        ("rtc", "not yet valid", True),
        ("ntp", "not trusted", False),
        ("aws", "expired", False),  # authenticated: then it is the certificate
    ):
        bench = Bench()
        clock = bench.clock
        clock.offset, clock.source = 848_534_400, source
        bench.break_up("tls", words)
        assert clock.offset
        clock.ask_s = 21_600  # one was asked, and agrees with the clock
        bench.session.error = LinkError("tls", words)
        while bench.session.calls.count("connect") < 2:
            bench.run(50)
        harness.equal(clock.offset is None, dropped)
        if dropped:
            harness.equal((clock.source, clock.failures), ("dropped", 3))
            assert 290 <= clock.ask_s - clock.s <= 300, clock.ask_s


def test_another_board_with_our_thing_is_left_minutes():
    # Two that come back at once throw each other out for ever.
    for share, wait_ms in ((0, 120_000), (1, 299_999)):
        bench = Bench(Fixed(share)).up()
        bench.session.rival = "0b0c"
        bench.run(30_000)
        bench.break_up("closed")
        harness.equal(bench.link.wait_in.left_ms(), wait_ms)
        bench.run(wait_ms + 1000)
        harness.equal(state(bench.link), UP)
        bench.run(601_000)  # it has been alone
        bench.break_up("closed")
        assert bench.link.wait_in.left_ms() <= 1000
        bench.run(2000)
        bench.session.rival = None
        bench.run(30_000)
        bench.break_up("closed")
        assert bench.link.wait_in.left_ms() <= 1000
