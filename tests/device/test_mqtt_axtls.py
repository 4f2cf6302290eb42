# heap: 96wk
# The session over axTLS, whose one buffer a badly timed write spoils. The fake keeps that rule.

import harness
from fakes import Clock
from fakes_net import Bench, publish
from firmware.core import errors
from firmware.core.errors import LinkError
from firmware.net.tls_axtls import READ_S


class AxTls:
    # As extmod/modtls_axtls.c: a record comes as one length byte and its plaintext.
    def __init__(self, raw):
        self.raw = raw
        self.plain = b""
        self.record = b""  # half of one, read but not whole

    def setblocking(self, flag):
        self.raw.setblocking(flag)

    def readinto(self, chunk, size):
        got = 0
        while got < size:
            if not self.plain and not self._next():
                return got or None
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
            if data == b"":
                raise OSError(-0x101)
            self.record += data
        self.plain, self.record = self.record[1:], b""
        return True

    def write(self, buf, at, size):
        if self.plain or self.record:
            raise AssertionError("the stream is spoilt")
        return self.raw.write(buf, at, size)

    def close(self):
        self.raw.close()


class Unverified:
    verified = False

    def wrap(self, raw, host):
        harness.equal(raw.timeout_s, READ_S)  # the handshake has a limit too
        self.sock = AxTls(raw)
        return self.sock


class AxBench(Bench):
    # What the broker sends, it sends in records.
    def __init__(self):
        super().__init__(Clock(), esp=True)
        self.session._tls = Unverified()
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
    bench = AxBench().up()
    bench.session.subscribe1([b"t"])
    bench.session.publish1(b"t", b"one", 1)
    bench.session.publish1(b"t", b"two", 2)
    harness.equal(bench.net.sock.writes, [])  # only step() knows that all is read
    harness.equal(bench.session.poll_ms(1000), True)
    bench.steps(2000)
    harness.equal((bench.session.subscribed, bench.acked), (True, [1, 2]))


def test_several_messages_in_one_record():
    bench = AxBench().up()
    bench.session.publish1(b"t", b"mine", 1)
    bench.push(record(publish(b"t", b"a", 1) + publish(b"t", b"b", 2) + b"\xd0\x00"))
    bench.session.step()
    harness.equal(bench.messages, [(b"t", b"a"), (b"t", b"b")])
    harness.equal(bench.broker.kinds(), [4, 4, 3])
    bench.session.step()
    harness.equal(bench.acked, [1])


def test_more_messages_than_one_step_reads():
    bench = AxBench().up()
    bench.session.publish1(b"t", b"mine", 1)
    bench.push(record(publish(b"t", b"x") * 20))
    bench.session.step()
    harness.equal((len(bench.messages), bench.broker.kinds()), (16, []))
    bench.session.step()
    harness.equal((len(bench.messages), bench.broker.kinds()), (20, [3]))


def test_publishing_from_the_callback():
    bench = AxBench().up()
    bench.session.set_callback(lambda topic, payload: bench.session.publish0(b"re", payload))
    bench.push(record(publish(b"t", b"a", 1) + publish(b"t", b"b", 2)))
    bench.session.step()
    harness.equal(bench.broker.kinds(), [3, 4, 3, 4])


def test_a_small_packet_is_due_too():
    bench = AxBench().up()
    bench.session.publish0(b"t", b"x")
    harness.equal((bench.net.sock.writes, bench.session.poll_ms(1000)), ([], True))


def test_nothing_is_written_in_the_middle_of_a_packet():
    bench = AxBench().up()
    message = publish(b"t", b"payload", 1)
    bench.session._pipe.reader.feed(message, 0, 9)  # what an earlier step() has read
    bench.session.publish1(b"t", b"mine", 1)
    bench.session.step()
    harness.equal(bench.net.sock.writes, [])
    bench.push(record(message[9:]))
    bench.session.step()
    harness.equal((bench.messages, bench.broker.kinds()), ([(b"t", b"payload")], [4, 3]))


def test_a_record_that_stops_half_way():
    bench = AxBench().up()
    bench.push(record(publish(b"t", b"a", 1))[:5])
    start = bench.clock.now()
    harness.equal(harness.raises(LinkError, bench.session.step).reason, errors.CLOSED)
    harness.equal(bench.clock.diff(bench.clock.now(), start), READ_S * 1000)


def test_a_packet_over_two_records():
    bench = AxBench().up()
    message = publish(b"t", bytes(100), 1)
    bench.push(record(message[:30]) + record(message[30:]))
    bench.session.step()
    harness.equal(bench.messages, [(b"t", bytes(100))])


def test_the_timeout_is_back_after_every_look():
    bench = AxBench().up()
    bench.session.step()
    harness.equal(bench.net.sock.timeout_s, READ_S)


harness.run(globals())
