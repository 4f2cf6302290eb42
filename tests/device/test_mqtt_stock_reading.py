# heap: 96wk
# What goes wrong in umqtt.simple as it comes, shown on it, and then that Session does better.
# This half: connecting and reading.

import umqtt.simple
from umqtt.simple import MQTTClient

import harness
from fakes import Clock
from fakes_net import Bench, Hang, Net, length, publish
from firmware.core import errors
from firmware.core.errors import LinkError

# The faults that are none of OSError, and so get past umqtt.robust and most programs.
FAULTS = (IndexError, TypeError, AssertionError, MemoryError, ValueError)


def stock(inbox=b"", eof=False, timeout_s=None, esp=True):
    # A client with a connection; `timeout_s` as umqtt 1.5 and later set it in connect().
    net = Net(Clock(), esp)
    net.install(umqtt.simple)
    client = MQTTClient("t-1", "h", 8883, keepalive=60)
    client.got = []
    client.set_callback(lambda topic, payload: client.got.append((topic, payload)))
    client.sock = net.socket()
    client.sock.settimeout(timeout_s)
    client.sock.inbox += inbox
    client.sock.eof = eof
    return client, net


def ours(inbox=b"", eof=False, **kwargs):
    bench = Bench(Clock(), keepalive_s=0, **kwargs).up()
    bench.push(inbox)
    bench.net.sock.eof = eof
    return bench


def connecting(answer):
    # What connect() does when the broker says `answer` and closes.
    net = Net(Clock(), True)

    def peer(sock, _):
        sock.inbox += answer
        sock.eof = True

    net.peer = peer
    net.install(umqtt.simple)
    try:
        MQTTClient("t-1", "h", 8883).connect()
    except FAULTS as e:
        was = type(e)
    bench = Bench(Clock())
    bench.net.peer = peer
    return was, harness.raises(LinkError, bench.session.connect).reason


def test_closed_without_connack():
    harness.equal(connecting(b""), (IndexError, errors.NO_CONNACK))


def test_an_answer_that_is_no_connack():
    harness.equal(connecting(b"\x30\x02\x00\x00"), (AssertionError, errors.PROTOCOL))


def test_a_failed_connect_leaves_the_socket_open():
    net = Net(Clock())
    net.errors = {net.addresses[0]: 111}
    net.install(umqtt.simple)
    harness.raises(OSError, MQTTClient("t-1", "h", 8883).connect)
    harness.equal(net.sock.closed, 0)
    bench = Bench(Clock())
    bench.net.errors = net.errors
    harness.equal(harness.raises(LinkError, bench.session.connect).reason, errors.TCP)
    harness.equal(bench.net.sock.closed > 0, True)


def test_only_the_first_address():
    net = Net(Clock())
    net.addresses = ["dead", "good"]
    net.errors = {"dead": 113}
    net.install(umqtt.simple)
    harness.raises(OSError, MQTTClient("t-1", "h", 8883).connect)
    harness.equal(net.connected, ["dead"])
    bench = Bench(Clock())
    bench.net.addresses, bench.net.errors = net.addresses, net.errors
    bench.session.connect()
    harness.equal(bench.net.connected, ["dead", "good"])


def test_a_packet_that_stops_after_its_first_byte():
    # On unix the timeout given to connect() survives the first message, on ESP ports it does not.
    for esp, error in ((False, OSError), (True, Hang)):
        client, _ = stock(b"\x30", timeout_s=5, esp=esp)
        harness.raises(error, client.check_msg)
    for esp in (False, True):
        bench = ours(b"\x30", esp=esp)
        error = harness.raises(LinkError, bench.steps, 60_000)
        harness.equal((error.reason, error.detail), (errors.TIMEOUT, "packet"))


def test_a_packet_that_stops_anywhere():
    whole = publish(b"topic", b"payload", 7)
    for size in range(1, len(whole)):
        bench = ours(whole[:size], esp=True)
        harness.equal(harness.raises(LinkError, bench.steps, 60_000).reason, errors.TIMEOUT)


def test_closed_in_the_middle_of_a_packet():
    client, _ = stock(b"\x30\x0c\x00", eof=True)
    harness.raises(FAULTS, client.check_msg)
    whole = publish(b"topic", b"payload", 7)
    for size in range(len(whole)):
        bench = ours(whole[:size], eof=True)
        harness.equal(harness.raises(LinkError, bench.steps, 5_000).reason, errors.CLOSED)


def test_qos_2():
    message = publish(b"t", b"x", 7, 0x34)
    message = bytes([0x34]) + message[1:]
    client, _ = stock(message)
    harness.raises(AssertionError, client.check_msg)
    bench = ours(message)
    harness.equal(harness.raises(LinkError, bench.session.step).reason, errors.PROTOCOL)


def test_a_large_message():
    size = 100_000
    head = b"\x32" + length(size) + b"\x00\x01t\x00\x05"
    client, net = stock(head, timeout_s=5, esp=False)
    harness.raises(OSError, client.check_msg)
    harness.equal(net.biggest, size - 5)  # one object of 100 KB
    bench = ours(head)
    left = size - 5
    while left:
        part = min(left, 4096)
        bench.push(bytes(part))
        left -= part
        bench.session.step()
    bench.push(publish(b"t", b"after"))
    bench.steps(1_000)
    assert bench.net.biggest <= 256
    harness.equal(bench.net.sock.sent(), b"\x40\x02\x00\x05")
    harness.equal((bench.session.oversized, bench.messages), (1, [(b"t", b"after")]))


def test_a_length_without_end():
    client, net = stock(b"\x30" + b"\xff" * 7 + b"\x01" + bytes(3), timeout_s=5, esp=False)
    harness.raises((OSError,) + FAULTS, client.check_msg)
    assert net.biggest > 1 << 40
    bench = ours(b"\x30\xff\xff\xff\xff")
    harness.equal(harness.raises(LinkError, bench.session.step).reason, errors.PROTOCOL)


def test_a_topic_longer_than_its_packet():
    message = b"\x30\x05\x00\x09abc"
    client, net = stock(message + bytes(20))
    try:
        client.check_msg()
    except FAULTS:
        pass
    harness.equal(net.biggest < 0, True)
    bench = ours(message)
    harness.equal(harness.raises(LinkError, bench.session.step).reason, errors.PROTOCOL)


harness.run(globals())
