# heap: 192wk
# Messages of the shadow that fit without what AWS says about the age of its keys.

import harness
from fakes import Clock
from fakes_net import Bench, publish


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
                bench = Bench(Clock(), keepalive_s=0).up()
                for at in range(0, len(whole), part):
                    bench.push(whole[at : at + part])
                    bench.session.step()
                harness.equal(bench.messages, [(b"t", text % tuple(left)), (b"t", b"next")])
                harness.equal(bench.net.sock.sent(), b"\x40\x02\x00\x05")


def test_a_document_too_long_without_that_is_acknowledged():
    ages = b'{"metadata":{"a":[' + b"1795248682," * 40 + b'1]},"state":"'
    for size in (900, 1_000, 2_000, 4_000, 9_000):
        whole = publish(b"t", ages + b"v" * size + b'"}', 5) + publish(b"t", b"next")
        for part in (len(whole), 300, 47):
            bench = Bench(Clock(), keepalive_s=0).up()
            for at in range(0, len(whole), part):
                bench.push(whole[at : at + part])
                bench.session.step()
            harness.equal(bench.messages[-1], (b"t", b"next"))
            harness.equal(
                (len(bench.messages) == 1, bench.session.oversized == 1), (size > 1_288,) * 2
            )
            harness.equal(bench.net.sock.sent(), b"\x40\x02\x00\x05")


harness.run(globals())
