# heap: 160wk
# What nobody expected, in all that is not a reading: the session is over, readings go on.

import fakes_connection
import fakes_machine  # noqa: F401  for board.py
import harness
from fakes import UP, Fixed, state
from firmware import app, chip, upkeep
from firmware.net import connect, wifi

FAULTS = []


def fault(*_):
    FAULTS.append(1)
    raise TypeError("planted")


class Counts:
    # Sampler, outbox, shadow and network that do as little as can be.
    message = None
    waiting = 0
    started = True
    driver = None
    extra = False

    def __init__(self):
        self.steps = 0
        self.ssid = "net"

    def step(self, *_):
        self.steps += 1

    def next_due_ms(self):
        return 500

    def next_unsent(self):
        return None

    def connected(self, present=None):
        pass

    def isconnected(self):
        return True

    def ifconfig(self):
        return ("10.0.0.2",)


class Settings:
    values = {"drain_per_s": 90, "offline_reboot_s": 3600}
    saved, state = {}, {}

    def note(self, key, value):
        pass


class Bench:
    def __init__(self):
        inner = self.link_bench = fakes_connection.Bench(Fixed(1))
        inner.session.present = True
        self.clock, self.link = inner.clock, inner.link
        self.clock.ask_s = self.clock.offset = 0
        self.clock.step = lambda: None
        made = self.app = app.App()
        made.clock, made.connection, made.session = self.clock, self.link, inner.session
        made.session.due = lambda: -1
        made.session.out = None
        made.sampler, made.outbox = Counts(), Counts()
        made.shadow, made.wlan, made.settings = Counts(), Counts(), Settings()
        made.settings.values = dict(Settings.values)
        made.unload = lambda *_: None
        made.runner = made.joining = None
        made.ssid, made.networks = "net", [{"ssid": "net"}]
        made.check_s = made.counted_s = made.sent = made.since_s = 0
        made.safe, made.window, made.window_max, made.offline_s = False, 8, 24, 0
        made.good_s = made.alarmed = 0
        made.fault = False
        made.job, made.job_s, made.trial = None, 1 << 29, False
        made.cause, made.saved = "pwron", made.settings.saved
        made.upkeep = self.upkeep
        inner.link.on_up = made.shadow.connected
        self.clock.ask_s = 1 << 20
        chip.sleep_ms = self.clock.pass_ms

    def upkeep(self, what="restart"):
        getattr(upkeep, what)(self.app)

    def run(self, seconds):
        # Passes, and how many.
        end_s, passes = self.clock.s + seconds, 0
        while self.clock.s < end_s:
            self.app.step()
            self.app.session.calls.clear()
            self.clock.pass_ms(100)
            passes += 1
        return passes


def plant(bench, where):
    # Gives what takes the fault out again.
    made, session = bench.app, bench.app.session
    places = {
        "isconnected": (made.wlan, "isconnected"),
        "joining": (wifi, "joining"),
        "ask": (made, "upkeep"),
        "on_up": (bench.link, "on_up"),
        "serve": (session, "step"),
        "wait": (session, "wait"),
        "close": (session, "close"),
        "due": (session, "due"),
        "queue": (made.outbox, "next_unsent"),
        "shadow": (made.shadow, "step"),
        "opening": (connect, "opening"),
    }
    holder, name = places[where]
    sound = getattr(holder, name)
    if where == "joining":
        made.wlan.isconnected = lambda: False
    if where == "ask":
        bench.clock.ask_s = bench.clock.s + 1
    if where == "close":
        session.step = fault  # so that it is closed at all

    def closing():
        session.transport = None
        fault()

    setattr(holder, name, closing if where == "close" else fault)

    def back():
        setattr(holder, name, sound)
        if where == "joining":
            made.wlan.isconnected = lambda: True
        if where == "close":
            del session.step
        bench.clock.ask_s = 1 << 20

    return back


def test_whatever_it_is_readings_go_on_and_the_link_comes_back():
    places = "isconnected joining ask on_up serve wait close due queue shadow opening"
    for where in places.split():
        bench = Bench()
        bench.run(5)
        harness.equal((where, state(bench.link)), (where, UP))
        del FAULTS[:]
        back = plant(bench, where)
        if where in ("on_up", "opening"):
            bench.link_bench.break_up("closed")
        samples = bench.app.sampler.steps
        passes = bench.run(120)
        harness.equal((where, bench.app.sampler.steps - samples), (where, passes))
        assert passes > 100, (where, passes)
        assert 1 <= len(FAULTS) <= 130, (where, len(FAULTS))  # no tight circle
        reason = "bug while another was noted" if where == "close" else "bug TypeError planted"
        harness.equal((where, bench.link.last_reason), (where, reason))
        back()
        bench.run(70)
        harness.equal((where, state(bench.link)), (where, UP))


def test_a_fault_in_what_notes_faults():
    bench = Bench()
    bench.run(5)
    from firmware.net import failure

    sound, failure.failed = failure.failed, fault
    try:
        bench.link_bench.break_up("closed")
        harness.equal(bench.link.last_reason, "bug while another was noted")
        harness.equal(bench.link_bench.log.lines[-1], "link: bug planted")
    finally:
        failure.failed = sound
    bench.run(10)
    harness.equal(state(bench.link), UP)


def test_what_samples_or_stores_ends_the_program():
    bench = Bench()
    bench.app.sampler.step = fault
    harness.raises(TypeError, bench.app.step)


def test_what_fails_in_every_pass_ends_the_program_too():
    # As when upkeep.py, which restarts the board, finds no memory.
    def starved(what):
        raise MemoryError

    bench = Bench()
    bench.run(5)
    bench.app.counted_s = 1
    bench.app.upkeep = starved
    bench.run(500)
    bench.app.upkeep = bench.upkeep
    bench.run(20)
    bench.app.upkeep = starved
    bench.app.fault = True
    begun_s, error = bench.clock.s, None
    try:
        bench.run(2000)
    except MemoryError as e:
        error = e
    assert error and 600 <= bench.clock.s - begun_s <= 620, bench.clock.s - begun_s
    harness.equal(bench.app.fault, False)  # readings had no part in it


def test_a_message_that_nobody_expected_is_dropped():
    bench = Bench()
    made = bench.app
    made.commands, made.prefix, made.shadow.junk = b"c", b"s/", 0
    made.shadow.lost = lambda: None
    made.runner = Counts()
    made.session.transport = Counts()
    made.session.transport.op = 0x32
    made.runner.receive = fault
    made.on_message(b"c", b"{}")  # it would come again in every session
    harness.equal(made.shadow.junk, 1)


def restarts(bench, seconds):
    # When the board restarts itself; None when it does not.
    found = []
    sound, upkeep.restart = upkeep.restart, lambda *_: found.append(bench.clock.s)
    try:
        for _ in range(seconds):
            bench.run(1)
            if found:
                return found[0]
    finally:
        upkeep.restart = sound


def test_a_bug_in_every_session_does_not_hide_for_ever():
    # Each session ends before AWS has acknowledged anything.
    bench = Bench()
    bench.app.settings.values["offline_reboot_s"] = 300
    bench.run(5)
    bench.app.on_ack(-1)
    plant(bench, "shadow")
    at_s = restarts(bench, 500)
    assert at_s and 300 <= at_s <= 320, at_s


def test_sessions_that_get_through_are_no_outage():
    bench = Bench()
    bench.app.settings.values["offline_reboot_s"] = 300
    for _ in range(20):
        bench.run(5)
        bench.app.on_ack(-1)
        harness.equal(restarts(bench, 250), None)  # nothing to be acknowledged for a while
        bench.link_bench.break_up("closed")
        harness.equal(restarts(bench, 60), None)
