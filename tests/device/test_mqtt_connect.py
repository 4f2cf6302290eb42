# heap: 96wk
# How a session begins (firmware/net/connect.py): addresses, sockets, CONNECT, CONNACK.

import harness
from fakes_net import ETIMEDOUT, Bench, Broken, why
from firmware import loading
from firmware.core.errors import LinkError
from firmware.net import connect, packets, tls

CONNECT = b"\x10\x17\x00\x04MQTT\x04\x2c\x00\x3c\x00\x03t-1\x00\x01w\x00\x03off"
REFUSED = 111


def fails(bench, *args):
    harness.equal(why(bench, bench.connect)[: len(args)], args)
    bench.session.close()  # as Connection does
    harness.equal([sock.closed > 0 for sock in bench.net.socks], [True] * len(bench.net.socks))


def test_connect_is_one_write_without_clean_session():
    bench = Bench()
    harness.equal(bench.connect(), False)
    harness.equal((bench.net.sock.writes, bench.link.context.wrapped), ([CONNECT], [("h", False)]))
    harness.equal(bench.net.options, [(6, 1, 1)])  # TCP_NODELAY


def test_last_will():
    bench = Bench()
    bench.session.set_last_will(b"devices/t-1/status", b'{"online": false}', True, 1)
    bench.connect()
    packet = bench.net.sock.writes[0]
    harness.equal(packet[9], 0x2C)  # retained, QoS 1
    harness.equal(packet[14:], b"t-1\x00\x12devices/t-1/status\x00\x11" + b'{"online": false}')
    harness.equal(packet[1], len(packet) - 2)


def test_connect_above_127_bytes():
    bench = Bench()
    bench.session.set_last_will(b"t" * 100, b"x" * 100, True, 1)
    bench.connect()
    packet = bench.net.sock.writes[0]
    size = len(packet) - 3
    harness.equal(packet[:3], bytes((0x10, size & 127 | 128, size >> 7)))


def test_small_packets_go_out_as_before_afterwards():
    bench = Bench().up()
    bench.steps(30_000)
    harness.equal(bench.net.sock.writes, [b"\xc0\x00"])


def test_no_memory_left():
    bench = Bench()

    def scarce(*_):
        raise MemoryError("memory allocation failed")

    bench.net.socket = scarce
    harness.raises(MemoryError, bench.connect)


def test_no_name():
    bench = Bench()
    bench.net.dns_error = -2
    fails(bench, "dns", -2)
    bench.net.dns_error = None
    bench.net.addresses = []  # what lwIP gives while there is no network
    fails(bench, "dns")


def test_an_ipv6_address_of_an_esp32_is_none():
    bench = Bench()
    bench.net.addresses = [None, "good"]
    bench.connect()
    harness.equal(bench.net.connected, ["good"])
    bench = Bench()
    bench.net.addresses = [None]
    fails(bench, "dns")


def test_the_log_has_the_address_and_what_tcp_took():
    # Boards have a tuple, the unix port bytes: family, port, address.
    for address in (
        ("192.0.2.7", 8883),
        bytearray(b"\x02\x00\x22\xb3\xc0\x00\x02\x07" + bytes(8)),
    ):
        bench, lines = Bench(), []
        bench.link.log = lines.append
        bench.net.addresses = [address]
        bench.connect()
        assert lines[-2].startswith("link: 192.0.2.7 answers, round trip "), lines
        harness.equal(lines[-1], "link: up, session new")


def test_every_address_is_tried():
    for esp in (False, True):
        bench = Bench(esp=esp)
        bench.net.addresses = ["a", "b", "c", "d"]
        bench.net.errors = {"a": ETIMEDOUT, "b": REFUSED, "c": -101}
        bench.connect()
        harness.equal(bench.net.connected, ["a", "b", "c", "d"])
        harness.equal([sock.closed > 0 for sock in bench.net.socks], [True] * 3 + [False])


def test_why_tcp_failed():
    # An ESP32 does not set POLLERR, and some errnos it gives below zero.
    for esp in (False, True):
        for errno, said in ((REFUSED, 111), (104, 104), (-101, 101)):
            bench = Bench(esp=esp)
            bench.net.errors = {bench.net.addresses[0]: errno}
            fails(bench, "tcp", said)


def test_no_address_answers_and_the_time_is_shared():
    for count, each_ms in ((1, 10_000), (3, 10_000), (8, 3_750)):
        bench = Bench()
        clock = bench.clock
        bench.net.addresses = list("abcdefgh")[:count]
        bench.net.errors = {address: ETIMEDOUT for address in "abcdefgh"}
        start = clock.now()
        fails(bench, "tcp", "timeout")
        harness.equal(len(bench.net.connected), count)
        took_ms = clock.diff(clock.now(), start)
        assert abs(took_ms - count * each_ms) <= count * 100, took_ms
        assert took_ms <= connect.CONNECT_MAX_MS, took_ms


def test_the_last_of_several_addresses_has_time_left():
    bench = Bench()
    bench.net.addresses = list("abcdefgh")
    bench.net.errors = {address: ETIMEDOUT for address in "abcdefg"}
    bench.connect()
    harness.equal(bench.net.connected, list("abcdefgh"))


def test_addresses_are_asked_for_anew():
    bench = Bench().up()
    bench.net.addresses = ["new"]
    bench.again(0)
    harness.equal(bench.net.connected, [("10.0.0.1", 8883), "new"])
    harness.equal([sock.closed > 0 for sock in bench.net.socks], [True, False])


def test_what_is_withheld_has_a_limit():
    for words, mute, make, limit_ms in (
        ("connack", [1], None, 10_000),
        ("handshake", (), Broken, 15_000),
    ):
        bench = Bench(mute=mute)
        clock = bench.clock
        bench.link.context.make = make
        start = clock.now()
        fails(bench, "timeout", words)
        assert abs(clock.diff(clock.now(), start) - limit_ms) <= 1000, words


class Slow:
    # TLS whose handshake takes until the test says so.
    done = False

    def __init__(self, raw):
        self.raw = raw

    def write(self, buf, at, size):
        return self.raw.write(buf, at, size) if Slow.done else None

    def readinto(self, buf, size):
        return self.raw.readinto(buf, size)

    def ready(self, mask):
        return self.raw.ready(mask)

    def close(self):
        self.raw.close()


def connecting_ms(handshake_ms):
    # Two addresses that say nothing, a handshake of so long, and no CONNACK: (how long, why it
    # ended).
    bench = Bench(mute=[1])
    clock = bench.clock
    bench.net.addresses = list("abc")
    bench.net.errors = {"a": ETIMEDOUT, "b": ETIMEDOUT}
    bench.link.context.make = Slow
    Slow.done = False
    opening = bench.opening()
    start = clock.now()
    try:
        while True:
            next(opening)
            clock.pass_ms(100)
            Slow.done = clock.diff(clock.now(), start) > handshake_ms
    except LinkError as e:
        harness.equal(bench.net.connected, ["a", "b", "c"])
        return clock.diff(clock.now(), start), " ".join(e.args)


def test_all_of_it_together_has_a_limit():
    for handshake_ms, words in ((28_000, "timeout connack"), (40_000, "timeout handshake")):
        took_ms, reason = connecting_ms(handshake_ms)
        harness.equal(reason, words)
        assert abs(took_ms - connect.CONNECT_MAX_MS) <= 200, took_ms


def test_the_context_of_each_connect_without_a_lasting_one():
    bench = Bench()
    context, made = bench.link.context, []
    bench.link.context = None
    loading.keep()
    before, tls.context = tls.context, lambda: made.append(context) or context
    try:
        bench.up()
        bench.again(0)
    finally:
        tls.context = before
    harness.equal(len(made), 2)


def test_a_handshake_that_fails():
    for esp, errno, reason, detail in (
        (False, 104, "tls", "reset by server"),
        (True, -104, "tls", "reset by server"),
        (True, -12, "memory", "tls"),
        (False, -0x2700, "tls", "certificate"),
        (False, -0x7280, "tls", "closed by server"),
        (False, -0x6E00, "tls", "handshake"),
    ):
        bench = Bench(esp=esp)
        bench.link.context.make = lambda raw, errno=errno: Broken(raw, OSError(errno))
        fails(bench, reason, detail)
    bench = Bench()
    bench.link.context.make = lambda raw: Broken(raw, MemoryError())
    fails(bench, "memory", "tls")


def test_no_memory_for_a_tls_socket():
    for error, words in (
        (MemoryError(), "memory tls"),
        (OSError(-0x7F00), "memory tls"),
        (ValueError("something new"), "tls certificate"),
    ):
        bench = Bench()

        def scarce(raw, error=error):
            raise error

        bench.link.context.make = scarce
        harness.equal(" ".join(why(bench, bench.connect)), words)


class Secure(Broken):
    # One that got through.
    def ready(self, mask):
        return self.raw.ready(mask)

    def write(self, buf, at, size):
        return self.raw.write(buf, at, size)

    def readinto(self, buf, size):
        return self.raw.readinto(buf, size)

    def close(self):
        self.raw.close()


def test_an_alert_after_the_handshake_is_still_a_matter_of_tls():
    # TLS 1.3 refuses a client certificate only then; a bare reset may be anything.
    for errno, reason in (
        (-0x7780, "tls alert from server"),
        (104, "closed 104"),  # which failure.py makes no_connack
        (-0x7280, "closed"),
    ):
        bench = Bench()
        bench.link.context.make = Secure

        def peer(sock, _, errno=errno):
            sock.error = OSError(errno)

        bench.net.peer = peer
        harness.equal(" ".join([str(arg) for arg in why(bench, bench.connect)]), reason)


def answered_with(data, eof=False):
    bench = Bench()

    def peer(sock, _):
        sock.inbox += data
        sock.eof = eof

    bench.net.peer = peer
    return bench


def test_closed_without_connack_points_at_aws():
    for data in (b"", b"\x20", b"\x20\x02\x00"):
        fails(answered_with(data, eof=True), "closed")  # no_connack, see test_connection.py


def test_refused_with_a_code_even_when_the_end_follows_at_once():
    bench = answered_with(b"\x20\x02\x00\x05", eof=True)
    bench.net.lossy = True
    fails(bench, "refused", 5)


def test_anything_else_is_no_connack():
    for data in (b"\x20\x03\x00\x00\x00", b"\x40\x02\x00\x01", b"\x20\x00", b"HTTP/1.1 400 Bad"):
        fails(answered_with(data), "protocol")


def test_a_message_before_connack_is_passed_over():
    # MiniStack delivers what is retained so when a session is kept; it must not keep us off line.
    early = b"\x33\x07\x00\x01a\x00\x09hi"
    bench = answered_with(early + early + b"\x20\x02\x01\x00" + early)
    harness.equal(bench.connect(), True)
    bench.session.step()
    harness.equal(bench.messages, [(b"a", b"hi")])  # the one behind it
    bench = answered_with(early)
    fails(bench, "timeout", "connack")


def test_reset_after_connect():
    bench = Bench()

    def peer(sock, _):
        sock.error = OSError(104)

    bench.net.peer = peer
    fails(bench, "closed", 104)


def test_connack_byte_by_byte():
    bench = Bench(mute=[1])
    opening = bench.opening()
    for _ in range(5):
        next(opening)
    for byte in b"\x20\x02\x01":
        bench.push(bytes((byte,)))
        next(opening)
        harness.equal(bench.link.up, False)
    bench.push(b"\x00")
    next(opening)
    harness.equal((bench.link.up, bench.link.present), (True, True))


def test_disconnect_says_goodbye_and_closes():
    bench = Bench().up()
    packets.disconnect(bench.session)
    harness.equal(bench.net.sock.sent(), b"\xe0\x00")
    harness.equal(bench.net.sock.closed > 0, True)
    packets.disconnect(bench.session)  # twice is no error


def test_disconnect_while_connecting():
    for steps in range(4):
        bench = Bench(mute=[1])
        opening = bench.opening()
        for _ in range(steps):
            next(opening)
        packets.disconnect(bench.session)
        harness.equal([sock.closed > 0 for sock in bench.net.socks], [True] * (steps > 0))


def test_disconnect_without_memory():
    bench = Bench().up()

    def scarce(topic, payload):
        raise MemoryError("memory allocation failed")

    bench.session.set_callback(scarce)
    bench.push(b"\x30\x05\x00\x01ahi")
    packets.disconnect(bench.session)
    harness.equal(bench.net.sock.closed > 0, True)


def test_the_watchdog_outlasts_the_longest_pass():
    # One pass may resolve two names, for NTP and for the broker. lwIP asks each of up to three
    # servers for 7 s (1 + 1 + 2 + 3, core/ipv4/dns.c), and once more for an IPv6 address.
    # An ESP8266's handshake blocks too, for connect.READ_S a flight.
    from fakes_machine import board

    name_ms = 2 * 3 * 7000
    assert board.WDT_MS >= 2 * name_ms + 2000 + 3 * connect.READ_S * 1000, board.WDT_MS
    assert board.WDT_MS >= 2 * connect.CONNECT_MAX_MS, board.WDT_MS
