# heap: 96wk
# What a running session costs in memory: nothing for a steady stream of readings.

import select
import sys

import harness
from fakes import Log
from fakes_net import Bench, publish
from firmware.net.connection import Connection

PAYLOAD = b'{"device_id": "greenhouse-1", "timestamp": 1795248682, "temperature": 21.37, "seq": 9}'
PID_AT = 6  # its low byte, after type, length, the topic "t" and the high byte


class Loopback:
    # A socket that acknowledges every QoS 1 publish, without touching the heap.
    def __init__(self):
        self.pids = [0] * 8
        self.owes = self.at = self.sent = 0

    def write(self, buf, at, size):
        self.pids[self.owes] = buf[at + PID_AT]
        self.owes += 1
        self.sent += 1
        return size

    def readinto(self, buf, size):
        if not self.owes:
            return None
        if self.at < 2:  # type and length, byte by byte
            buf[0] = 2 if self.at else 0x40
            self.at += 1
            return 1
        self.owes -= 1
        self.at = 0
        buf[0], buf[1] = 0, self.pids[self.owes]
        return 2

    def close(self):
        pass


class Mute(Loopback):
    def readinto(self, buf, size):
        return None


class Ready:
    # The real poll, on something that is always ready. Its register() alone is left out: it makes
    # a number of the object's address, which is a small int on every board, but none in the
    # 32-bit unix build.
    def __init__(self):
        poll = select.poll()
        poll.register(sys.stdout, select.POLLOUT)
        self.ipoll = poll.ipoll

    def register(self, sock, flags):
        pass


def steady(window=8):
    bench = Bench(window=window)
    session = bench.session
    bench.broker.present, session.doubt = 1, False
    acked = [0]

    def ack(tag):
        acked[0] += 1

    def encode(seq, buf, at):
        for i in range(len(PAYLOAD)):
            buf[at + i] = PAYLOAD[i]
        return at + len(PAYLOAD)

    session.encode = encode
    session.on_ack = ack
    log = Log()
    connection = Connection(session, bench.clock, int, log, bench.link.context, 1024)
    connection.on_up = log.lines.append
    while not connection.up:
        connection.step(True)
    bench.acks = acked
    wire = session.transport.sock = Loopback()
    return bench, connection, wire


def readings_do_not_allocate(at_once):
    # The loop's own calls: hand over, step, ask what is due, wait.
    bench, connection, wire = steady()
    session = bench.session
    session.transport.poll = Ready()

    def readings():
        session.pid = 0
        for seq in range(1, 101):
            session.take(seq)
            if seq % at_once == 0:
                connection.step(True)
                connection.step(True)
                if session.due() >= 0 or not connection.wait(1000):
                    raise ValueError

    readings()
    harness.no_heap(readings)
    harness.equal((wire.sent, bench.acks, session.used), (200, [200], 0))


def test_readings_sent_and_acknowledged_do_not_allocate():
    for at_once in (1, 4):
        readings_do_not_allocate(at_once)


def test_a_reading_sent_again_does_not_allocate():
    bench, connection, _ = steady()
    wire = bench.session.transport.sock = Mute()
    bench.session.take(1)
    connection.step(True)
    bench.clock.pass_ms(5_000)
    harness.no_heap(lambda: connection.step(True))
    harness.equal((wire.sent, bench.session.used), (2, 1))


def test_nothing_to_do_does_not_allocate():
    _, connection, _ = steady()
    harness.no_heap(lambda: connection.step(True))


def test_a_ping_does_not_allocate():
    bench, connection, _ = steady()
    wire = bench.session.transport.sock = Mute()
    wire.write = lambda buf, at, size: size
    bench.clock.pass_ms(30_000)
    harness.no_heap(lambda: connection.step(True))
    harness.equal((bench.session.pinged, bench.session.owed), (True, b""))


def test_a_full_window_of_100():
    bench = Bench(window=100, mute=[3]).up()
    for seq in range(1, 101):
        bench.publish(seq)
    bench.session.step()
    harness.equal((bench.session.used, len(bench.net.sock.writes)), (100, 100))


def test_reconnects_do_not_add_up():
    bench = Bench(mute=[3])

    def cycle():
        bench.up()
        if bench.session.used < 8:
            bench.publish(1)
        bench.session.step()
        bench.session.close()
        bench.forget()

    for _ in range(10):
        cycle()
    before = harness.settled_heap()
    for _ in range(100):
        cycle()
    grown = harness.settled_heap() - before
    assert grown <= 0, grown


def test_a_message_that_does_not_fit_the_heap_is_drained():
    bench = Bench(limit_bytes=1_000_000).up()
    size = 400_000
    head = (
        b"\x32"
        + bytes((size & 127 | 128, size >> 7 & 127 | 128, size >> 14))
        + b"\x00\x01t\x00\x05"
    )
    bench.push(head)
    part = bytes(1000)
    for left in range(size - 5, 0, -1000):
        bench.receive(part if left >= 1000 else bytes(left))
    bench.receive(publish(b"t", b"next"))
    harness.equal((bench.session.oversized, bench.messages), (1, [(b"t", b"next")]))
    harness.equal(bench.net.sock.sent(), b"\x40\x02\x00\x05")


def test_a_large_message_is_let_go_again():
    bench = Bench(limit_bytes=8192).up()
    bench.receive(publish(b"t", bytes(2000), 1))
    harness.equal(len(bench.messages[0][1]), 2000)
    assert len(bench.session.transport.body) < 400, len(bench.session.transport.body)
