# Readings leave in order, no faster than allowed, and each once.

import harness
from fakes import Clock
from firmware.core import telemetry
from firmware.sender import Sender


class Outbox:
    def __init__(self, count):
        self.count = count
        self.unsent_seq = 0
        self.acked = []
        self._record = bytearray(telemetry.RECORD_BYTES)
        telemetry.pack(self._record, 848534400, 2137)

    def next_unsent(self):
        if self.unsent_seq == self.count:
            return None
        self.unsent_seq += 1
        return memoryview(self._record)

    def ack(self, seq):
        self.acked.append(seq)


class Session:
    def __init__(self):
        self.room = 100
        self.refuse = False
        self.sent = []

    def can_send(self):
        return self.room

    def publish1(self, topic, payload, tag, retain, size):
        if self.refuse:
            return 0
        self.sent.append((tag, bytes(payload[:size])))
        return 1


class Bench:
    def __init__(self, count, drain_per_s=20):
        self.clock = Clock()
        self.outbox = Outbox(count)
        self.session = Session()
        self.sender = Sender(self.outbox, self.session, b"t", b"x", self.clock, drain_per_s)

    def steps(self, count=200):
        for _ in range(count):
            self.sender.step()
        return [tag for tag, _ in self.session.sent]


def test_in_order_and_no_faster_than_allowed():
    bench = Bench(50)
    harness.equal(bench.steps(), list(range(1, 21)))
    bench.clock.pass_ms(999)
    harness.equal(len(bench.steps()), 20)
    bench.clock.pass_ms(1)
    harness.equal(len(bench.steps()), 40)
    bench.clock.pass_ms(1000)
    harness.equal(bench.steps(), list(range(1, 51)))
    assert b'"seq": 50' in bench.session.sent[-1][1]


def test_says_whether_there_is_more():
    bench = Bench(2)
    harness.equal([bench.sender.step() for _ in range(3)], [True, True, False])


def test_a_reading_the_session_did_not_take_is_not_lost():
    bench = Bench(2)
    bench.session.refuse = True
    harness.equal(bench.steps(), [])
    bench.session.refuse = False
    bench.session.room = 0
    harness.equal(bench.steps(), [])
    bench.session.room = 1
    harness.equal(bench.steps(), [1, 2])


def test_a_week_without_a_session():
    # The ticks have gone more than half their round: the slice seems to be yet to come.
    bench = Bench(2, drain_per_s=1)
    harness.equal(bench.steps(), [1])
    bench.clock.pass_ms(7 * 86_400_000)
    harness.equal(bench.steps(), [1, 2])


def test_acknowledgements_go_to_the_outbox():
    bench = Bench(1)
    bench.sender.acknowledged(1)
    harness.equal(bench.outbox.acked, [1])


harness.run(globals())
