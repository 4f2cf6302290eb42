# heap: 96wk
# QoS 1 out: the window, acknowledgements, repetitions and packet ids.

import harness
from fakes import Clock
from fakes_net import Bench
from firmware.core import errors
from firmware.core.errors import LinkError
from firmware.net.packet import Packet


def puback(pid):
    return bytes((0x40, 2, pid >> 8, pid & 255))


def quiet(**kwargs):
    return Bench(Clock(), mute=[3, 8, 12], **kwargs).up()


def test_one_write_a_message():
    bench = quiet()
    harness.equal(bench.session.publish1("a/b", "hello", 7), 1)
    harness.equal(bench.net.sock.writes, [b"\x32\x0c\x00\x03a/b\x00\x01hello"])
    bench.session.publish0("a/b", "hello")
    harness.equal(bench.net.sock.writes[1:], [b"\x30\x0a\x00\x03a/bhello"])


def test_the_length_field():
    wanted = (
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (16383, b"\xff\x7f"),
        (16384, b"\x80\x80\x01"),
        (2097151, b"\xff\xff\x7f"),
        (2097152, b"\x80\x80\x80\x01"),
    )
    for size, field in wanted:
        packet = Packet()
        packet.head(0x32, size)
        harness.equal(bytes(packet.buf[1 : packet.size]), field)


def test_messages_of_127_and_128_bytes():
    bench = quiet()
    for size in (122, 123):
        bench.session.publish1(b"t", bytes(size), 1)
        bench.session.publish0(b"t", bytes(size + 2))
    heads = [
        b"\x32\x7f\x00\x01t",
        b"\x30\x7f\x00\x01t",
        b"\x32\x80\x01\x00\x01t",
        b"\x30\x80\x01\x00\x01t",
    ]
    for packet, head in zip(bench.net.sock.writes, heads):
        harness.equal(packet[: len(head)], head)
        harness.equal(len(packet), 129 if head[1] == 127 else 131)


def test_publish_does_not_wait_and_acks_come_in_any_order():
    bench = quiet(window=3)
    for tag in "abc":
        bench.session.publish1("t", tag, tag)
    harness.equal(bench.session.can_send(), 0)
    harness.equal(bench.session.publish1("t", "d", "d"), 0)
    bench.push(puback(3) + puback(1))
    bench.session.step()
    harness.equal((bench.acked, bench.session.can_send()), (["c", "a"], 2))
    bench.push(puback(2))
    bench.session.step()
    harness.equal((bench.acked, bench.session.can_send()), (["c", "a", "b"], 3))


def test_unknown_late_and_doubled_acks_are_consumed():
    bench = quiet()
    bench.session.publish1("t", "x", "x")
    bench.push(puback(9) + puback(1) + puback(1) + b"\x90\x03\x00\x05\x01" + b"\xd0\x00")
    bench.session.step()
    harness.equal((bench.acked, bench.session.unknown_acks), (["x"], 3))


def test_no_puback_means_again_on_the_same_connection_with_dup():
    bench = quiet(keepalive_s=0)
    bench.session.publish1("t", "x", 1)
    bench.steps(4_500)
    harness.equal(len(bench.net.sock.writes), 1)
    bench.steps(10_000)
    harness.equal(
        bench.net.sock.writes,
        [b"\x32\x06\x00\x01t\x00\x01x"] + [b"\x3a\x06\x00\x01t\x00\x01x"] * 2,
    )
    harness.equal(bench.session.resent, 2)
    error = harness.raises(LinkError, bench.steps, 2_000)
    harness.equal(error.reason, errors.NO_PUBACK)
    harness.equal(bench.net.sock.closed > 0, True)


def test_a_late_ack_ends_the_repetitions():
    bench = quiet(keepalive_s=0)
    bench.session.publish1("t", "x", 1)
    bench.steps(6_000)
    bench.push(puback(1))
    bench.steps(20_000)
    harness.equal((bench.acked, len(bench.net.sock.writes)), ([1], 2))


def reconnect(bench, present):
    bench.session.close()
    bench.broker.present = present
    bench.session.connect()
    bench.clear()
    bench.session.step()
    return bench.net.sock.writes


def test_after_a_reconnect_all_of_it_again_in_order():
    bench = quiet()
    for tag in (1, 2, 3):
        bench.session.publish1("t", "x", tag, retain=tag == 3)
    bench.push(puback(2))
    bench.session.step()
    harness.equal(
        reconnect(bench, 1), [b"\x3a\x06\x00\x01t\x00\x01x", b"\x3b\x06\x00\x01t\x00\x03x"]
    )
    harness.equal(
        reconnect(bench, 0), [b"\x32\x06\x00\x01t\x00\x01x", b"\x33\x06\x00\x01t\x00\x03x"]
    )
    bench.push(puback(1) + puback(3))
    bench.session.step()
    harness.equal(bench.acked, [2, 1, 3])


def test_a_message_is_never_given_up_across_sessions():
    bench = quiet(keepalive_s=0)
    bench.session.publish1("t", "x", 1)
    for _ in range(5):
        harness.raises(LinkError, bench.steps, 20_000)
        reconnect(bench, 1)
    bench.broker.mute = []
    bench.steps(6_000)
    bench.session.step()
    harness.equal(bench.acked, [1])


def test_subscribe_again_with_the_same_packet_id():
    bench = quiet(keepalive_s=0)
    bench.session.subscribe1(["a", "b/c"])
    packet = b"\x82\x0c\x00\x01\x00\x01a\x01\x00\x03b/c\x01"
    bench.steps(11_000)
    harness.equal(bench.net.sock.writes, [packet] * 3)
    harness.equal(bench.session.subscribed, False)
    bench.push(b"\x90\x04\x00\x01\x01\x01")
    bench.session.step()
    harness.equal(bench.session.subscribed, True)


def test_no_suback_after_three_tries():
    bench = quiet(keepalive_s=0)
    bench.session.subscribe1(["a"])
    harness.equal(harness.raises(LinkError, bench.steps, 20_000).reason, errors.NO_SUBACK)


def test_subscription_refused():
    bench = quiet()
    bench.session.subscribe1(["a", "b"])
    bench.push(b"\x90\x04\x00\x01\x01\x80")
    error = harness.raises(LinkError, bench.session.step)
    harness.equal((error.reason, error.detail), (errors.REFUSED, "filter 2 of SUBSCRIBE"))


def test_too_many_filters():
    bench = quiet()
    for topics in ([], ["t"] * 9):
        harness.raises(LinkError, bench.session.subscribe1, topics)


def test_packet_ids_wrap_and_skip_those_in_flight():
    bench = quiet()
    harness.equal(bench.session.publish1("t", "old", "old"), 1)
    bench.session.pid = 65533
    got = [bench.session.publish1("t", "x", n) for n in range(4)]
    harness.equal(got, [65534, 65535, 2, 3])


def test_packet_ids_skip_the_subscription():
    bench = quiet()
    bench.session.subscribe1(["t"])
    bench.session.pid = 0
    harness.equal(bench.session.publish1("t", "x", 1), 2)


def test_the_oldest_goes_first_from_reused_slots():
    bench = quiet()
    for tag in (1, 2, 3):
        bench.session.publish1("t", str(tag), tag)
    bench.push(puback(1))
    bench.session.step()
    bench.session.publish1("t", "4", 4)
    harness.equal([packet[-1:] for packet in reconnect(bench, 1)], [b"2", b"3", b"4"])


def test_the_oldest_goes_first_across_the_wrap():
    bench = quiet()
    bench.session.pid = 65534
    for tag in (1, 2, 3):
        bench.session.publish1("t", str(tag), tag)
    harness.equal([packet[-1:] for packet in reconnect(bench, 1)], [b"1", b"2", b"3"])


def test_more_than_65535_messages():
    bench = Bench(Clock(), keepalive_s=0).up()
    bench.session.pid = 65000
    for tag in range(1200):
        assert bench.session.publish1(b"t", b"x", tag)
        bench.session.step()
        bench.clear()
        if tag % 8 == 7:
            harness.equal(bench.acked, list(range(tag - 7, tag + 1)))
            bench.acked.clear()


def test_a_slow_wire_gets_whole_packets():
    bench = quiet()
    bench.net.sock.window = 5
    bench.session.publish1("t", "first", 1)
    bench.session.publish1("t", "second", 2)
    for _ in range(9):
        bench.net.sock.window = 3
        bench.session.step()
    packets = b"\x32\x0a\x00\x01t\x00\x01first" + b"\x32\x0b\x00\x01t\x00\x02second"
    harness.equal(bench.net.sock.sent(), packets)


def test_acked_while_its_repetition_is_half_sent():
    bench = quiet(keepalive_s=0)
    bench.session.publish1("t", "first", 1)
    bench.steps(4_500)
    bench.net.sock.window = 4
    bench.steps(500)  # four bytes of the repetition
    bench.push(puback(1))
    bench.session.step()
    bench.session.publish1("t", "new", 2)
    bench.net.sock.window = 100
    bench.session.step()
    first = b"\x0a\x00\x01t\x00\x01first"
    harness.equal(
        bench.net.sock.sent(), b"\x32" + first + b"\x3a" + first + b"\x32\x08\x00\x01t\x00\x02new"
    )


def test_a_wire_that_takes_nothing_ends_the_session():
    bench = quiet(keepalive_s=0)
    bench.net.sock.window = 3
    bench.session.publish1("t", "x", 1)
    harness.equal(harness.raises(LinkError, bench.steps, 30_000).reason, errors.TIMEOUT)


def test_an_error_while_publishing_comes_out_of_step():
    bench = quiet()
    bench.net.sock.error = OSError(104)
    harness.equal(bench.session.publish1("t", "x", 1), 1)
    error = harness.raises(LinkError, bench.session.step)
    harness.equal((error.reason, error.detail), (errors.CLOSED, 104))


def test_the_next_session_starts_without_the_old_error():
    bench = quiet()
    bench.net.sock.error = OSError(104)
    bench.session.publish1("t", "x", 1)
    bench.session.close()
    harness.equal(len(reconnect(bench, 1)), 1)


def test_no_room_for_half_a_qos_0_message():
    bench = quiet()
    out = bench.session._out
    reserve, calls = out.reserve, []

    def scarce(size):
        calls.append(size)
        if len(calls) == 3:
            raise LinkError(errors.MEMORY)
        reserve(size)

    out.reserve = scarce
    harness.equal(bench.session.publish0("t", "lost"), False)
    out.reserve = reserve
    harness.equal(bench.session.publish0("t", "x"), True)
    harness.equal(bench.net.sock.sent(), b"\x30\x04\x00\x01tx")


def test_no_room_for_one_more_slot():
    # The window may be 100 wide, and its slots are made when first needed.
    bench = quiet()

    def scarce(busy):
        raise MemoryError("memory allocation failed")

    bench.session._window.free_slot = scarce
    harness.equal(bench.session.publish1("t", b"x", 1), 0)
    harness.equal(harness.raises(LinkError, bench.session.step).reason, errors.MEMORY)


def test_what_aws_would_refuse():
    bench = quiet()
    harness.raises(LinkError, bench.session.publish1, "t", b"x", 1, False, 131_073)
    harness.raises(LinkError, bench.session.publish, "t", b"x", False, 2)
    harness.raises(LinkError, bench.session.unsubscribe, "t")
    harness.equal(bench.net.sock.writes, [])


harness.run(globals())
