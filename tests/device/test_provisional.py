# heap: 64wk
# TLS while no time is known: what the RTC has, what moves the provisional time, and what does not.

import binascii

import fakes
import harness
from clock_rig import FLOOR, Settings
from firmware.net import clock as ntp
from firmware.net import provisional, tls

DAY = 86400
GOOD = FLOOR + 100 * DAY


def der(tag, *parts):
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes((tag, size)) + body
    return bytes((tag, 0x82, size >> 8, size & 255)) + body


def certificate(text, tag=None, version=True, serial=b"\x05", rest=bytes(300)):
    # The order of RFC 5280, 4.1; names and keys are of no matter here.
    tag = tag or (0x17 if len(text) == 13 else 0x18)
    validity = der(0x30, der(tag, text), der(0x18, b"20550101000000Z"))
    head = der(0xA0, der(2, b"\x02")) if version else b""
    name = der(0x30, der(0x31, b"issuer"))
    return der(
        0x30,
        der(0x30, head, der(2, serial), der(0x30, b"\x06\x01\x2a"), name, validity, rest),
        der(0x30, b"\x06\x01\x2a"),
        der(3, bytes(70)),
    )


ROOT = certificate(b"150526000000Z", serial=b"\x07")
LEAF = certificate(b"271231235958Z")
BEGIN_S = 883612798  # of LEAF, in seconds since 2000


def pem(cert):
    text = b"-----BEGIN CERTIFICATE-----\n"
    for at in range(0, len(cert), 48):
        text += binascii.b2a_base64(cert[at : at + 48])
    return text + b"-----END CERTIFICATE-----\n"


class Context:
    def __init__(self, shows=True):
        if shows:
            self.verify_callback = None


class Link:
    # A Connection whose step() does as it is told.
    def __init__(self, context=None):
        self.clock = fakes.Clock()
        self.clock.provisional = None
        self.context = Context() if context is None else context
        self.log = fakes.Log()
        self.up, self.opening, self.last_reason = False, None, None
        self.chain, self.fail = (), None  # shown in this step; reason of its failure, or None
        self.verdicts = []
        self.during = []  # RTC in a step, and whether a callback was set
        # Also board.py and the settings.
        self.rtc, self.rtcs = 0, []
        self.settings = Settings(GOOD)

    def date(self, s2000):
        return "date {}".format(s2000)

    def provisional_rtc(self, s2000):
        self.rtc = s2000
        self.rtcs.append(s2000)

    def step(self, network):
        harness.equal(network, True)
        look = getattr(self.context, "verify_callback", None)
        self.during.append((self.rtc, bool(look)))
        for depth in range(len(self.chain) - 1, -1, -1):
            cert = self.chain[-1 - depth]
            self.verdicts.append(look(cert and memoryview(cert), depth))
        if isinstance(self.fail, Exception):
            raise self.fail
        self.last_reason = self.fail
        self.opening = None if self.fail or self.up else True

    def run(self, fail=None, *chain):
        self.fail, self.chain = fail, chain
        provisional.step(self, self.settings, FLOOR, self)
        harness.equal(self.rtc, 0)
        harness.equal(getattr(self.context, "verify_callback", None), None)
        return self.clock.provisional


def ca(data):
    def read(name):
        harness.equal(name, "ca")
        return data

    tls.read = read


ca(pem(certificate(b"160101000000Z")) + pem(ROOT))


def test_the_rtc_has_it_during_a_step_and_no_longer():
    link = Link()
    harness.equal(link.run(), GOOD)
    harness.equal((link.during, link.rtcs), ([(GOOD, True)], [GOOD, 0]))
    assert link.log.lines[0].startswith("clock: no NTP server answers"), link.log.lines
    link.run()
    harness.equal(len(link.log.lines), 1)  # once for each try
    link.up = True
    link.run()
    link = Link()
    harness.raises(MemoryError, link.run, MemoryError())
    harness.equal((link.rtc, link.context.verify_callback), (0, None))


def test_the_build_time_where_nothing_else_is_known():
    link = Link()
    link.settings = Settings()
    harness.equal(link.run(), FLOOR)


def test_a_chain_of_our_ca_that_is_not_yet_valid_moves_it():
    link = Link()
    harness.equal(link.run("tls not yet valid", ROOT, LEAF), BEGIN_S + 60)
    harness.equal(link.verdicts, [0, 0])
    link.run()
    harness.equal(link.during[-1], (BEGIN_S + 60, True))
    ca(ROOT)  # DER
    harness.equal(Link().run("tls not yet valid", ROOT, LEAF), BEGIN_S + 60)
    middle = certificate(b"280301000000Z")
    harness.equal(Link().run("tls not yet valid", ROOT, middle, LEAF), 888796800 + 60)


def test_no_other_chain_does():
    for reason, chain in (
        ("tls not trusted", (ROOT, LEAF)),
        ("tls host name", (ROOT, LEAF)),
        ("tls certificate", (ROOT, LEAF)),
        ("dns -2", ()),
        ("memory tls", (ROOT, LEAF)),
    ):
        link = Link()
        harness.equal(link.run(reason, *chain), GOOD)
        harness.equal([found for found in link.verdicts if found != 0], [])
    before = tls.read
    ca(None)
    harness.equal(Link().run("tls not yet valid", ROOT, LEAF), GOOD)
    tls.read = before


def test_what_cannot_be_read_moves_it_in_steps():
    # "not yet valid" alone: mbedTLS has found nothing graver.
    for chain in (
        (LEAF,),
        (ROOT[:-1] + b"x", LEAF),
        (ROOT[:-1], LEAF),
        (ROOT, LEAF[:60]),
        (ROOT[:60], LEAF[:60]),
        (ROOT, None),
        (None,),
        (),
    ):
        link = Link()
        for days in (30, 60):
            harness.equal(link.run("tls not yet valid", *chain), GOOD + days * DAY)
        harness.equal([found for found in link.verdicts if found != 0], [])


def test_it_only_moves_forward_and_not_for_ever():
    early = certificate(b"260101000000Z")
    harness.equal(Link().run("tls not yet valid", ROOT, early), GOOD + 30 * DAY)
    far = certificate(b"20490101000000Z")
    harness.equal(Link().run("tls not yet valid", ROOT, far), GOOD)


def test_steps_where_the_port_shows_nothing():
    for context in (Context(shows=False), False):
        link = Link(context)
        for days in (30, 60, 90):
            harness.equal(link.run("tls not yet valid"), GOOD + days * DAY)
        for reason in ("tls not trusted", "dns -2"):
            harness.equal(link.run(reason), GOOD + 90 * DAY)


def test_a_last_good_time_that_was_wrong_is_given_up():
    link = Link()
    link.run("tls expired", ROOT, LEAF)
    harness.equal(link.clock.provisional, FLOOR)
    link.run()
    harness.equal(link.during[-1][0], FLOOR)
    harness.equal(link.settings.saves, 0)


def test_dates():
    for text, s2000 in (
        (b"000101000000Z", 0),
        (b"000229000000Z", 59 * DAY),
        (b"000301000001Z", 60 * DAY + 1),
        (b"491231235959Z", 1577923199),
        (b"500101000000Z", -1577836800),
        (b"991231235959Z", -1),
        (b"20491231235959Z", 1577923199),
        (b"20500101000000Z", 1577923200),
        (b"21000301000000Z", 3160857600),
        (b"261121000000Z", 848534400),
    ):
        for version in (True, False):
            harness.equal(provisional.not_before(certificate(text, version=version)), s2000)


def test_what_is_no_date():
    for text, tag in (
        (b"0001010000Z", 0x17),
        (b"000101000000+", 0x17),
        (b"0001010000-1Z", 0x17),
        (b"", 0x17),
        (b"000101000000Z", 0x18),
        (b"20000101000000Z", 0x17),
        (b"000101000000Z", 0x04),
    ):
        harness.raises(ValueError, provisional.not_before, certificate(text, tag))


def test_a_walk_over_anything_ends_with_an_error():
    random = fakes.Random(harness.seed())
    for _ in range(harness.count(400)):
        cert = bytearray(certificate(b"261121000000Z", rest=b""))
        for byte in bytes(random(256) for _ in range(1 + random(3))):
            cert[random(50)] = byte
        if random(2):
            cert = cert[: random(len(cert))]
        try:
            found = provisional.not_before(cert)
        except (ValueError, IndexError):
            continue
        assert -2000000000 < found < 300000000000
    for cert in (b"", b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x80\x30\x80", b"0" * 50):
        harness.raises((ValueError, IndexError), provisional.not_before, cert)


def test_the_callback_never_raises():
    seen = [None, 0]
    for cert in (None, b"", memoryview(b"\x30"), 5):
        harness.equal(provisional._look(seen, cert), 0)
    harness.equal(seen[1], 0)
    assert ntp.good(Settings(), FLOOR) == FLOOR
