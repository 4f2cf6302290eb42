# heap: 48wk
# When the link connects, subscribes, waits and gives up. The session is a fake.

import harness
from fakes import Clock, Fixed, Log, Random
from firmware.core import errors
from firmware.core.errors import LinkError
from firmware.net.link import DOWN, JOINING, STABLE_MS, UP, Link

TOPICS = ("a", "b")


class FakeSession:
    unanswered = 0

    def __init__(self):
        self.present = False
        self.error = None  # raised by connect() or step()
        self.subscribed = False
        self.calls = []

    def connect(self):
        self.calls.append("connect")
        self._fail()
        return self.present

    def step(self):
        self._fail()

    def in_flight(self):
        return self.unanswered

    def subscribe1(self, topics):
        self.calls.append("subscribe")
        self.subscribed = False

    def close(self):
        self.calls.append("close")

    def _fail(self):
        if self.error is not None:
            raise self.error


class Bench:
    def __init__(self, random=None, offline_reboot_s=3600):
        self.clock = Clock()
        self.session = FakeSession()
        self.network = True
        self.log = Log()
        self.events = []
        self.random = random or Fixed(0)
        self.link = Link(
            self.session, self.clock, self.random, self.log, self.online, TOPICS, offline_reboot_s
        )
        self.link.on_up = lambda present: self.events.append(("up", present))
        self.link.on_down = lambda error: self.events.append(("down", error and error.reason))

    def online(self):
        return self.network

    def run(self, ms, every_ms=250):
        for _ in range(0, ms, every_ms):
            self.clock.pass_ms(every_ms)
            self.link.step()

    def up(self):
        self.session.present = True
        self.link.step()
        self.session.calls.clear()
        self.events.clear()
        return self

    def fail(self, reason):
        # One failure, and how long the link then waits.
        self.session.error = LinkError(reason)
        self.link.step()
        before = self.session.calls.count("connect")
        waited_ms = 0
        while self.session.calls.count("connect") == before:
            self.clock.pass_ms(50)
            waited_ms += 50
            if self.session.calls[-1] != "connect":
                self.session.error = LinkError(reason)
            self.link.step()
        return waited_ms


def test_connects_at_once_and_subscribes():
    bench = Bench()
    bench.link.step()
    harness.equal(bench.session.calls, ["connect", "subscribe"])
    harness.equal((bench.link.state, bench.link.up, bench.events), (JOINING, False, []))
    bench.session.subscribed = True
    bench.link.step()
    harness.equal((bench.link.state, bench.link.up, bench.events), (UP, True, [("up", False)]))


def test_a_kept_session_is_not_subscribed_again():
    bench = Bench()
    bench.session.present = True
    bench.link.step()
    harness.equal((bench.session.calls, bench.events), (["connect"], [("up", True)]))


def test_a_forgotten_session_is():
    bench = Bench().up()
    bench.session.error = LinkError(errors.CLOSED)
    bench.link.step()
    bench.session.error, bench.session.present = None, False
    bench.run(2000)
    harness.equal(bench.session.calls, ["close", "connect", "subscribe"])


def test_dropped_before_suback_means_subscribe_again():
    # The broker made the session at CONNECT; the SUBSCRIBE may never have reached it.
    bench = Bench()
    bench.link.step()
    bench.session.error = LinkError(errors.CLOSED)
    bench.link.step()
    bench.session.error, bench.session.present = None, True
    bench.run(2000)
    harness.equal(bench.session.calls, ["connect", "subscribe", "close", "connect", "subscribe"])


def test_other_topics_than_last_time():
    bench = Bench()
    bench.session.present = True
    bench.link.resubscribe()
    bench.link.step()
    harness.equal(bench.session.calls, ["connect", "subscribe"])


def test_no_network_no_connect():
    bench = Bench()
    bench.network = False
    bench.run(10_000)
    harness.equal((bench.session.calls, bench.link.state, bench.link.drops), ([], DOWN, 0))
    bench.network = True
    bench.run(500)
    harness.equal(bench.session.calls[0], "connect")


def test_network_gone_is_no_trouble_of_the_broker():
    bench = Bench().up()
    bench.network = False
    bench.link.step()
    harness.equal((bench.session.calls, bench.events), (["close"], [("down", None)]))
    harness.equal((bench.link.drops, bench.link.last_reason), (1, "network"))
    bench.random.asked.clear()
    bench.run(5000)
    bench.network = True
    bench.run(1000)
    harness.equal((bench.link.up, bench.random.asked), (True, []))


def test_failing_to_connect_because_the_network_went():
    bench = Bench(Fixed(1))

    def connect():
        bench.network = False
        raise LinkError(errors.DNS)

    bench.session.connect = connect
    bench.link.step()
    harness.equal(bench.random.asked, [])  # the backoff was not touched


def test_waits_grow_to_a_minute_and_keep_a_floor():
    highest = Bench(Fixed(1))
    waits = [highest.fail(errors.TCP) for _ in range(9)]
    wanted = [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]
    harness.equal([round(ms / 100) * 100 for ms in waits], wanted)
    lowest = Bench(Fixed(0))
    harness.equal({lowest.fail(errors.TCP) for _ in range(9)}, {500})


def test_a_no_of_aws_is_asked_again_slowly():
    for reason in (errors.NO_CONNACK, errors.REFUSED):
        bench = Bench(Fixed(1))
        waits = [round(bench.fail(reason) / 100) * 100 for _ in range(5)]
        harness.equal(waits, [8000, 16_000, 32_000, 60_000, 60_000])
        harness.equal({Bench(Fixed(0)).fail(reason)}, {4000})


def test_waits_differ():
    bench = Bench(Random(7))
    waits = [bench.fail(errors.TCP) for _ in range(12)]
    assert len(set(waits)) > 8, waits
    steps = [waits[i + 1] - waits[i] for i in range(len(waits) - 1)]
    assert any(step < 0 for step in steps) and any(step > 0 for step in steps), waits


def test_let_in_and_thrown_out_keeps_waiting_longer():
    bench = Bench(Fixed(1))
    bench.session.present = True
    starts = []
    for _ in range(6):
        while bench.link.state == DOWN:
            bench.clock.pass_ms(50)
            bench.link.step()
        starts.append(bench.clock.now())
        bench.run(1000)
        bench.session.error = LinkError(errors.CLOSED)
        bench.link.step()
        bench.session.error = None
    gaps = [bench.clock.diff(starts[i + 1], starts[i]) for i in range(5)]
    harness.equal([round(gap / 1000) for gap in gaps], [2, 3, 5, 9, 17])


def test_twenty_seconds_of_session_forgive():
    for ms, wanted in ((STABLE_MS - 1000, 32_000), (STABLE_MS + 1000, 1000)):
        bench = Bench(Fixed(1))
        for _ in range(4):
            bench.fail(errors.TCP)
        bench.session.error = None
        bench.session.present = True
        while not bench.link.up:
            bench.run(250)
        bench.run(ms)
        bench.session.error = LinkError(errors.CLOSED)
        bench.link.step()
        harness.equal(bench.random.asked[-1] + 499, wanted)


def test_what_is_reported():
    bench = Bench()
    bench.session.error = LinkError(errors.TLS, "host name")
    bench.run(3000)
    harness.equal((bench.link.drops, bench.link.last_reason), (0, "tls host name"))
    harness.equal((bench.link.offline_s(), bench.link.outage_s), (3, 3))
    bench.session.error = None
    bench.session.present = True
    bench.run(4000)
    harness.equal((bench.link.up, bench.link.outage_s), (True, 0))
    offline_s = bench.link.offline_s()
    bench.run(60_000)
    harness.equal(bench.link.offline_s(), offline_s)
    bench.session.error = LinkError(errors.NO_PINGRESP)
    bench.link.step()
    harness.equal((bench.link.drops, bench.link.last_reason), (1, "no_pingresp"))
    harness.equal(bench.events[-1], ("down", "no_pingresp"))


def test_closed_without_an_answer_points_at_the_policy():
    # AWS says no to a PUBLISH or SUBSCRIBE by closing (aws-facts 1.9).
    bench = Bench().up()
    bench.session.unanswered = 2
    bench.session.error = LinkError(errors.CLOSED)
    bench.link.step()
    harness.equal(bench.link.last_reason, "closed with 2 unanswered: AWS policy?")
    for unanswered, detail, words in ((0, None, "closed"), (2, 104, "closed 104")):
        bench = Bench().up()
        bench.session.unanswered = unanswered
        bench.session.error = LinkError(errors.CLOSED, detail)
        bench.link.step()
        harness.equal(bench.link.last_reason, words)
    bench = Bench()
    bench.link.step()
    bench.session.error = LinkError(errors.CLOSED)
    bench.link.step()
    harness.equal(bench.link.last_reason, "closed at SUBSCRIBE: AWS policy?")


def test_the_log_says_what_happened():
    bench = Bench()
    bench.session.error = LinkError(errors.NO_CONNACK, "closed by AWS")
    bench.link.step()
    harness.equal(bench.log.lines, ["link: no_connack closed by AWS, next try in 4000 ms"])


def test_an_hour_without_a_session():
    bench = Bench(offline_reboot_s=600)
    bench.network = False
    bench.run(599_000, 1000)
    harness.equal(bench.link.too_long_offline(), False)
    bench.run(2000, 1000)
    harness.equal(bench.link.too_long_offline(), True)
    bench.network = True
    bench.up()
    harness.equal(bench.link.too_long_offline(), False)


def test_zero_never_restarts():
    bench = Bench(offline_reboot_s=0)
    bench.network = False
    bench.run(100_000_000, 1_000_000)
    harness.equal((bench.link.too_long_offline(), bench.link.outage_s), (False, 100_000))


def test_a_week_without_a_network():
    # The ticks have gone more than half their round: the last mark seems to be in the future.
    bench = Bench(offline_reboot_s=0)
    bench.link.step()
    bench.session.error = LinkError(errors.CLOSED)
    bench.link.step()
    bench.session.error, bench.network = None, False
    bench.run(7 * 86_400_000, 1_000_000)
    bench.network = True
    bench.session.calls.clear()
    bench.run(500)
    harness.equal(bench.session.calls[0], "connect")


def test_a_short_limit_leaves_time_to_get_on_line_after_a_restart():
    # 10 s are legal, and AWS can set them: they must not restart a board that is still joining
    # Wi-Fi, asking for the time and shaking hands, again and again.
    bench = Bench(offline_reboot_s=10)
    bench.network = False
    bench.run(119_000, 1000)
    harness.equal(bench.link.too_long_offline(), False)
    bench.run(2000, 1000)
    harness.equal(bench.link.too_long_offline(), True)
    bench.network = True
    bench.up()
    bench.network = False
    bench.run(9000, 1000)
    harness.equal(bench.link.too_long_offline(), False)
    bench.run(2000, 1000)
    harness.equal(bench.link.too_long_offline(), True)


harness.run(globals())
