# heap: 80wk
# What goes wrong in umqtt.simple as it comes, shown on it, and that Session does better: the eight
# faults that cost most in the field.

import umqtt.simple
from umqtt.simple import MQTTClient

import harness
from fakes import Clock
from fakes_net import Bench, Broker, Hang, Net, length, publish
from firmware.core.errors import LinkError

# The faults that are none of OSError, and so get past umqtt.robust and most programs.
FAULTS = (IndexError, TypeError, AssertionError, MemoryError, ValueError)


def stock(mute=(), inbox=b"", eof=False, timeout_s=None, esp=True):
    # A client with a connection; `timeout_s` as umqtt 1.5 and later set it in connect().
    net = Net(Clock(), esp)
    net.peer = Broker(mute)
    net.install(umqtt.simple)
    client = MQTTClient("t-1", "h", 8883, keepalive=60)
    client.got = []
    client.set_callback(lambda topic, payload: client.got.append((topic, payload)))
    client.connect()
    net.sock.settimeout(timeout_s)
    net.sock.writes.clear()
    net.peer.got.clear()
    net.sock.inbox += inbox
    net.sock.eof = eof
    return client, net


def test_five_writes_a_publish():
    client, net = stock()
    client.publish(b"t", b"x", qos=1)
    harness.equal(len(net.sock.writes), 5)
    bench = Bench().up()
    bench.publish(1)
    bench.session.step()
    harness.equal(bench.net.sock.writes, [net.sock.sent()])


def test_publish_without_puback():
    client, _ = stock(mute=[3])
    harness.raises(Hang, client.publish, b"t", b"x", qos=1)
    bench = Bench(mute=[3], keepalive_s=0).up()
    bench.publish(1)
    harness.equal(harness.raises(LinkError, bench.steps, 20_000).args[0], "no_puback")
    harness.equal(len(bench.net.sock.writes), 3)


def test_a_late_puback_before_a_message():
    stray = b"\x40\x02\x30\x07" + publish(b"t", b"hi")
    client, _ = stock(inbox=stray)
    try:
        for _ in range(5):
            client.check_msg()
    except (Hang,) + FAULTS:
        pass
    harness.equal(client.got == [(b"t", b"hi")], False)
    bench = Bench().up()
    bench.push(stray)
    bench.session.step()
    harness.equal(bench.messages, [(b"t", b"hi")])


def test_the_65536th_packet():
    client, net = stock(mute=[3])
    client.pid = 65535
    harness.raises(Hang, client.publish, b"t", b"x", qos=1)
    harness.equal(net.peer.got[0][1][5:7], b"\x00\x00")  # which AWS answers by closing
    bench = Bench().up()
    bench.session.pid = 65535
    bench.publish(1)
    bench.session.step()
    harness.equal(bench.broker.got[0][1][5:7], b"\x00\x01")


def test_nobody_pings_nor_misses_the_answer():
    client, net = stock(mute=[12])
    for _ in range(120):
        net.clock.pass_ms(1000)
        client.check_msg()
    harness.equal(net.sock.writes, [])
    client.ping()
    for _ in range(120):
        net.clock.pass_ms(1000)
        client.check_msg()  # not a word
    bench = Bench(mute=[12]).up()
    harness.equal(harness.raises(LinkError, bench.steps, 60_000).args[0], "no_pingresp")
    harness.equal(bench.broker.kinds(), [12])


def test_only_the_first_address_and_the_socket_stays_open():
    net = Net(Clock())
    net.addresses = ["dead", "good"]
    net.errors = {"dead": 113}
    net.install(umqtt.simple)
    harness.raises(OSError, MQTTClient("t-1", "h", 8883).connect)
    harness.equal((net.connected, net.sock.closed), (["dead"], 0))
    bench = Bench()
    bench.net.addresses, bench.net.errors = net.addresses, net.errors
    bench.connect()
    harness.equal(bench.net.connected, ["dead", "good"])
    harness.equal([sock.closed > 0 for sock in bench.net.socks], [True, False])


def test_a_packet_that_stops_after_its_first_byte():
    # On unix the timeout given to connect() survives the first message, on ESP ports it does not.
    for esp, error in ((False, OSError), (True, Hang)):
        client, _ = stock(inbox=b"\x30", timeout_s=5, esp=esp)
        harness.raises(error, client.check_msg)
    for esp in (False, True):
        bench = Bench(keepalive_s=0, esp=esp).up()
        bench.push(b"\x30")
        error = harness.raises(LinkError, bench.steps, 60_000)
        harness.equal(error.args, ("timeout", "packet"))


def test_a_large_message():
    size = 100_000
    head = b"\x32" + length(size) + b"\x00\x01t\x00\x05"
    client, net = stock(inbox=head, timeout_s=5, esp=False)
    harness.raises(OSError, client.check_msg)
    harness.equal(net.biggest, size - 5)  # one object of 100 KB
    bench = Bench(keepalive_s=0).up()
    bench.push(head)
    bench.session.step()
    assert bench.net.biggest <= 264, bench.net.biggest
