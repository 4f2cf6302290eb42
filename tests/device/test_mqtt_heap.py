# heap: 96wk
# What a running session costs in memory: nothing for a steady stream of readings.

import harness
from fakes import Clock
from fakes_net import Bench, publish

TOPIC = b"devices/greenhouse-1/data"
PAYLOAD = bytearray(
    b'{"device_id": "greenhouse-1", "timestamp": 1795248682, "temperature": 21.37}'
)


class Loopback:
    # A wire that acknowledges every QoS 1 publish, without touching the heap.
    half_duplex = False

    def __init__(self):
        self.ack = bytearray(b"\x40\x02\x00\x00")
        self.owes = 0
        self.sent = 0

    def write(self, buf, at, size):
        pid_at = 2 + 2 + len(TOPIC)
        self.ack[2], self.ack[3] = buf[pid_at], buf[pid_at + 1]
        self.owes += 1
        self.sent += 1
        return size

    def read(self, chunk, size):
        if not self.owes:
            return 0
        self.owes -= 1
        for i in range(4):
            chunk[i] = self.ack[i]
        return 4

    def wait(self, timeout_ms, writing):
        return True

    def close(self):
        pass


def steady(window=8):
    bench = Bench(Clock(), window=window).up()
    wire = bench.session._pipe._wire = Loopback()
    bench.session._on_ack = lambda tag: None
    return bench, wire


def test_publish_and_ack_do_not_allocate():
    bench, wire = steady()
    session = bench.session
    size = len(PAYLOAD)

    def hundred():
        for seq in range(100):
            session.publish1(TOPIC, PAYLOAD, seq, False, size)
            session.step()

    hundred()
    harness.no_heap(hundred)
    harness.equal((wire.sent, session.can_send()), (200, 8))


def test_nothing_to_do_does_not_allocate():
    bench, _ = steady()
    harness.no_heap(bench.session.step)


def test_slots_are_reused():
    bench, _ = steady()
    for seq in range(50):
        bench.session.publish1(TOPIC, PAYLOAD, seq)
        bench.session.step()
    harness.equal(len(bench.session._window._slots), 1)


def test_a_full_window_of_100():
    bench = Bench(Clock(), window=100, mute=[3]).up()
    for seq in range(120):
        bench.session.publish1(b"t", b"x", seq)
    harness.equal((bench.session.can_send(), len(bench.net.sock.writes)), (0, 100))


def test_reconnects_do_not_add_up():
    bench = Bench(Clock(), mute=[3])

    def cycle():
        bench.up()
        bench.session.publish1(b"t", b"x", 1)
        bench.session.close()
        bench.net.forget()

    for _ in range(10):
        cycle()
    before = harness.settled_heap()
    for _ in range(100):
        cycle()
    grown = harness.settled_heap() - before
    assert grown <= 0, grown


def test_a_message_that_does_not_fit_the_heap_is_drained():
    bench = Bench(Clock(), limit_bytes=1_000_000).up()
    size = 400_000
    head = (
        b"\x32"
        + bytes((size & 127 | 128, size >> 7 & 127 | 128, size >> 14))
        + b"\x00\x01t\x00\x05"
    )
    bench.push(head)
    for left in range(size - 5, 0, -4000):
        bench.push(bytes(min(left, 4000)))
        bench.session.step()
    bench.push(publish(b"t", b"next"))
    bench.session.step()
    harness.equal((bench.session.oversized, bench.messages), (1, [(b"t", b"next")]))
    harness.equal(bench.net.sock.sent(), b"\x40\x02\x00\x05")


harness.run(globals())
