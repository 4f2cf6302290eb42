# heap: 80wk
# The session over axTLS, whose one buffer a badly timed write spoils. The fake keeps that rule.

import sys

import harness
from fakes_net import AxContext, Bench, puback, publish, why
from firmware import loading
from firmware.core.errors import LinkError
from firmware.net import packets
from firmware.net.packets import document
from firmware.net.transport import READ_S


class AxTls:
    # As extmod/modtls_axtls.c: a record comes as one length byte and its plaintext.
    def __init__(self, raw):
        harness.equal((raw.blocking, raw.timeout_s), (True, READ_S))  # as the handshake needs it
        self.raw = raw
        self.plain = b""
        self.record = b""  # half of one, read but not whole
        self.ended = False

    def setblocking(self, flag):
        self.raw.setblocking(flag)

    def readinto(self, chunk, size):
        got = 0
        while got < size:
            if not self.plain and not self._next():
                return got or (0 if self.ended else None)
            take = min(size - got, len(self.plain))
            chunk[got : got + take] = self.plain[:take]
            self.plain = self.plain[take:]
            got += take
        return got

    def _next(self):
        # Another record. A read that may wait does so until the record is whole.
        while not self.record or len(self.record) <= self.record[0]:
            data = self.raw.read(1)
            if data is None:
                return False
            if data == b"":  # to axTLS a lost connection is the end
                self.ended = True
                return False
            self.record += data
        self.plain, self.record = self.record[1:], b""
        return True

    def write(self, buf, at, size):
        if self.plain or self.record:
            raise AssertionError("the stream is spoilt")
        return self.raw.write(buf, at, size)

    def close(self):
        self.raw.close()


class AxBench(Bench):
    # What the broker sends, it sends in records.
    def __init__(self, **kwargs):
        super().__init__(esp=True, **kwargs)
        self.link.context = AxContext()
        self.link.context.make = AxTls
        self.may_wait = True  # in the handshake
        broker = self.broker

        def peer(sock, data):
            before = len(sock.inbox)
            broker(sock, data)
            answer = bytes(sock.inbox[before:])
            sock.inbox = sock.inbox[:before]
            if answer:
                sock.inbox += record(answer)

        self.net.peer = peer


def record(data):
    return bytes((len(data),)) + data


def test_a_session():
    bench = AxBench()
    held = []
    bench.link.reserve = bytearray(8)
    bench.link.context.make = lambda raw: (held.append(bench.link.reserve), AxTls(raw))[1]
    bench.up()
    harness.equal(bench.link.context.wrapped, [("h", True)])  # the handshake is made there
    harness.equal(held, [None])  # the memory for it is free by then
    bench.session.filters = lambda: ["t"]
    packets.subscribe(bench.session)
    bench.publish(1, b"one")
    bench.publish(2, b"two")
    bench.steps(2000)
    harness.equal((bench.session.used, bench.acked), (0, [0, 1, 2]))


def test_what_can_leave_is_gone_in_the_handshake():
    # There an ESP8266's memory is at its shortest.
    bench = AxBench()
    context, bench.link.context = bench.link.context, None
    held = "firmware.net.tls", "firmware.net.packets"
    for name in held:
        sys.modules.pop(name, None)
    loading.keep()
    from firmware.net import tls

    tls.context = lambda: context
    del tls
    rooms, seen = [], []

    def make_room():
        rooms.append(1)  # before the context is made, and after it
        if len(rooms) == 2:
            loading.unload()

    bench.link.make_room = make_room

    def handshake(raw):
        bodies = bench.session.transport.body, bench.session.transport.out
        seen.append((bodies, [name for name in held if name in sys.modules]))
        return AxTls(raw)

    context.make = handshake
    bench.connect()
    harness.equal((seen, len(rooms)), ([((None, None), [])], 2))
    harness.equal(bench.broker.kinds(), [1])


def test_several_messages_in_one_record():
    bench = AxBench().up()
    bench.publish(1, b"mine")
    bench.receive(record(publish(b"t", b"a", 1) + publish(b"t", b"b", 2) + b"\xd0\x00"))
    harness.equal(bench.messages, [(b"t", b"a"), (b"t", b"b")])
    harness.equal(bench.broker.kinds(), [4, 4, 3])
    bench.session.step()
    harness.equal(bench.acked, [1])


def test_more_messages_than_one_step_reads():
    bench = AxBench().up()
    bench.publish(1, b"mine")
    bench.receive(record(publish(b"t", b"x") * 20))
    harness.equal((len(bench.messages), bench.broker.kinds()), (16, []))
    bench.session.step()
    harness.equal((len(bench.messages), bench.broker.kinds()), (20, [3]))


def test_more_messages_than_acks_may_wait():
    # Nothing may be written before all is read: with a limit on PUBACKs it would wait for ever.
    bench = AxBench().up()
    bench.push(record(b"".join(publish(b"t", b"x", pid) for pid in range(1, 21))))
    for _ in range(3):
        bench.session.step()
    harness.equal((len(bench.messages), bench.broker.kinds()), (20, [4] * 20))


def test_publishing_from_the_callback():
    bench = AxBench().up()

    def callback(topic, payload):
        document(bench.session, b"re", payload, -len(bench.messages) - 1)
        bench.messages.append(payload)

    bench.session.set_callback(callback)
    bench.receive(record(publish(b"t", b"a", 1) + publish(b"t", b"b", 2)))
    harness.equal(bench.broker.kinds(), [4, 4, 3, 3])


def test_a_slow_tcp_gets_the_rest_later():
    # What is half written does not make the next look for input one that may wait.
    bench = AxBench().up()
    bench.publish(1, b"one")
    bench.net.sock.window = 4
    bench.session.step()
    bench.net.sock.window = 100
    start = bench.clock.now()
    bench.session.step()
    bench.session.step()
    harness.equal((bench.acked, bench.clock.now()), ([1], start))


def test_nothing_is_written_in_the_middle_of_a_packet():
    bench = AxBench().up()
    message = publish(b"t", b"payload", 1)
    bench.push(record(message[:9]))
    bench.publish(1, b"mine")
    for _ in range(3):
        bench.session.step()
    harness.equal(bench.net.sock.writes, [])
    bench.receive(record(message[9:]))
    harness.equal((bench.messages, bench.broker.kinds()), ([(b"t", b"payload")], [4, 3]))


def test_a_record_that_stops_half_way():
    bench = AxBench().up()
    bench.push(record(publish(b"t", b"a", 1))[:5])
    start = bench.clock.now()
    harness.equal(why(bench, bench.session.step)[0], "closed")
    harness.equal(bench.clock.diff(bench.clock.now(), start), READ_S * 1000)


def test_a_packet_over_two_records():
    for size in (30, 264, 300):
        bench = AxBench().up()
        message = publish(b"t", bytes(size), 1)
        for at in range(0, len(message), 30):
            bench.push(record(message[at : at + 30]))
        bench.session.step()
        harness.equal(bench.messages, [(b"t", bytes(size))])


def test_the_timeout_is_back_after_every_look():
    bench = AxBench().up()
    bench.session.step()
    harness.equal((bench.net.sock.blocking, bench.net.sock.timeout_s), (True, READ_S))


def test_a_handshake_that_says_nothing_has_a_limit():
    bench = AxBench()

    def handshake(raw):
        harness.equal(raw.timeout_s, READ_S)
        raw.read(1)

    bench.link.context.make = handshake
    start = bench.clock.now()
    harness.equal(why(bench, bench.connect), ("tls", 110))
    assert bench.clock.diff(bench.clock.now(), start) <= READ_S * 1000 + 500


def test_a_late_ack_and_the_end():
    bench = AxBench(mute=[3]).up()
    bench.send(1, b"one")
    bench.push(record(puback(1)))
    bench.net.sock.eof = True
    harness.equal(harness.raises(LinkError, bench.session.step).args[0], "closed")
    harness.equal(bench.acked, [1])
