# heap: 96wk
# Connection, Session, connect.py and Transport together: no step() waits, however silent the other
# side is, so that sampling goes on.

import harness
from fakes import DOWN, OPENING, UP, Fixed, Log, state
from fakes_net import ETIMEDOUT, Bench, Broken
from firmware.core.errors import LinkError
from firmware.net import connect
from firmware.net.connection import Connection


class Chain:
    # All of it, over a network in memory.
    def __init__(self, mute=()):
        self.bench = Bench(mute=mute)
        self.clock, self.net = self.bench.clock, self.bench.net
        self.samples = 0
        self.link = Connection(
            self.bench.session,
            self.clock,
            Fixed(0),
            Log(),
            self.bench.link.context,
            1024,
        )
        self.link.on_up = lambda present: None
        self.bench.session.filters = lambda: ["t"]

    def run(self, ms, every_ms=100):
        # The main loop with a sensor that is read so often. No step() may let time pass.
        for _ in range(0, ms, every_ms):
            now = self.clock.now()
            self.link.step(True)
            harness.equal(self.clock.now(), now)
            self.samples += 1
            if not self.link.wait(every_ms):
                self.clock.pass_ms(every_ms)
        return self


def test_no_step_waits_however_silent_the_server_is():
    def no_tcp(chain):
        chain.net.errors = {chain.net.addresses[0]: ETIMEDOUT}

    def no_tls(chain):
        chain.bench.link.context.make = Broken

    def no_connack(chain):
        chain.bench.broker.mute.append(1)

    for silent, reason, limit_ms in (
        (no_tcp, "tcp timeout", connect.TCP_MS),
        (no_tls, "timeout handshake", connect.HANDSHAKE_MS),
        (no_connack, "timeout connack", connect.CONNACK_MS),
    ):
        chain = Chain()
        silent(chain)
        chain.run(limit_ms - 200)
        harness.equal((state(chain.link), chain.link.last_reason), (OPENING, None))
        chain.run(700)
        harness.equal((state(chain.link), chain.link.last_reason), (DOWN, reason))
        harness.equal(chain.samples, (limit_ms + 500) // 100)
        harness.equal([sock.closed > 0 for sock in chain.net.socks], [True])
        chain.net.errors, chain.bench.link.context.make, chain.bench.broker.mute = {}, None, []
        chain.run(1000)
        harness.equal(state(chain.link), UP)


def test_an_error_in_the_handshake_is_a_matter_of_tls_and_later_of_the_connection():
    for error, words, later in (
        (OSError(104), "tls reset by server", "closed 104"),
        (ValueError("validity has expired"), "tls expired", "bug ValueError validity has expired"),
        (MemoryError(), "memory tls", "memory session"),
    ):
        chain = Chain()
        chain.bench.link.context.make = lambda raw, error=error: Broken(raw, error)
        chain.run(100)
        harness.equal((state(chain.link), chain.link.last_reason), (DOWN, words))
        chain.bench.link.context.make = None
        chain.run(1000)
        harness.equal(state(chain.link), UP)
        chain.net.sock.error = error
        chain.run(100)
        harness.equal((state(chain.link), chain.link.last_reason), (DOWN, later))


def test_the_whole_way_up_and_down_again():
    chain = Chain().run(2000)
    harness.equal((state(chain.link), chain.bench.broker.kinds()), (UP, [1, 8]))
    chain.bench.publish(1)
    chain.run(500)
    harness.equal(chain.bench.acked, [0, 1])
    chain.net.sock.eof = True
    chain.bench.publish(2)
    chain.run(100)
    harness.equal(
        (state(chain.link), chain.link.last_reason),
        (DOWN, "closed with 1 unanswered: AWS policy?"),
    )
    chain.bench.broker.present = 1
    chain.run(2000)
    harness.equal((state(chain.link), chain.bench.acked), (UP, [0, 1, 2]))
    harness.equal(chain.bench.broker.kinds().count(8), 1)


def test_dropped_before_suback_means_subscribe_again():
    chain = Chain(mute=[8]).run(2000)
    harness.equal((state(chain.link), chain.bench.broker.kinds()), (UP, [1, 8]))
    for present in (1, 0):
        chain.net.sock.eof = True
        chain.run(100)
        harness.equal(state(chain.link), DOWN)
        chain.bench.broker.got.clear()
        chain.bench.broker.present = present
        chain.run(4000)
        harness.equal((state(chain.link), chain.bench.broker.kinds()), (UP, [1, 8]))
    chain.bench.broker.mute.clear()
    chain.run(4000)
    harness.equal((chain.bench.acked, chain.bench.session.doubt), ([0], False))


class Policy:
    # A broker as AWS is with a policy that does not permit SUBSCRIBE: it closes, and what stands
    # behind the SUBSCRIBE is not read; or, `code`, it says so in SUBACK.
    def __init__(self, broker, code=0):
        self.broker, self.code, self.refuses = broker, code, True
        self.subscribes = 0

    def __call__(self, sock, data):
        if data[0] == 0x82:
            self.subscribes += 1
            if self.refuses and self.code:
                sock.inbox += b"\x90\x03" + data[2:4] + b"\x80"
                return
            sock.eof = sock.eof or self.refuses
        if not sock.eof:
            self.broker(sock, data)


def test_a_policy_that_refuses_subscribe_does_not_keep_readings():
    for code in (0, 0x80):
        chain = Chain()
        link, bench = chain.link, chain.bench
        link.clock.offset = 848_534_400
        policy = chain.net.peer = Policy(bench.broker, code)
        for seq in range(1, 6):
            bench.publish(seq)
        chain.run(22_000)
        refused = "SUBSCRIBE refused by the AWS policy: sending only"
        harness.equal((state(link), link.last_reason, policy.subscribes), (UP, refused, 3))
        harness.equal((sorted(bench.acked), bench.session.used), ([1, 2, 3, 4, 5], 0))
        bench.publish(6)
        chain.run(1_000)
        harness.equal((state(link), bench.acked[-1], policy.subscribes), (UP, 6, 3))
        chain.run(35_000)  # now and then it tries again
        harness.equal((state(link), link.last_reason, policy.subscribes), (UP, refused, 4))
        policy.refuses = False
        chain.run(65_000)
        harness.equal((policy.subscribes, bench.session.doubt), (5, False))
        bench.publish(7)
        chain.run(1000)
        harness.equal(bench.acked[-2:], [0, 7])  # 0: the SUBSCRIBE; it was up all the time


def test_what_ends_elsewhere_is_no_refusal_of_subscribe():
    # Not in a row: a session that ended otherwise comes between.
    chain = Chain()
    policy = chain.net.peer = Policy(chain.bench.broker)
    while policy.subscribes < 2:
        chain.run(100)
    policy.refuses = False
    chain.run(20_000)
    harness.equal((state(chain.link), chain.link.failures[2]), (UP, 2))
    chain.link.failed(LinkError("network gone"))
    harness.equal(chain.link.failures[2], 0)


def test_without_the_time_it_says_that_nothing_is_sent():
    chain = Chain()
    chain.net.peer = Policy(chain.bench.broker)
    chain.run(22_000)
    text = "SUBSCRIBE refused by the AWS policy: no time from AWS, nothing is sent"
    harness.equal((state(chain.link), chain.link.last_reason), (UP, text))


def test_the_tries_get_rare():
    chain = Chain()
    policy = chain.net.peer = Policy(chain.bench.broker)
    chain.run(7_200_000, 1000)
    harness.equal(policy.subscribes, 10)  # 3, then after half a minute, one, two, four, ...
    harness.equal(state(chain.link), UP)


def test_junk_from_a_name_server_does_not_end_the_program():
    for addresses in ([None], [()], [""], []):
        chain = Chain()
        chain.net.addresses = addresses
        chain.run(300)
        harness.equal((state(chain.link), chain.link.last_reason), (DOWN, "dns no IPv4 address"))
    chain = Chain()
    chain.net.getaddrinfo = lambda *_: [()]
    chain.run(300)
    assert chain.link.last_reason.startswith("bug IndexError"), chain.link.last_reason


def without_context(kind):
    # What was held for axTLS: when a context is made, in the handshake, without a session.
    from firmware.net import tls

    chain = Chain()
    link, held = chain.link, []
    context, link.context = link.context, kind
    link.make_room = link.short = lambda: None

    def seen(given):
        held.append(link.reserve and len(link.reserve))
        return given

    context.make = seen
    before, tls.context = tls.context, lambda: seen(context)
    try:
        chain.run(500)
        harness.equal(state(link), UP)
        chain.net.sock.eof = True
        chain.run(100)
        harness.equal(state(link), DOWN)
    finally:
        tls.context = before
    seen(None)
    return held


def test_the_piece_that_axtls_needs():
    # Here there was no memory for it before: there is once room has been made.
    harness.equal(without_context(None), [5368, None, 5368])


def test_nothing_is_held_for_mbedtls():
    # It would make Python's heap grow into the memory that the context could not be made in.
    harness.equal(without_context(False), [None, None, None])
