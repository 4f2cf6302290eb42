# heap: 48wk
# One question to an NTP server, and what may come back.

import fakes
import harness
from clock_rig import FLOOR, Rig
from firmware.net import clock as ntp

HERE = ("192.0.2.1", 123)
S1900 = FLOOR + 3155673600


class Net:
    # Stands in for `socket`; answers(question) -> [(packet, sender)], then nothing for 2 s.
    AF_INET, SOCK_DGRAM = 2, 2

    def __init__(self, answers):
        self.answers, self.found = answers, [(2, 2, 0, "", HERE)]
        self.ticks = fakes.Clock()
        self.open, self.asked, self.slow_ms = 0, [], 0
        ntp.socket = self

    def getaddrinfo(self, host, port, family):
        harness.equal((port, family), (123, 2))
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def socket(self, family, kind):
        harness.equal((family, kind), (2, 2))
        self.open += 1
        return self

    def settimeout(self, seconds):
        harness.equal(seconds, 2)

    def sendto(self, data, address):
        self.asked.append((bytes(data), address))
        self.left = list(self.answers(bytes(data)))

    def recvfrom(self, size):
        harness.equal(size, 48)
        if not self.left:
            self.ticks.pass_ms(2000)
            raise OSError(110)
        self.ticks.pass_ms(self.slow_ms)
        packet, sender = self.left.pop(0)
        return packet[:size], sender

    def close(self):
        self.open -= 1

    def query(self, seed=1):
        try:
            return ntp.query("a.pool", self.ticks, fakes.Random(seed))
        finally:
            harness.equal(self.open, 0)


def answer(question, s1900=S1900, first=0x24, stratum=2, echo=None):
    packet = bytearray(48)
    packet[0], packet[1] = first, stratum
    packet[24:32] = question[40:] if echo is None else echo
    packet[40:44] = (s1900 & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(packet)


def one(**changes):
    return Net(lambda question: [(answer(question, **changes), HERE)])


def test_the_question():
    net = one()
    harness.equal(net.query(), FLOOR)
    net.query(2)
    (first, address), (second, _) = net.asked
    harness.equal((first[0], len(first), first[1:40], address), (0x23, 48, bytes(39), HERE))
    assert first[40:] != second[40:] and len(set(first[40:])) > 3


def test_what_else_a_server_may_say():
    for changes in (
        {"first": 0x1C},  # version 3
        {"first": 0x64},  # leap second to come
        {"stratum": 1},
        {"stratum": 15},
    ):
        harness.equal(one(**changes).query(), FLOOR)


def test_a_server_without_the_time():
    for changes in ({"stratum": 0}, {"stratum": 16}, {"first": 0xE4}, {"s1900": 0}):
        error = harness.raises(ValueError, one(**changes).query)
        assert str(error).endswith("not synchronised"), error


def test_the_years_after_2036():
    for s2000 in (FLOOR, 1139293695, 1139293697, 1139293696 + 400000000):
        harness.equal(one(s1900=s2000 + 3155673600).query(), s2000)


def test_what_is_not_the_answer_is_passed_over():
    def junk(question):
        right = answer(question)
        yield answer(question, S1900 + 99, echo=bytes(8)), HERE  # forged: the question unseen
        yield answer(question, S1900 + 99), ("192.0.2.2", 123)
        yield answer(question, S1900 + 99), ("192.0.2.1", 124)
        yield answer(question, S1900 + 99, first=0x23), HERE  # a question
        yield answer(question, S1900 + 99, first=0x25), HERE  # a broadcast
        yield right[:47], HERE
        yield b"", HERE
        yield question, HERE
        yield right + b"more", HERE

    harness.equal(Net(junk).query(), FLOOR)


def test_nothing_right_is_no_answer():
    assert isinstance(harness.raises(OSError, one(echo=bytes(8)).query), OSError)
    flood = Net(lambda question: [(b"", HERE)] * 1000)
    flood.slow_ms = 10
    error = harness.raises(ValueError, flood.query)
    assert 2000 <= fakes.Clock().diff(flood.ticks.now(), fakes.PERIOD - 5) <= 2010, error


def test_addresses():
    net = one()
    net.found = [(10, 1, 0, "a", None)] + net.found  # an ESP32's for IPv6
    harness.equal(net.query(), FLOOR)
    for found in ([], [(10, 1, 0, "a", None)], OSError(-2), TypeError()):
        net.found = found
        harness.raises(Exception, net.query)


def test_whatever_comes_nothing_is_raised_by_ask():
    random = fakes.Random(harness.seed())
    rig = Rig([None])
    for _ in range(harness.count(300)):
        size = random(60)
        packet = bytes(random(256) for _ in range(size))
        found = [
            [(2, 2, 0, "", HERE)],
            [],
            OSError(-2),
            [(10, 1, 0, "", None)],
            MemoryError(),
            RuntimeError(),
        ][random(12) % 6]

        cut = random(96)

        def answers(question, packet=packet, cut=cut):
            return [(answer(question)[: max(0, cut - 48)] + packet, HERE)]

        net = Net(answers)
        net.found = found
        rig.query = lambda server, clock, chance, net=net: net.query()
        rig.run(1)
        rig.clock.ask_s = 0
        offset = rig.clock.offset
        assert offset is None or FLOOR - 400 <= offset <= FLOOR + 473040000


harness.run(globals())
