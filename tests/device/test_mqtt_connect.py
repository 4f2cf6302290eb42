# heap: 96wk
# CONNECT, CONNACK, addresses and sockets of firmware/net/mqtt.py.

import harness
from fakes import Clock
from fakes_net import ETIMEDOUT, Bench
from firmware.core import errors
from firmware.core.errors import LinkError
from firmware.net import mqtt

CONNECT = b"\x10\x0f\x00\x04MQTT\x04\x00\x00\x3c\x00\x03t-1"


def fails(bench, reason, detail=None):
    error = harness.raises(LinkError, bench.session.connect)
    harness.equal((error.reason, error.detail if detail is not None else None), (reason, detail))
    harness.equal([sock.closed > 0 for sock in bench.net.socks], [True] * len(bench.net.socks))


def test_connect_is_one_write_without_clean_session():
    bench = Bench(Clock())
    harness.equal(bench.session.connect(), False)
    harness.equal(bench.net.sock.writes, [CONNECT])


def test_the_broker_has_our_session():
    bench = Bench(Clock())
    bench.broker.present = 1
    harness.equal(bench.session.connect(), True)


def test_last_will():
    bench = Bench(Clock())
    bench.session.will("devices/t-1/status", '{"online": false}', True)
    bench.session.connect()
    packet = bench.net.sock.writes[0]
    harness.equal(packet[9], 0x2C)  # will, QoS 1, retain
    harness.equal(packet[17:], b"\x00\x12devices/t-1/status\x00\x11" + b'{"online": false}')
    harness.equal(packet[1], len(packet) - 2)


def test_a_last_will_aws_would_not_take():
    session = Bench(Clock()).session
    harness.raises(LinkError, session.will, "", "x")
    harness.raises(LinkError, session.set_last_will, "t", "x", False, 2)


def test_no_memory_left():
    bench = Bench(Clock())

    def poll():
        raise MemoryError("memory allocation failed")

    bench.net.poll = poll
    fails(bench, errors.MEMORY)


def test_text_beyond_ascii_is_counted_in_bytes():
    bench = Bench(Clock()).up()
    bench.session.publish1("t/ä", "°C", 1)
    harness.equal(bench.net.sock.sent(), b"\x32\x0b\x00\x04t/\xc3\xa4\x00\x01\xc2\xb0C")


def test_no_name():
    bench = Bench(Clock())
    bench.net.dns_error = -2
    fails(bench, errors.DNS, -2)
    bench.net.dns_error = None
    bench.net.addresses = []  # what lwIP gives while there is no network
    fails(bench, errors.DNS)


def test_every_address_is_tried():
    bench = Bench(Clock())
    bench.net.addresses = ["a", "b", "c"]
    bench.net.errors = {"a": ETIMEDOUT, "b": 111}
    bench.session.connect()
    harness.equal(bench.net.connected, ["a", "b", "c"])
    harness.equal([sock.closed > 0 for sock in bench.net.socks], [True, True, False])


def test_no_address_answers_and_the_limit_holds():
    clock = Clock()
    bench = Bench(clock)
    bench.net.addresses = list("abcdefgh")
    bench.net.errors = {address: ETIMEDOUT for address in "abcdefgh"}
    start = clock.now()
    fails(bench, errors.TCP, ETIMEDOUT)
    harness.equal(len(bench.net.connected), 8)
    assert clock.diff(clock.now(), start) <= mqtt.CONNECT_MAX_MS


def test_addresses_are_asked_for_anew():
    bench = Bench(Clock())
    bench.session.connect()
    bench.net.addresses = ["new"]
    bench.session.connect()
    harness.equal(bench.net.connected, [("10.0.0.1", 8883), "new"])
    harness.equal([sock.closed > 0 for sock in bench.net.socks], [True, False])


def test_connack_withheld():
    clock = Clock()
    bench = Bench(clock, mute=[1])
    start = clock.now()
    fails(bench, errors.TIMEOUT, "connack")
    assert 9_000 < clock.diff(clock.now(), start) <= 11_000


def test_umqtts_timeout_makes_it_shorter():
    clock = Clock()
    bench = Bench(clock, mute=[1])
    start = clock.now()
    harness.raises(LinkError, bench.session.connect, timeout=2)
    assert clock.diff(clock.now(), start) <= 2_000


def test_handshake_withheld():
    clock = Clock()
    bench = Bench(clock)
    socket = bench.net.socket

    def deaf(*args):
        sock = socket(*args)
        sock.window = 0
        return sock

    bench.net.socket = deaf
    start = clock.now()
    fails(bench, errors.TIMEOUT, "handshake")
    assert clock.diff(clock.now(), start) <= mqtt.CONNECT_MAX_MS


def answered_with(data, eof=False):
    bench = Bench(Clock())

    def peer(sock, _):
        sock.inbox += data
        sock.eof = eof

    bench.net.peer = peer
    return bench


def test_closed_without_connack_is_told_apart():
    for data in (b"", b"\x20", b"\x20\x02\x00"):
        fails(answered_with(data, eof=True), errors.NO_CONNACK)


def test_refused_with_a_code_even_when_the_end_follows_at_once():
    bench = answered_with(b"\x20\x02\x00\x05", eof=True)
    bench.net.lossy = True
    fails(bench, errors.REFUSED, 5)


def test_anything_else_is_no_connack():
    for data in (b"\x20\x03\x00\x00\x00", b"\x30\x02\x00\x00", b"\x20\x00", b"HTTP/1.1 400 Bad"):
        fails(answered_with(data), errors.PROTOCOL)


def test_reset_after_connect():
    bench = Bench(Clock())

    def peer(sock, _):
        sock.error = OSError(104)

    bench.net.peer = peer
    fails(bench, errors.NO_CONNACK)


def test_connack_and_a_message_in_one_piece():
    bench = Bench(Clock())

    def peer(sock, _):
        sock.inbox += b"\x20\x02\x01\x00" + b"\x30\x05\x00\x01ahi"

    bench.net.peer = peer
    harness.equal(bench.session.connect(), True)
    bench.session.step()
    harness.equal(bench.messages, [(b"a", b"hi")])


def test_disconnect_says_goodbye_and_closes():
    bench = Bench(Clock()).up()
    bench.session.disconnect()
    harness.equal(bench.net.sock.sent(), b"\xe0\x00")
    harness.equal(bench.net.sock.closed > 0, True)
    bench.session.disconnect()  # twice is no error


def test_nothing_works_without_a_session():
    session = Bench(Clock()).session
    harness.equal(session.can_send(), 0)
    harness.equal(session.publish1("t", "x"), 0)
    harness.equal(session.publish0("t", "x"), False)
    harness.equal(harness.raises(LinkError, session.step).reason, errors.CLOSED)


harness.run(globals())
