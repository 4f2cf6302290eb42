# heap: 96wk
# Messages in, keep-alive, and what a step may cost.

import harness
from fakes_net import Bench, length, publish, why
from firmware.core.errors import LinkError
from firmware.net import packets
from firmware.net.packets import document
from firmware.net.session import PING_MS

LIMIT = 1024  # of the Bench
KEPT = 264  # of topic, packet id and their lengths above the limit


def received(data, part=1 << 20, **kwargs):
    bench = Bench(**kwargs).up()
    bench.receive(data, part)
    return bench


def test_a_message_and_its_puback():
    # A retained or repeated one is a message like any; QoS 0 is not acknowledged.
    for data, message, acks in (
        (publish(b"a/b", b"payload", 0x1234), (b"a/b", b"payload"), [b"\x40\x02\x12\x34"]),
        (publish(b"t", b""), (b"t", b""), []),
        (publish(b"t", b"x", 5, 0x39), (b"t", b"x"), [b"\x40\x02\x00\x05"]),
    ):
        bench = received(data)
        harness.equal((bench.messages, bench.net.sock.writes), ([message], acks))


def test_a_payload_of_any_length():
    # Around what is read at once, and where the remaining length gets a second byte.
    bench = Bench(limit_bytes=2_000).up()
    for size in (1, 61, 62, 122, 123, 258, 259, 260, 261, 325, 400, 2_000):
        payload = bytes(i * 7 & 255 for i in range(size))
        bench.receive(publish(b"t", payload, 9))
        harness.equal(bench.messages.pop(), (b"t", payload))
        harness.equal(bench.net.sock.writes.pop(), b"\x40\x02\x00\x09")


STREAM = (
    publish(b"topic", b"payload", 7)
    + b"\xd0\x00"
    + publish(b"a", bytes(range(123)))  # two bytes of length
    + b"\x40\x02\x00\x01"
    + publish(b"t" * 256, b"12345678", 8)  # longer than the buffer that is always there
    + publish(b"t", b"")
    + publish(b"over", bytes(300), 9)  # above the limit
    + publish(b"end", b"x", 10)
)


def streamed(*cuts):
    bench = Bench(limit_bytes=10, keepalive_s=0).up()
    bench.send(1)
    bench.acked.clear()
    bench.clear()
    at = 0
    for cut in cuts + (len(STREAM),):
        bench.push(STREAM[at:cut])
        at = cut
        bench.session.step()
    return bench


def test_cut_anywhere_it_is_the_same():
    whole = streamed()
    harness.equal([len(payload) for _, payload in whole.messages], [7, 123, 8, 0, 1])
    harness.equal((whole.session.oversized, whole.acked), (1, [1]))
    harness.equal(len(whole.net.sock.sent()), 4 * 4)
    for cut in range(len(STREAM) + 1):
        bench = streamed(cut) if cut < len(STREAM) else streamed(*range(1, cut))
        harness.equal(bench.messages, whole.messages)
        harness.equal(bench.net.sock.sent(), whole.net.sock.sent())
        harness.equal(bench.session.oversized, whole.session.oversized)


def test_the_first_bytes_in_all_pieces():
    # Type, remaining length and packet id of a short message, of one with two bytes of length, and
    # of one with three: each way to cut the first six bytes.
    for size in (3, 200, 20_000):
        data = b"\x32" + length(size + 5) + b"\x00\x01t\x00\x07"
        for mask in range(64):
            bench = Bench(limit_bytes=300, keepalive_s=0).up()
            for i in range(6):
                bench.push(data[i : i + 1])
                if mask >> i & 1:
                    bench.session.step()
            bench.push(data[6:])
            for left in range(size, 0, -2000):
                bench.receive(bytes(min(left, 2000)))
            harness.equal(len(bench.messages) + bench.session.oversized, 1)
            harness.equal(bench.net.sock.sent(), b"\x40\x02\x00\x07")


def test_not_a_byte_more_is_read_than_belongs_to_the_packet():
    bench = Bench().up()
    seen = []
    data = publish(b"t", b"one", 1) + publish(b"t", bytes(500), 2)
    rest = [len(publish(b"t", bytes(500), 2)) + 1, 1]
    bench.session.set_callback(lambda topic, payload: seen.append(len(bench.net.sock.inbox)))
    bench.receive(data + b"\xd0")
    harness.equal(seen, rest)


def test_several_acks_leave_in_one_write():
    bench = Bench().up()
    for pid in (1, 2, 3):
        bench.push(publish(b"t", b"x", pid))
    bench.session.step()
    harness.equal(bench.net.sock.writes, [b"\x40\x02\x00\x01\x40\x02\x00\x02\x40\x02\x00\x03"])


def test_limit_of_size():
    for size, oversized in ((LIMIT + KEPT, 0), (LIMIT + KEPT + 1, 1)):
        bench = received(publish(b"t", bytes(size - 5), 9))
        harness.equal((len(bench.messages), bench.session.oversized), (1 - oversized, oversized))
        harness.equal(bench.net.sock.writes, [b"\x40\x02\x00\x09"])


def test_oversized_qos_0_gets_no_ack():
    bench = received(publish(b"t", bytes(3000)) + publish(b"t", b"next"))
    harness.equal((bench.messages, bench.session.oversized), ([(b"t", b"next")], 1))
    harness.equal(bench.net.sock.writes, [])


def test_oversized_of_100_kb():
    # umqtt.simple would ask for one object of that size.
    size = 100_000
    bench = Bench(keepalive_s=0).up()
    bench.push(b"\x32" + length(size) + b"\x00\x01t\x00\x05")
    for left in range(size - 5, 0, -4096):
        bench.receive(bytes(min(left, 4096)))
    bench.push(publish(b"t", b"after"))
    bench.steps(1_000)
    assert 0 < bench.net.biggest <= KEPT, bench.net.biggest
    harness.equal(bench.net.sock.sent(), b"\x40\x02\x00\x05")
    harness.equal((bench.session.oversized, bench.messages), (1, [(b"t", b"after")]))


def test_oversized_with_the_longest_topic():
    bench = received(publish(b"t" * 256, bytes(2000), 0x0102))
    harness.equal((bench.session.oversized, bench.net.sock.writes), (1, [b"\x40\x02\x01\x02"]))
    bench.push(publish(b"t" * 300, bytes(2000), 9))  # beyond what AWS allows
    harness.equal(harness.raises(LinkError, bench.session.step).args[0], "protocol")


def test_what_is_no_mqtt():
    wrong = (
        b"\x00\x00",  # type 0
        b"\xf0\x00",  # type 15
        b"\x20\x02\x00\x00",  # a second CONNACK
        b"\x50\x02\x00\x01",  # PUBREC: AWS has no QoS 2
        b"\x40\x03\x00\x01\x00",  # PUBACK of three bytes
        b"\x41\x02\x00\x01",  # PUBACK with a flag
        b"\x90\x02\x00\x01",  # SUBACK without a code
        b"\xd0\x01\x00",  # PINGRESP with a body
        b"\x40\x7f",  # far too long for its type
        b"\x30\x00",  # PUBLISH without a topic
        b"\x30\x01\x00",  # half the length of one
        b"\x30\x02\x00\x00",  # an empty one
        b"\x30\x05\x00\x09abc",  # one longer than its packet
        b"\x32\x04\x00\x01t\x00",  # half a packet id
        b"\x32\x05\x00\x01t\x00\x00",  # packet id 0
        b"\x34\x06\x00\x01t\x00\x07x",  # QoS 2
        b"\x36\x05\x00\x01t\x00\x01",  # QoS 3
        b"\x30\xff\xff\xff\xff",  # a length of more than four bytes
    )
    for data in wrong:
        bench = Bench().up()
        bench.push(data)
        harness.equal(harness.raises(LinkError, bench.session.step).args[0], "protocol")
        assert 0 <= bench.net.biggest <= KEPT, bench.net.biggest


def test_the_longest_length_there_is():
    bench = received(b"\x30\xff\xff\xff\x7f\x00\x01t" + bytes(500), keepalive_s=0)
    assert bench.session.transport.op
    harness.equal(bench.session.transport.size, (1 << 28) - 1)


def test_a_step_ends_under_a_flood():
    bench = Bench().up()
    for _ in range(40):
        bench.push(publish(b"t", b"x"))
    bench.session.step()
    harness.equal(len(bench.messages), 16)
    bench.session.step()
    bench.session.step()
    harness.equal(len(bench.messages), 40)


def test_acks_that_the_transport_does_not_take_wait():
    bench = Bench().up()
    bench.net.sock.window = 0
    for pid in range(1, 31):
        bench.push(publish(b"t", b"x", pid))
    for _ in range(4):
        bench.session.step()
    harness.equal((len(bench.messages), bench.net.sock.sent()), (30, b""))
    bench.net.sock.window = 1000
    for _ in range(8):
        bench.session.step()
    acks = b"".join(b"\x40\x02" + pid.to_bytes(2, "big") for pid in range(1, 31))
    harness.equal((len(bench.messages), bench.net.sock.sent()), (30, acks))


def test_an_error_of_a_callback_is_not_hidden():
    for error in (ZeroDivisionError, MemoryError):
        bench = Bench().up()

        def callback(topic, payload, error=error):
            raise error

        bench.session.set_callback(callback)
        bench.push(publish(b"t", b"x", 1))
        harness.raises(error, bench.session.step)
        harness.equal(bench.net.sock.writes, [])  # not acknowledged: it comes again


def test_publishing_from_the_callback_goes_out_after_the_puback():
    bench = Bench().up()
    seen = []

    def callback(topic, payload):
        document(bench.session, b"re", b"y", -1)
        bench.publish(1)
        seen.append(len(bench.net.sock.writes))

    bench.session.set_callback(callback)
    bench.receive(publish(b"t", b"x", 9))
    harness.equal((seen, bench.broker.kinds()), ([0], [4, 3, 3]))


def test_publishing_from_on_ack():
    bench = Bench(window=1).up()
    bench.session.on_ack = lambda tag: bench.publish(tag + 1)
    bench.send(1)
    bench.session.step()
    harness.equal(bench.broker.kinds(), [3, 3])


def test_disconnect_sends_what_it_owes_first():
    # `reboot` must be acknowledged before the board restarts, or it would come again.
    bench = Bench().up()
    bench.push(publish(b"t", b"reboot", 1))
    bench.session.set_callback(lambda topic, payload: None)
    packets.disconnect(bench.session)
    harness.equal(bench.net.sock.sent(), b"\x40\x02\x00\x01\xe0\x00")
    bench = Bench().up()
    bench.net.sock.window = 2
    bench.receive(publish(b"t", b"reboot", 1))
    bench.net.sock.window = 100
    packets.disconnect(bench.session)
    harness.equal(bench.net.sock.sent(), b"\x40\x02\x00\x01\xe0\x00")


def test_pings_by_the_clock_while_messages_pour_in():
    bench = Bench(keepalive_s=60).up()
    for _ in range(125):
        bench.push(publish(b"t", b"x"))
        bench.steps(1000, 1000)
    harness.equal(bench.broker.kinds(), [12] * 4)


def test_pings_while_readings_pour_out():
    bench = Bench(keepalive_s=60).up()
    pings = 0
    for seq in range(1, 126):
        bench.publish(seq)
        bench.steps(1000, 1000)
        pings += bench.broker.kinds().count(12)
        bench.clear()
    harness.equal((pings, bench.acked), (4, list(range(1, 125))))


def test_a_ping_without_answer():
    bench = Bench(keepalive_s=60, mute=[12]).up()
    start = bench.clock.now()
    harness.equal(harness.raises(LinkError, bench.steps, 60_000).args[0], "no_pingresp")
    took_ms = bench.clock.diff(bench.clock.now(), start)
    assert 30_000 + PING_MS <= took_ms <= 31_000 + PING_MS, took_ms


def test_no_pingresp_while_messages_pour_in():
    for count in (1, 20):  # a second; a step reads 16
        bench = Bench(keepalive_s=60, mute=[12]).up()

        def flood(bench=bench, count=count):
            for _ in range(60):
                bench.messages.clear()
                bench.push(publish(b"t", b"x") * count)
                bench.steps(1000, 1000)

        start = bench.clock.now()
        harness.equal(harness.raises(LinkError, flood).args[0], "no_pingresp")
        took_ms = bench.clock.diff(bench.clock.now(), start)
        assert 30_000 + PING_MS <= took_ms <= 32_000 + PING_MS, took_ms


def test_the_next_session_does_not_miss_the_old_pingresp():
    bench = Bench(keepalive_s=60, mute=[12]).up()
    bench.steps(35_000, 1000)
    harness.equal(bench.broker.kinds(), [12])
    bench.again(1)
    bench.broker.mute = []
    bench.steps(29_000, 1000)
    harness.equal(bench.broker.kinds(), [])
    bench.steps(40_000, 1000)
    harness.equal(bench.broker.kinds(), [12, 12])


def test_pingresp_behind_a_slow_packet():
    # One that is kept, one above the limit, and a short one, dripping in.
    for size, part in ((1000, 50), (2000, 100), (18, 1), (200, 10)):
        bench = Bench(keepalive_s=60, mute=[12]).up()
        bench.steps(30_000, 1000)
        harness.equal(bench.broker.kinds(), [12])
        data = publish(b"t", bytes(size - 5))
        for at in range(0, len(data), part):
            bench.push(data[at : at + part])
            bench.steps(900, 900)
        bench.steps(5_000, 1000)
        bench.push(b"\xd0\x00")
        bench.steps(5_000, 1000)
        harness.equal(bench.session.oversized + len(bench.messages), 1)
        bench.steps(26_000, 1000)
        harness.equal(bench.broker.kinds(), [12, 12])


def test_a_packet_that_stops_anywhere():
    for whole in (publish(b"topic", b"payload", 7), publish(b"t", bytes(300))):
        for size in range(1, len(whole)):
            bench = Bench(keepalive_s=0, esp=True).up()
            bench.push(whole[:size])
            start = bench.clock.now()
            error = harness.raises(LinkError, bench.steps, 60_000)
            harness.equal(error.args, ("timeout", "packet"))
            took_ms = bench.clock.diff(bench.clock.now(), start)
            assert 20_000 <= took_ms <= 21_500, took_ms


def test_a_long_packet_may_take_longer():
    # A millisecond more a byte.
    bench = Bench(limit_bytes=6_000, keepalive_s=0).up()
    data = publish(b"t", bytes(6_000))
    for at in range(0, len(data), 240):
        bench.push(data[at : at + 240])
        bench.steps(1000, 1000)
    harness.equal(len(bench.messages), 1)


def test_each_packet_has_its_own_deadline():
    bench = Bench(keepalive_s=0).up()
    first, second = publish(b"t", b"first"), publish(b"t", b"second")
    bench.push(first[:5])
    bench.steps(15_000, 1000)
    bench.push(first[5:] + second[:5])
    bench.steps(15_000, 1000)
    bench.receive(second[5:])
    harness.equal(len(bench.messages), 2)


def test_closed_in_the_middle_of_a_packet():
    whole = publish(b"topic", b"payload", 7)
    for size in range(len(whole)):
        bench = Bench(keepalive_s=0).up()
        bench.push(whole[:size])
        bench.net.sock.eof = True
        error = harness.raises(LinkError, bench.steps, 5_000)
        harness.equal(error.args, ("closed",))


def test_how_a_connection_ends():
    for errno, said in (
        (104, ("closed", 104)),
        (-104, ("closed", 104)),
        (-0x7280, ("closed",)),
        (-0x7200, ("tls", "bad record")),
    ):
        bench = Bench().up()
        bench.net.sock.error = OSError(errno)
        harness.equal(why(bench, bench.session.step), said)


def test_the_first_ping_counts_from_connack():
    bench = Bench(keepalive_s=60)
    bench.clock.pass_ms(100_000)
    bench.up()
    bench.steps(29_000, 1000)
    harness.equal(bench.broker.kinds(), [])
    bench.steps(2_000, 1000)
    harness.equal(bench.broker.kinds(), [12])


def test_no_keepalive_no_ping():
    bench = Bench(keepalive_s=0).up()
    bench.steps(100_000, 1000)
    harness.equal(bench.broker.kinds(), [])


def test_waiting_ends_when_there_is_something_to_do():
    bench = Bench(mute=[3]).up()
    wait = bench.session.transport.wait
    for asked_ms in (0, 50, 1000):
        start = bench.clock.now()
        harness.equal(wait(asked_ms), 0)
        harness.equal(bench.clock.diff(bench.clock.now(), start), asked_ms)
    start = bench.clock.now()
    bench.push(b"\xd0")
    assert wait(1000)
    bench.session.step()
    bench.net.sock.window = 3
    bench.send(1)
    harness.equal(wait(0), 0)  # the rest has to wait
    bench.net.sock.window = 100
    assert wait(1000)
    harness.equal(bench.clock.now(), start)
