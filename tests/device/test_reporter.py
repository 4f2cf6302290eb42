# heap: 64wk
# The reporter between a shadow and a session that does what a broker may do to it.

import json

import harness
from fakes import Clock
from firmware.core.topics import Topics, subscribes
from firmware.reporter import Reporter
from shadow_setup import shadow_of

TOPICS = Topics("t-1", "devices/{thing}/data", "devices/{thing}/commands")


class Session:
    def __init__(self):
        self.sent = []
        self.subscribed_to = []

    def can_send(self):
        return 8

    def publish1(self, topic, payload, tag=None, retain=False):
        self.sent.append((topic, bytes(payload)))

    def subscribe1(self, topics):
        self.subscribed_to.append(tuple(topics))


class Facts:
    def __call__(self):
        return {"rssi": -60}

    def news(self):
        return 0


class Bench:
    def __init__(self):
        self.clock = Clock()
        self.session = Session()
        self.lines = []
        self.shadow = shadow_of()
        self.reporter = Reporter(
            self.shadow,
            self.session,
            TOPICS,
            self.clock,
            lambda key, value: None,
            self.lines.append,
        )
        self.reporter.facts = Facts()

    def step(self, seconds):
        for _ in range(seconds):
            self.clock.pass_ms(1000)
            self.reporter.step()

    def asked(self):
        return [
            json.loads(payload)
            for topic, payload in self.session.sent
            if topic == TOPICS.shadow_get
        ]

    def answer(self):
        token = self.asked()[-1]["clientToken"]
        document = {"state": {}, "version": 3, "clientToken": token}
        self.reporter.receive(TOPICS.get_accepted, json.dumps(document).encode())


def test_unheard_it_subscribes_again():
    # Found by chaos: the broker kept the session but not its subscriptions, and the board stayed
    # deaf to wishes and commands for good.
    bench = Bench()
    bench.reporter.connected()
    bench.step(9)
    harness.equal((len(bench.asked()), bench.session.subscribed_to), (1, []))
    bench.step(5)
    harness.equal(bench.session.subscribed_to, [subscribes(TOPICS)])
    harness.equal(len(bench.asked()), 2)
    bench.answer()
    bench.step(5)
    harness.equal((len(bench.asked()), len(bench.session.subscribed_to)), (2, 1))


def test_heard_it_does_not():
    # Device Advisor's MQTT_Persistent_Session_Happy_Case fails a board that does.
    bench = Bench()
    bench.reporter.connected()
    bench.step(3)
    bench.answer()
    bench.step(5)
    harness.equal(bench.session.subscribed_to, [])


harness.run(globals())
