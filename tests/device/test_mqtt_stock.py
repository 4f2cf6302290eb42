# heap: 96wk
# What goes wrong in umqtt.simple as it comes, shown on it, and then that Session does better.
# This half: sending, acknowledgements, packet ids. The other: test_mqtt_stock_reading.py.

import umqtt.simple
from umqtt.simple import MQTTClient

import harness
from fakes import Clock
from fakes_net import Bench, Broker, Hang, Net, publish
from firmware.core import errors
from firmware.core.errors import LinkError

FIXED_LONG_TOPICS = hasattr(umqtt.simple, "_encode_len")  # 1.8.0


def stock(mute=()):
    net = Net(Clock(), esp=True)
    net.peer = Broker(mute)
    net.install(umqtt.simple)
    client = MQTTClient("t-1", "h", 8883, keepalive=60)
    client.got = []
    client.set_callback(lambda topic, payload: client.got.append((topic, payload)))
    client.connect()
    net.sock.writes.clear()
    net.peer.got.clear()
    return client, net


def test_one_write_a_publish():
    client, net = stock()
    client.publish(b"t", b"x", qos=1)
    harness.equal(len(net.sock.writes), 5)
    bench = Bench(Clock()).up()
    bench.session.publish1(b"t", b"x", 1)
    harness.equal(bench.net.sock.writes, [net.sock.sent()])


def test_publish_without_puback():
    client, _ = stock(mute=[3])
    harness.raises(Hang, client.publish, b"t", b"x", qos=1)
    bench = Bench(Clock(), mute=[3], keepalive_s=0).up()
    bench.session.publish1(b"t", b"x", 1)
    harness.equal(harness.raises(LinkError, bench.steps, 20_000).reason, errors.NO_PUBACK)
    harness.equal(len(bench.net.sock.writes), 3)


def test_subscribe_without_suback():
    client, net = stock(mute=[8])
    harness.raises(Hang, client.subscribe, b"t")
    harness.equal(net.peer.kinds(), [8])
    bench = Bench(Clock(), mute=[8], keepalive_s=0).up()
    bench.session.subscribe1([b"t"])
    harness.equal(harness.raises(LinkError, bench.steps, 20_000).reason, errors.NO_SUBACK)
    harness.equal(bench.broker.kinds(), [8, 8, 8])


def test_a_late_puback_before_a_message():
    stray = b"\x40\x02\x30\x07" + publish(b"t", b"hi")
    client, net = stock()
    net.sock.inbox += stray
    try:
        for _ in range(5):
            client.check_msg()
    except (Hang, IndexError, TypeError, AssertionError):
        pass
    harness.equal(client.got == [(b"t", b"hi")], False)
    bench = Bench(Clock()).up()
    bench.push(stray)
    bench.session.step()
    harness.equal((bench.messages, bench.session.unknown_acks), ([(b"t", b"hi")], 1))


def test_the_65536th_packet():
    client, net = stock(mute=[3])
    client.pid = 65535
    harness.raises(Hang, client.publish, b"t", b"x", qos=1)
    harness.equal(net.peer.got[0][1][5:7], b"\x00\x00")
    bench = Bench(Clock()).up()
    bench.session.pid = 65535
    harness.equal(bench.session.publish1(b"t", b"x", 1), 1)


def test_publishing_from_the_callback():
    client, net = stock()
    net.sock.inbox += publish(b"t", b"x", 9)
    client.set_callback(lambda topic, payload: client.publish(b"re", b"y"))
    client.check_msg()
    harness.equal(net.sock.writes[-1], b"\x40\x02\x00\x09")
    harness.equal(net.sock.writes[0][:1], b"\x30")  # between the message and its PUBACK
    bench = Bench(Clock()).up()
    seen = []

    def callback(topic, payload):
        bench.session.publish1(b"re", b"y", 1)
        bench.session.publish0(b"re", b"z")
        seen.append(len(bench.net.sock.writes))

    bench.session.set_callback(callback)
    bench.push(publish(b"t", b"x", 9))
    bench.session.step()
    harness.equal(seen, [0])
    out = bench.net.sock.sent()
    harness.equal(sorted([out[:6], out[6:10]]), sorted([b"\x30\x05\x00\x02re", b"z\x40\x02\x00"]))


def test_nobody_pings():
    client, net = stock()
    for _ in range(120):
        net.clock.pass_ms(1000)
        client.check_msg()
    harness.equal(net.sock.writes, [])
    bench = Bench(Clock()).up()
    bench.steps(121_000, 1000)
    harness.equal(bench.broker.kinds(), [12] * 4)


def test_a_ping_without_answer():
    client, net = stock(mute=[12])
    client.ping()
    for _ in range(120):
        net.clock.pass_ms(1000)
        client.check_msg()  # not a word
    bench = Bench(Clock(), mute=[12]).up()
    error = harness.raises(LinkError, bench.steps, 60_000)
    harness.equal(error.reason, errors.NO_PINGRESP)


def test_text_beyond_ascii():
    client, net = stock()
    client.publish("ä", "x")
    harness.equal(net.sock.sent()[:5], b"\x30\x04\x00\x01\xc3")  # one byte too few, twice
    bench = Bench(Clock()).up()
    bench.session.publish("ä", "x")
    harness.equal(bench.net.sock.sent(), b"\x30\x05\x00\x02\xc3\xa4x")


def test_a_long_topic_to_subscribe():
    topic = b"$aws/things/" + b"t" * 128 + b"/shadow/update/delta"
    if not FIXED_LONG_TOPICS:
        client, net = stock(mute=[8])
        harness.raises(Hang, client.subscribe, topic)
        harness.equal(net.sock.sent()[1:2], bytes((5 + len(topic) & 255,)))  # not a length
    bench = Bench(Clock()).up()
    bench.session.subscribe(topic)
    size = 5 + len(topic)
    harness.equal(bench.net.sock.sent()[:3], bytes((0x82, size & 127 | 128, size >> 7)))


harness.run(globals())
