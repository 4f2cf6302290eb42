# heap: 80wk
# QoS 1 out: the window, acknowledgements, repetitions and packet ids.

import harness
from fakes_net import Bench, puback, publish, why
from firmware.core.errors import LinkError
from firmware.net import packets
from firmware.net.packets import document
from firmware.net.session import SUBSCRIBE

DATA = b"\x32\x06\x00\x01t\x00"  # a reading of one byte, without the low byte of its packet id
AGAIN = b"\x3a\x06\x00\x01t\x00"


def joined(writes):
    # Packets: what stands behind the head of a document is written by itself.
    made = []
    for data in writes:
        if data[0] & 0xF0 in (0x30, 0x80):
            made.append(data)
        else:
            made[-1] += data
    return made


def quiet(**kwargs):
    return Bench(mute=[3, 8, 12], **kwargs).up()


def subscribe(bench, *filters):
    bench.session.filters = lambda: filters
    packets.subscribe(bench.session)


def test_one_write_a_reading_two_a_document():
    bench = quiet()
    bench.publish(7, b"hello")
    document(bench.session, b"a/b", b"hello", -1)
    harness.equal(bench.net.sock.writes, [])  # queued; step() sends
    bench.session.step()
    wanted = [b"\x32\x0a\x00\x01t\x00\x01hello", b"\x32\x0c\x00\x03a/b\x00\x02", b"hello"]
    harness.equal(bench.net.sock.writes, wanted)


def test_the_length_field():
    wanted = (
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (2048, b"\x80\x10"),
        (8191, b"\xff\x3f"),
    )
    for size, field in wanted:
        packet = packets.packet(0x32, [bytes(64)] * (size // 64) + [bytes(size % 64)])
        head = b"\x32" + field
        harness.equal((packet[: len(head)], len(packet)), (head, len(head) + size))


def test_messages_of_127_and_128_bytes():
    bench = quiet()
    for size in (122, 123):
        bench.publish(size, bytes(size))
        document(bench.session, b"t", bytes(size), -size)
    bench.session.step()
    heads = [b"\x32\x7f\x00\x01t"] * 2 + [b"\x32\x80\x01\x00\x01t"] * 2
    for packet, head in zip(joined(bench.net.sock.writes), heads):
        harness.equal(packet[: len(head)], head)
        harness.equal(len(packet), 129 if head[1] == 127 else 131)


def test_nothing_waits_and_acks_come_in_any_order():
    bench = quiet(window=3)
    for seq in (11, 12, 13):
        bench.publish(seq)
    bench.session.step()
    harness.equal((bench.session.used, len(bench.net.sock.writes)), (3, 3))
    bench.receive(puback(3) + puback(1))
    harness.equal((bench.acked, bench.session.used), ([13, 11], 1))
    bench.receive(puback(2))
    harness.equal((bench.acked, bench.session.used), ([13, 11, 12], 0))


def test_a_full_window_has_room_for_four_documents():
    bench = quiet(window=2)
    bench.publish(1)
    bench.publish(2)
    for tag in (-1, -2, -3):
        document(bench.session, b"t", b"x", tag)
    subscribe(bench, "t")
    bench.session.step()
    harness.equal((bench.session.used, len(joined(bench.net.sock.writes))), (6, 6))


def test_one_document_a_tag():
    bench = quiet()
    document(bench.session, b"t", b"x", -1, True)
    harness.equal((-1 in bench.session.waiting, -2 in bench.session.waiting), (True, False))
    bench.session.step()
    harness.equal(joined(bench.net.sock.writes), [b"\x33\x06\x00\x01t\x00\x01x"])  # retain
    bench.receive(puback(1))
    harness.equal((-1 in bench.session.waiting, bench.acked), (False, [-1]))
    document(bench.session, b"t", b"y", -1)
    bench.session.step()
    harness.equal(joined(bench.net.sock.writes)[1:], [b"\x32\x06\x00\x01t\x00\x02y"])


def test_unknown_late_and_doubled_acks_are_consumed():
    bench = quiet()
    bench.send(5)
    bench.receive(puback(9) + puback(0) + puback(1) + puback(1) + b"\x90\x03\x00\x05\x01\xd0\x00")
    harness.equal((bench.acked, bench.session.used), ([5], 0))


def test_an_ack_of_the_other_kind_is_none():
    bench = quiet()
    bench.publish(5)
    subscribe(bench, "t")
    bench.session.step()
    bench.receive(puback(2) + b"\x90\x03\x00\x01\x01")
    harness.equal((bench.acked, bench.session.used), ([], 2))


def test_no_puback_means_again_on_the_same_connection_with_dup():
    packet = b"\x06\x00\x01t\x00\x01x"
    for tag, first, again in ((1, b"\x32", b"\x3a"), (-1, b"\x33", b"\x3b")):
        bench = quiet(keepalive_s=0)
        if tag > 0:
            bench.publish(tag)
        else:
            document(bench.session, b"t", b"x", tag, True)
        bench.steps(4_500)
        harness.equal(len(joined(bench.net.sock.writes)), 1)
        bench.steps(10_500)
        harness.equal(joined(bench.net.sock.writes), [first + packet] + [again + packet] * 2)
        error = harness.raises(LinkError, bench.steps, 2_000)
        harness.equal(error.args[0], "no_puback")


def test_a_late_ack_ends_the_repetitions():
    bench = quiet(keepalive_s=0)
    bench.publish(1)
    bench.steps(6_000)
    bench.push(puback(1))
    bench.steps(20_000)
    harness.equal((bench.acked, len(bench.net.sock.writes)), ([1], 2))


def test_a_reading_is_made_anew_each_time():
    bench = quiet(keepalive_s=0)
    bench.publish(1, b"one")
    bench.send(2, bytes(150))
    bench.clear()
    bench.steps(5_000)
    first, second = bench.net.sock.writes
    harness.equal(
        (first, second[:8]), (b"\x3a\x08\x00\x01t\x00\x01one", b"\x3a\x9b\x01\x00\x01t\x00\x02")
    )
    harness.equal((second[8:], len(second)), (bytes(150), 158))


def test_a_reading_that_is_gone_leaves_its_slot():
    # Dropped for newer ones, or unreadable by now: nothing is sent, and the outbox is told: an
    # unreadable one would hold up all that follow 128 later.
    bench = quiet(keepalive_s=0)
    for seq in (1, 2, 3):
        bench.publish(seq)
    bench.session.step()
    bench.clear()
    del bench.texts[1], bench.texts[3]
    bench.steps(5_000)
    harness.equal(bench.net.sock.writes, [AGAIN + b"\x02x"])
    harness.equal((bench.session.used, bench.acked), (1, [1, 3]))
    bench.receive(puback(1) + puback(2))
    harness.equal((bench.session.used, bench.acked), (0, [1, 3, 2]))


def test_an_ack_that_there_is_no_memory_for_is_asked_for_again():
    bench = quiet(keepalive_s=0)
    bench.send(1)
    on_ack = bench.session.on_ack

    def starve(tag):
        raise MemoryError

    bench.session.on_ack = starve
    bench.push(puback(1))
    harness.raises(MemoryError, bench.session.step)
    harness.equal((bench.session.used, bench.acked), (1, []))
    bench.session.on_ack = on_ack
    bench.again(1)
    bench.receive(puback(1))
    harness.equal((bench.session.used, bench.acked), (0, [1]))


def test_after_a_reconnect_all_of_it_again_in_order():
    bench = quiet()
    bench.publish(1)
    bench.publish(2)
    document(bench.session, b"t", b"x", -3, True)
    bench.session.step()
    bench.receive(puback(2))
    packets = [b"\x06\x00\x01t\x00\x01x", b"\x06\x00\x01t\x00\x03x"]
    harness.equal(joined(bench.again(1)), [b"\x3a" + packets[0], b"\x3b" + packets[1]])
    harness.equal(joined(bench.again(0)), [b"\x32" + packets[0], b"\x33" + packets[1]])
    bench.receive(puback(1) + puback(3))
    harness.equal(bench.acked, [2, 1, -3])


def test_dup_only_for_what_the_broker_may_have():
    bench = quiet()
    bench.send(1)
    bench.publish(2)
    document(bench.session, b"t", b"x", -1)  # both never sent
    new = [DATA + b"\x02x", DATA + b"\x03x"]
    harness.equal(joined(bench.again(1)), [AGAIN + b"\x01x"] + new)
    # The broker has forgotten all: what it had before does not count in a session kept later.
    harness.equal(joined(bench.again(0)), [DATA + b"\x01x"] + new)
    harness.equal(joined(bench.again(1)), [AGAIN + b"\x01x", AGAIN + b"\x02x", AGAIN + b"\x03x"])
    bench.session.close()
    bench.broker.present = 0
    bench.up()  # new, and nothing sent in it
    harness.equal(joined(bench.again(1)), [DATA + b"\x01x"] + new)


def test_a_message_is_never_given_up_across_sessions():
    bench = quiet(keepalive_s=0)
    bench.publish(1)
    for _ in range(5):
        harness.raises(LinkError, bench.steps, 20_000)
        bench.again(1)
    bench.broker.mute = []
    bench.steps(6_000)
    bench.session.step()
    harness.equal(bench.acked, [1])


def test_subscribe_again_with_the_same_packet_id():
    bench = quiet(keepalive_s=0)
    subscribe(bench, "a", "b/c", "ä")  # counted in bytes
    packet = b"\x82\x11\x00\x01\x00\x01a\x01\x00\x03b/c\x01\x00\x02\xc3\xa4\x01"
    bench.steps(11_000)
    harness.equal(bench.net.sock.writes, [packet] * 3)
    harness.equal(SUBSCRIBE in bench.session.waiting, True)
    bench.receive(b"\x90\x05\x00\x01\x01\x01\x01")
    harness.equal(SUBSCRIBE in bench.session.waiting, False)


def test_a_long_subscribe():
    bench = quiet()
    topic = "$aws/things/" + "t" * 128 + "/shadow/update/delta"
    subscribe(bench, topic)
    bench.session.step()
    size = 5 + len(topic)
    harness.equal(bench.net.sock.sent()[:3], bytes((0x82, size & 127 | 128, size >> 7)))
    harness.equal(bench.net.sock.sent()[7:], topic.encode() + b"\x01")


def test_no_suback_after_three_tries():
    bench = quiet(keepalive_s=0)
    subscribe(bench, "a")
    harness.equal(harness.raises(LinkError, bench.steps, 20_000).args[0], "no_suback")


def test_subscription_refused():
    for code in (b"\x80", b"\x8f"):
        bench = quiet()
        subscribe(bench, "a", "b")
        bench.session.step()
        bench.push(b"\x90\x04\x00\x01\x01" + code)
        error = harness.raises(LinkError, bench.session.step)
        harness.equal(error.args, ("refused", "SUBSCRIBE"))


def test_an_unanswered_subscribe_goes_out_in_the_next_session_too():
    bench = quiet()
    subscribe(bench, "a")
    bench.session.step()
    packet = b"\x82\x06\x00\x01\x00\x01a\x01"
    harness.equal(bench.net.sock.writes, [packet])
    for present in (1, 0):
        harness.equal(bench.again(present), [packet])  # which never has DUP
        bench.receive(puback(1))
        session = bench.session
        harness.equal((SUBSCRIBE in session.waiting, session.doubt, session.used), (True, True, 1))
    bench.receive(b"\x90\x03\x00\x01\x01")
    harness.equal((SUBSCRIBE in session.waiting, session.doubt, session.used), (False, False, 0))
    harness.equal(joined(bench.again(1)), [])


def pids(bench, *seqs):
    # The packet ids that these get.
    bench.clear()
    for seq in seqs:
        bench.publish(seq)
    bench.session.step()
    return [packet[5] << 8 | packet[6] for packet in bench.net.sock.writes]


def test_packet_ids_wrap_and_skip_those_in_flight():
    bench = quiet()
    harness.equal(pids(bench, 1), [1])
    bench.session.pid = 65533
    harness.equal(pids(bench, 2, 3, 4, 5), [65534, 65535, 2, 3])
    bench = quiet()
    subscribe(bench, "t")
    bench.session.step()
    bench.session.pid = 0
    harness.equal(pids(bench, 1), [2])


def test_the_oldest_goes_first():
    # Across the wrap of the packet ids, and from slots that are used again.
    bench = quiet()
    bench.session.pid = 65534
    for seq in (1, 2, 3):
        bench.publish(seq, str(seq).encode())
    bench.session.step()
    harness.equal([packet[-1:] for packet in bench.again(1)], [b"1", b"2", b"3"])
    bench.receive(puback(65535))
    bench.send(4, b"4")
    harness.equal([packet[-1:] for packet in bench.again(1)], [b"2", b"3", b"4"])


def test_more_than_65535_messages():
    bench = Bench(keepalive_s=0).up()
    bench.session.pid = 65000
    for seq in range(1, 1201):
        bench.texts.clear()
        bench.send(seq)
        bench.session.step()
        bench.clear()
        if seq % 8 == 0:
            harness.equal(bench.acked, list(range(seq - 7, seq + 1)))
            bench.acked.clear()


def test_a_slow_transport_gets_whole_packets():
    bench = quiet()
    bench.net.sock.window = 5
    bench.publish(1, b"first")
    document(bench.session, b"t", b"second", -1)
    bench.publish(3, b"third")
    for _ in range(15):
        bench.session.step()
        bench.net.sock.window = 3
    packets = b"\x32\x0a\x00\x01t\x00\x01first" + b"\x32\x0b\x00\x01t\x00\x02second"
    packets += b"\x32\x0a\x00\x01t\x00\x03third"
    harness.equal(bench.net.sock.sent(), packets)


def test_acked_while_its_repetition_is_half_sent():
    for tag in (1, -1):
        bench = quiet(keepalive_s=0)
        if tag > 0:
            bench.publish(1, b"first")
        else:
            document(bench.session, b"t", b"first", -1)
        bench.steps(4_500)
        bench.net.sock.window = 4
        bench.steps(1_000)  # four bytes of the repetition
        bench.receive(puback(1))
        if tag > 0:
            bench.publish(2, b"new")
        else:
            document(bench.session, b"t", b"new", -1)
        bench.net.sock.window = 100
        bench.session.step()
        first = b"\x0a\x00\x01t\x00\x01first"
        wanted = b"\x32" + first + b"\x3a" + first + b"\x32\x08\x00\x01t\x00\x02new"
        harness.equal((bench.net.sock.sent(), bench.acked), (wanted, [tag]))


def test_a_transport_that_takes_nothing_ends_the_session():
    bench = quiet(keepalive_s=0)
    bench.net.sock.window = 3
    bench.publish(1)
    start = bench.clock.now()
    error = harness.raises(LinkError, bench.steps, 30_000)
    harness.equal(error.args, ("timeout", "write"))
    assert 20_000 <= bench.clock.diff(bench.clock.now(), start) <= 21_000


def test_an_error_while_sending():
    # No memory, as an ESP32 has it when TLS gets none, is not the other side's doing.
    for error, said in (
        (OSError(104), ("closed", 104)),
        (OSError(-104), ("closed", 104)),
        (OSError(-0x7280), ("closed",)),
        (MemoryError("memory allocation failed"), ("memory", "session")),
        (OSError(12), ("memory", "tls")),
        (OSError(-12), ("memory", "tls")),
        (OSError(-0x7F00), ("memory", "tls")),
    ):
        bench = quiet()
        bench.net.sock.error = error
        bench.publish(1)
        harness.equal(why(bench, bench.session.step), said)
        harness.equal(len(bench.again(1)), 1)  # without the old error


def test_half_a_packet_does_not_reach_the_next_session():
    bench = quiet(keepalive_s=0)
    bench.publish(1, b"first")
    bench.net.sock.window = 3
    bench.session.step()
    harness.equal(joined(bench.again(1)), [b"\x3a\x0a\x00\x01t\x00\x01first"])


def test_a_puback_of_the_old_session_stays_there():
    # The broker has new packet ids for what it sends again.
    bench = quiet()
    bench.net.sock.window = 0
    for pid in (7, 8):  # one with the transport already, one behind it
        bench.receive(publish(b"t", b"x", pid))
    harness.equal((len(bench.messages), bench.again(1)), (2, []))


def test_no_memory_for_a_document_leaves_no_slot_behind():
    bench = quiet()

    def scarce(size):
        raise MemoryError("memory allocation failed")

    class Full(dict):
        def __setitem__(self, key, value):
            scarce(0)

    before, bench.session.waiting = bench.session.waiting, Full()
    bench.session.filters = lambda: ["t"]
    harness.raises(MemoryError, document, bench.session, b"t", bytes(100), -1)
    harness.raises(MemoryError, packets.subscribe, bench.session)
    bench.session.waiting = before
    harness.equal((bench.session.used, bench.session.due()), (0, -1))
