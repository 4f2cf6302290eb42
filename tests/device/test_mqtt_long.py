# heap: 192wk
# Messages of the shadow that fit without what AWS says about the age of its keys.

import harness
from fakes_net import Bench, publish
from firmware.net import transport


def test_a_document_is_squeezed_while_it_comes():
    # Twice the limit with what AWS adds to a shadow, but not without that.
    ages = b'{"a":[' + b'{"timestamp":1795248682},' * 60 + b"{}]}"
    value = b'"state":{"b":"' + b"v" * 700 + b'"}'
    for text in (b"{%s,%s}", b"{%s,%s,%s}"):
        for before in (False, True):
            parts = [b'"metadata":' + ages, value, b'"version":7'][: text.count(b"%s")]
            left = [b'"metadata":{}', value, b'"version":7'][: text.count(b"%s")]
            if before:
                parts[:2], left[:2] = [parts[1], parts[0]], [left[1], left[0]]
            whole = publish(b"t", text % tuple(parts), 5) + publish(b"t", b"next")
            for part in (len(whole), 300, 47, 1):
                bench = Bench(keepalive_s=0).up()
                bench.receive(whole, part)
                harness.equal(bench.messages, [(b"t", text % tuple(left)), (b"t", b"next")])
                harness.equal(bench.net.sock.sent(), b"\x40\x02\x00\x05")


def test_a_document_too_long_without_that_is_acknowledged():
    ages = b'{"metadata":{"a":[' + b"1795248682," * 40 + b'1]},"state":"'
    for size in (900, 1_000, 2_000, 4_000, 9_000):
        whole = publish(b"t", ages + b"v" * size + b'"}', 5) + publish(b"t", b"next")
        for part in (len(whole), 300, 47):
            bench = Bench(keepalive_s=0).up()
            bench.receive(whole, part)
            harness.equal(bench.messages[-1], (b"t", b"next"))
            harness.equal(
                (len(bench.messages) == 1, bench.session.oversized == 1), (size > 1_288,) * 2
            )
            harness.equal(bench.net.sock.sent(), b"\x40\x02\x00\x05")


class Pieces:
    # In place of bytearray(): how large the pieces were that were asked for, and an end to them.
    def __init__(self, largest):
        self.largest, self.sizes = largest, []

    def __call__(self, size):
        if size > self.largest:
            raise MemoryError
        self.sizes.append(size)
        return bytearray(size)


def received(text, largest=9_999):
    bench = Bench(keepalive_s=0).up()
    transport.bytearray = pieces = Pieces(largest)
    try:
        bench.push(publish(b"$aws/things/a/shadow/update/accepted", text, 5))
        bench.push(publish(b"t", b"next"))
        for _ in range(9):
            bench.session.step()
    finally:
        del transport.bytearray
    harness.equal(bench.net.sock.sent(), b"\x40\x02\x00\x05")
    harness.equal(bench.messages[-1], (b"t", b"next"))
    return bench, pieces.sizes


def test_a_body_is_as_large_as_what_is_left_of_the_message():
    # Our own update, accepted: AWS repeats all of it, and the age of each value.
    own = b'"state":{"reported":{"a":"' + b"v" * 500 + b'"}}'
    ages = b'"metadata":{"reported":{"a":[' + b'{"timestamp":1795248682},' * 20 + b"{}]}}"
    bench, sizes = received(b"{" + own + b"," + ages + b',"version":7}')
    left = b'{"state":{"reported":{}},"metadata":{},"version":7}'
    harness.equal(bench.messages[0][1], left)
    assert sum(sizes) < 600, sizes
    # Nothing can be left out of this one.
    text = b'{"state":{"desired":{"a":"' + b"v" * 900 + b'"}}}'
    bench, sizes = received(text)
    harness.equal(bench.messages[0][1], text)
    assert max(sizes) < 1_100, sizes
    # There is no piece for the whole: skipped, and counted.
    for largest in (0, 600, 800):
        bench, sizes = received(text, largest)
        harness.equal((len(bench.messages), bench.session.oversized), (1, 1))
    # Without room for all of the next step a smaller one will do.
    text = b'{"state":{"desired":{"a":"' + b"v" * 500 + b'"}},' + ages + b"}"
    bench, sizes = received(text, 640)
    harness.equal((len(bench.messages), bench.session.oversized), (2, 0))


class Counted:
    def __init__(self, call):
        self.call, self.count = call, 0

    def __call__(self, *args):
        self.count += 1
        return self.call(*args)


def test_it_is_not_read_byte_by_byte():
    # Wherever what is left out begins, also right at the end of what there is room for.
    ages = b'"metadata":{"a":[' + b'{"timestamp":1795248682},' * 70 + b"{}]}"
    most = 0
    for size in range(0, 700, 3):
        whole = publish(b"t", b'{"state":"' + b"v" * size + b'",' + ages + b"}", 5)
        bench = Bench(keepalive_s=0).up()
        bench.push(whole)
        bench.net.sock.readinto = counted = Counted(bench.net.sock.readinto)
        bench.session.step()
        harness.equal((len(bench.messages), bench.session.oversized), (1, 0))
        most = max(most, counted.count)
    assert most < 60, most
