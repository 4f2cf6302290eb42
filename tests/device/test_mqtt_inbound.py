# heap: 96wk
# Messages in, keep-alive, and what a step may cost.

import harness
from fakes import Clock
from fakes_net import Bench, publish
from firmware.core import errors
from firmware.core.errors import LinkError
from firmware.net.flow import PING_MS

LIMIT = 1024  # of the Bench
KEPT = 264  # of topic, packet id and their lengths above the limit


def test_a_message_and_its_puback():
    bench = Bench(Clock()).up()
    bench.push(publish(b"a/b", b"payload", 0x1234))
    bench.session.step()
    harness.equal(bench.messages, [(b"a/b", b"payload")])
    harness.equal(bench.net.sock.writes, [b"\x40\x02\x12\x34"])


def test_qos_0_and_an_empty_payload():
    bench = Bench(Clock()).up()
    bench.push(publish(b"t", b""))
    bench.session.step()
    harness.equal((bench.messages, bench.net.sock.writes), ([(b"t", b"")], []))


def test_retained_and_repeated_are_messages_like_any():
    bench = Bench(Clock()).up()
    bench.push(publish(b"t", b"x", 5, 0x39))
    bench.session.step()
    harness.equal(bench.messages, [(b"t", b"x")])


def test_in_pieces_of_one_byte():
    bench = Bench(Clock()).up()
    for byte in publish(b"topic", bytes(300), 7) + b"\xd0\x00" + publish(b"t", b"x"):
        bench.push(bytes((byte,)))
        bench.session.step()
    harness.equal(bench.messages, [(b"topic", bytes(300)), (b"t", b"x")])


def test_several_acks_leave_in_one_write():
    bench = Bench(Clock()).up()
    for pid in (1, 2, 3):
        bench.push(publish(b"t", b"x", pid))
    bench.session.step()
    harness.equal(bench.net.sock.writes, [b"\x40\x02\x00\x01\x40\x02\x00\x02\x40\x02\x00\x03"])


def test_limit_of_size():
    for size, oversized in ((LIMIT + KEPT, 0), (LIMIT + KEPT + 1, 1)):
        bench = Bench(Clock()).up()
        bench.push(publish(b"t", bytes(size - 5), 9))
        bench.session.step()
        harness.equal((len(bench.messages), bench.session.oversized), (1 - oversized, oversized))
        harness.equal(bench.net.sock.writes, [b"\x40\x02\x00\x09"])


def test_oversized_qos_0_gets_no_ack():
    bench = Bench(Clock()).up()
    bench.push(publish(b"t", bytes(3000)) + publish(b"t", b"next"))
    bench.session.step()
    harness.equal((bench.messages, bench.session.oversized), ([(b"t", b"next")], 1))
    harness.equal(bench.net.sock.writes, [])


def test_oversized_with_a_topic_beyond_what_aws_allows():
    bench = Bench(Clock()).up()
    bench.push(publish(b"t" * 300, bytes(2000), 9))
    harness.equal(harness.raises(LinkError, bench.session.step).reason, errors.TOO_LARGE)


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
        b"\x30\x02\x00\x00",  # an empty one
        b"\x32\x04\x00\x01t\x00",  # half a packet id
        b"\x32\x05\x00\x01t\x00\x00",  # packet id 0
        b"\x36\x05\x00\x01t\x00\x01",  # QoS 3
    )
    for data in wrong:
        bench = Bench(Clock()).up()
        bench.push(data)
        harness.equal(harness.raises(LinkError, bench.session.step).reason, errors.PROTOCOL)
        harness.equal(bench.net.sock.closed > 0, True)


def test_a_step_ends_under_a_flood():
    bench = Bench(Clock()).up()
    for _ in range(40):
        bench.push(publish(b"t", b"x"))
    bench.session.step()
    harness.equal(len(bench.messages), 16)
    harness.equal(bench.session.poll_ms(1000), True)
    bench.session.step()
    bench.session.step()
    harness.equal(len(bench.messages), 40)


def test_reading_waits_for_acks_the_wire_does_not_take():
    bench = Bench(Clock()).up()
    bench.net.sock.window = 0
    for pid in range(1, 13):
        bench.push(publish(b"t", b"x", pid))
    bench.session.step()
    bench.session.step()
    harness.equal((len(bench.messages), bench.session.owed), (8, 8))
    bench.net.sock.window = 1000
    for _ in range(3):
        bench.session.step()
    harness.equal((len(bench.messages), bench.session.owed), (12, 0))
    harness.equal(len(bench.net.sock.sent()), 48)


def test_owed_says_when_the_puback_is_on_the_wire():
    bench = Bench(Clock()).up()
    bench.net.sock.window = 2
    bench.push(publish(b"t", b"reboot", 1))
    bench.session.step()
    harness.equal((len(bench.messages), bench.session.owed), (1, 1))
    bench.net.sock.window = 2
    bench.session.step()
    harness.equal(bench.session.owed, 0)


def test_an_error_of_a_callback_is_not_hidden():
    bench = Bench(Clock()).up()
    bench.session.set_callback(lambda topic, payload: 1 // 0)
    bench.push(publish(b"t", b"x", 1))
    harness.raises(ZeroDivisionError, bench.session.step)


def test_no_memory_for_a_message():
    bench = Bench(Clock()).up()

    def callback(topic, payload):
        raise MemoryError("memory allocation failed")

    bench.session.set_callback(callback)
    bench.push(publish(b"t", b"x", 1))
    harness.equal(harness.raises(LinkError, bench.session.step).reason, errors.MEMORY)
    harness.equal((bench.net.sock.closed > 0, bench.net.sock.writes), (True, []))


def test_a_second_publish_from_on_ack():
    bench = Bench(Clock(), window=1).up()
    bench.session._on_ack = lambda tag: bench.session.publish1(b"t", b"again", tag + 1)
    bench.session.publish1(b"t", b"x", 1)
    bench.session.step()
    harness.equal(bench.broker.kinds(), [3, 3])


def test_pings_by_the_clock_while_messages_pour_in():
    bench = Bench(Clock(), keepalive_s=60).up()
    for _ in range(125):
        bench.push(publish(b"t", b"x"))
        bench.steps(1000, 1000)
    harness.equal(bench.broker.kinds(), [12] * 4)


def test_no_pingresp_while_messages_pour_in():
    bench = Bench(Clock(), keepalive_s=60, mute=[12]).up()

    def flood():
        for _ in range(60):
            bench.push(publish(b"t", b"x"))
            bench.steps(1000, 1000)

    start = bench.clock.now()
    harness.equal(harness.raises(LinkError, flood).reason, errors.NO_PINGRESP)
    took_ms = bench.clock.diff(bench.clock.now(), start)
    assert 30_000 + PING_MS <= took_ms <= 32_000 + PING_MS, took_ms


def test_pingresp_behind_a_long_message():
    bench = Bench(Clock(), keepalive_s=60, mute=[12]).up()
    data = publish(b"t", bytes(2000))
    bench.push(data[:100])
    bench.session.step()
    bench.session.ping()
    for at in range(100, len(data), 100):
        bench.push(data[at : at + 100])
        bench.steps(1000, 1000)
    bench.steps(5_000, 1000)
    bench.push(b"\xd0\x00")
    bench.steps(5_000, 1000)
    harness.equal(bench.session.oversized, 1)


def test_each_packet_has_its_own_deadline():
    bench = Bench(Clock(), keepalive_s=0).up()
    first, second = publish(b"t", b"first"), publish(b"t", b"second")
    bench.push(first[:5])
    bench.steps(15_000, 1000)
    bench.push(first[5:] + second[:5])
    bench.steps(15_000, 1000)
    bench.push(second[5:])
    bench.session.step()
    harness.equal(len(bench.messages), 2)


def test_the_first_ping_counts_from_connect():
    bench = Bench(Clock(), keepalive_s=60)
    bench.clock.pass_ms(100_000)
    bench.up()
    bench.steps(29_000, 1000)
    harness.equal(bench.broker.kinds(), [])
    bench.steps(2_000, 1000)
    harness.equal(bench.broker.kinds(), [12])


def test_no_keepalive_no_ping():
    bench = Bench(Clock(), keepalive_s=0).up()
    bench.steps(100_000, 1000)
    harness.equal(bench.broker.kinds(), [])


def test_poll_waits_no_longer_than_asked_nor_a_second():
    bench = Bench(Clock()).up()
    for asked_ms, waited_ms in ((0, 0), (50, 50), (60_000, 1000)):
        start = bench.clock.now()
        harness.equal(bench.session.poll_ms(asked_ms), False)
        harness.equal(bench.clock.diff(bench.clock.now(), start), waited_ms)


harness.run(globals())
