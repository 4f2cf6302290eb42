# heap: 48wk
# When the connection is made, when it subscribes, and what ends it. The session and the way to it
# are fakes; test_connection_steps.py has the real ones.

import sys

import harness
from fakes import DOWN, OPENING, UP, state
from fakes_connection import Bench
from firmware import net
from firmware.core.errors import LinkError


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


def test_a_forgotten_session_is():
    bench = Bench().up()
    bench.break_up("closed")
    bench.session.present = False
    bench.run(2000)
    harness.equal(bench.session.calls, ["close", "connect", "begin False", "subscribe"])


def test_dropped_before_suback_the_doubt_stays():
    # The broker made the session at CONNECT; the SUBSCRIBE may never have reached it. It stands in
    # its slot and goes out with the others, see test_connection_steps.py.
    bench = Bench()
    bench.step()
    bench.break_up("closed")
    bench.session.present = True
    bench.run(2000)
    harness.equal((bench.session.calls[-1], bench.session.doubt), ("begin True", True))
    harness.equal(list(bench.session.waiting), [bench.session.SUBSCRIBE])


def test_a_suback_is_the_end_of_the_doubt():
    bench = Bench()
    bench.run(500)
    bench.session.suback()
    bench.step()
    bench.break_up("closed")
    bench.session.present = True
    bench.run(2000)
    harness.equal(bench.session.calls[-2:], ["connect", "begin True"])


def test_in_doubt_a_kept_session_is_subscribed_again():
    # As when the filters are others than last time.
    bench = Bench()
    bench.session.doubt = bench.session.present = True
    bench.run(1000)
    harness.equal(bench.session.calls, ["connect", "begin True", "subscribe"])


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


harness.run(globals())
