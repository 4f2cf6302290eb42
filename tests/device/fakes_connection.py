# A Connection with a session, and a way to it, that do as they are told. They stand in place of
# those modules, too, which leaves the heap to the tests.

import sys

from fakes import Clock, Fixed, Log
from firmware import net
from firmware.core.errors import LinkError


class FakeSession:
    SUBSCRIBE = 0

    def __init__(self):
        self.doubt = False
        self.present = False
        self.error = None  # raised while connecting, or by step()
        self.steps = 0  # of connecting
        self.waiting = {}
        self.pids, self.tags = [0, 0], [0, 0]
        self.rival = None
        self.used = 0
        self.transport = None
        self.body = True  # of a transport whose handshake is over
        self.calls = []
        self.sent = bytearray(2)

    def ping_later(self):
        self.calls.append("begin {}".format(self.present))

    def step(self):
        if self.error is not None:
            raise self.error

    def subscribe(self):
        self.calls.append("subscribe")
        self.waiting[self.SUBSCRIBE] = b"packet"
        self.pids[1] = self.used = 1

    def suback(self):
        self.waiting.clear()
        self.pids[1] = self.used = 0
        self.doubt = False

    def wait(self, timeout_ms):
        self.calls.append("wait {}".format(timeout_ms))
        self.step()

    def close(self):
        if self.transport:
            self.calls.append("close")
        self.transport = None


class FakePackets:
    def subscribe(session):
        session.subscribe()


class FakeTransport:
    READ_S = 10
    Transport = None


def opening(link):
    session = link.session
    session.calls.append("connect")
    session.transport = session
    for _ in range(session.steps):
        yield
    session.step()
    connect.opened(link, session.present)
    yield


net.packets = FakePackets
for name, fake in (("session", FakeSession), ("transport", FakeTransport)):
    sys.modules["firmware.net." + name] = fake

from firmware.net import connect  # noqa: E402
from firmware.net.connection import Connection  # noqa: E402

connect.opening = opening


class Bench:
    def __init__(self, random=None):
        self.clock = Clock()
        self.session = FakeSession()
        self.network = True
        self.log = Log()
        self.events = []
        self.random = random or Fixed(0)
        self.link = Connection(self.session, self.clock, self.random, self.log, "context", 4096)
        self.link.on_up = self.events.append

    def step(self):
        self.link.step(self.network)

    def run(self, ms, every_ms=250):
        for _ in range(0, ms, every_ms):
            self.clock.pass_ms(every_ms)
            self.step()

    def up(self):
        self.session.present = True
        while not self.link.up:
            self.run(250)
        self.session.suback()
        self.session.calls.clear()
        self.events.clear()
        return self

    def offline_s(self):
        # Of which device_info.py reports what was before this session.
        return self.link.down_s + (0 if self.link.up else self.outage_s())

    def outage_s(self):
        return self.clock.s - self.link.since_s

    def drops(self):
        return self.link.sessions - self.link.up  # as device_info.py has it

    def break_up(self, *error):
        self.session.error = error[0] if isinstance(error[0], Exception) else LinkError(*error)
        self.step()
        self.session.error = None
        return self.link.last_reason

    def fail(self, reason):
        # One failure, and how long the connection then waits.
        self.session.error = LinkError(reason)
        self.step()
        assert not self.link.up and not self.link.opening
        before = self.session.calls.count("connect")
        waited_ms = 0
        while self.session.calls.count("connect") == before:
            self.clock.pass_ms(50)
            waited_ms += 50
            self.step()
        return waited_ms
