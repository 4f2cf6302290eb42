# heap: 48wk
# How long the connection waits before it tries again, what it does without a network, and what it
# counts.

import harness
from fakes import DOWN, OPENING, UP, Fixed, Random, state
from fakes_connection import Bench
from firmware.core.errors import LinkError
from firmware.net.failure import STABLE_S


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


harness.run(globals())
