# heap: 112wk
# Whatever the broker sends: a LinkError or nothing, no hang, no growth.

import harness
from fakes import Random
from fakes_net import Bench, Hang, publish
from firmware.core.errors import LinkError
from firmware.net import packets
from firmware.net.packets import document
from firmware.net.session import SUBSCRIBE

SAMPLES = (
    b"\x20\x02\x00\x00",
    b"\x40\x02\x00\x01",
    b"\x90\x04\x00\x01\x01\x01",
    b"\xd0\x00",
    publish(b"t", b"x", 7),
    publish(b"$aws/things/t-1/shadow/update/delta", b'{"version": 3, "state": {}}', 9),
    publish(b"devices/t-1/commands", bytes(200)),
    publish(b"t", bytes(1500), 3),
)


def mutate(data, random):
    data = bytearray(data)
    for _ in range(1 + random(3)):
        what = random(4)
        at = random(len(data))
        if what == 0:
            data[at] = random(256)
        elif what == 1:
            data[at] ^= 1 << random(8)
        elif what == 2 and len(data) > 1:
            data = data[:at] + data[at + 1 :]
        else:
            data = data[:at] + bytes((random(256),)) + data[at:]
    return data


def feed(bench, data, random):
    # In pieces, then silence, then the end of the connection: all of it inside two minutes.
    session = bench.session
    while data:
        size = 1 + random(len(data))
        bench.push(bytes(data[:size]))
        data = data[size:]
        session.step()
    for _ in range(60):
        bench.clock.pass_ms(1000)
        session.step()
    bench.net.sock.eof = True
    for _ in range(60):
        session.step()
    raise Hang("the session outlived its connection")


def test_mutated_packets():
    random = Random(harness.seed())
    bench = Bench(limit_bytes=512)
    bench.session.filters = lambda: ["a", "b"]
    before = None
    reasons = {}
    turns = harness.count(1500)
    for turn in range(turns):
        bench.broker.present = turn // 2 & 1
        bench.broker.rest = b""
        bench.up()
        if -1 not in bench.session.waiting:
            document(bench.session, b"t", b"x", -1)
        if bench.session.used < 8:
            bench.publish(turn % 8 + 1)
        if turn % 2 and SUBSCRIBE not in bench.session.waiting:
            packets.subscribe(bench.session)
        data = bytearray()
        for _ in range(1 + random(3)):
            data += mutate(SAMPLES[random(len(SAMPLES))], random)
        reason = harness.raises(LinkError, feed, bench, data, random).args[0]
        reasons[reason] = reasons.get(reason, 0) + 1
        bench.session.close()
        harness.equal(all(sock.closed for sock in bench.net.socks), True)
        assert 0 <= bench.net.biggest <= 512 + 264, bench.net.biggest
        assert bench.session.used <= 10, bench.session.used
        bench.forget()
        if turn == turns // 2:  # by then every buffer has its full size
            before = harness.settled_heap()
    grown = harness.settled_heap() - before
    # A leak of one block a turn would be more; what the stack happens to hold is less.
    assert grown <= 4096, grown
    print(reasons)
    assert {"protocol", "closed"} <= set(reasons)


def test_mutated_connack():
    random = Random(harness.seed())
    for _ in range(harness.count(500)):
        bench = Bench()
        data = bytes(mutate(b"\x20\x02\x00\x00", random))

        def peer(sock, _, data=data):
            sock.inbox += data
            sock.eof = True

        bench.net.peer = peer
        try:
            bench.connect()
        except LinkError as e:
            assert e.args[0] in ("closed", "refused", "protocol", "timeout"), e


def test_noise():
    random = Random(harness.seed() + 1)
    for _ in range(harness.count(500)):
        bench = Bench(limit_bytes=512).up()
        noise = bytearray(random(256) for _ in range(1 + random(40)))
        harness.raises(LinkError, feed, bench, noise, random)
