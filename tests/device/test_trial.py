# heap: 128wk
# updates/trial.py: what counts as refused, and what is good.

import os
import sys

import fakes_machine  # noqa: F401
import harness
from firmware import files
from firmware.updates import slots, trial
from flash import Flash, mounted

FLASH = mounted(Flash(16))


class Clock:
    s, offset = 0, None


class Link:
    up, since_s = False, 0


class Shadow:
    seen, pending, get_due = -1, None, True


class App:
    def __init__(self, slot="ab aa 2"):
        self.clock, self.connection, self.shadow = Clock(), Link(), Shadow()
        self.joining, self.trial, self.job, self.restarts = "joining", 1, None, 0
        files.replace("slot", slot)

    def upkeep(self, what):
        harness.equal(what, "update")
        self.restarts += 1

    def wait(self, seconds):
        # As upkeep.check() does it; how long until it went back, None: it did not.
        for s in range(0, seconds, 2):
            self.clock.s += 2
            trial.check(self)
            if self.restarts:
                return s + 2

    def joined(self, offset=1):
        self.joining, self.clock.offset = None, offset

    def session(self, seconds):
        link = self.connection
        link.up, link.since_s = True, self.clock.s
        done = self.wait(seconds)
        link.up, link.since_s = False, self.clock.s
        return done


def test_a_quarter_of_an_hour_in_which_it_could_have_come():
    app = App()
    harness.equal(app.wait(2_000), None)  # no network
    app.joined(None)
    harness.equal(app.wait(2_000), None)  # no time, without which there is no TLS
    app.clock.offset = 1
    harness.equal(app.wait(600), None)
    app.joining = "joining"
    harness.equal(app.wait(2_000), None)
    app.joining = None
    done = app.wait(1_000)
    harness.equal(290 <= done <= 310, True)
    harness.equal(files.read("slot", 32), b"aa ab refused")


def test_the_first_look_after_a_long_time_without_network_is_not_the_end():
    app = App()
    app.clock.s = 5_000  # a start that took as long
    app.joined()
    harness.equal(app.wait(890), None)
    harness.equal(app.wait(20) is None, False)


def test_sessions_that_are_ended_at_once_are_none():
    app = App()
    app.joined()
    for _ in range(200):
        if app.wait(30) or app.session(10):
            break
    harness.equal(1_100 < app.clock.s < 1_300, True)
    harness.equal(slots.read(), ("aa", "ab", "refused"))


def test_one_that_lasts_ends_the_count():
    app = App()
    app.joined()
    for _ in range(20):
        harness.equal(app.wait(600) or app.session(100), None)
    harness.equal(app.session(100_000), None)  # nothing to send for a day: boot.py ends that
    harness.equal(files.read("slot", 32), b"ab aa 2")


def test_a_firmware_is_not_refused():
    app = App("ba aa 2")
    slots.running, kept = lambda: "b", slots.running
    app.joined()
    try:
        harness.equal(app.wait(5_000), None)
    finally:
        slots.running = kept


def test_what_boot_could_not_count_does_not_run():
    app = App("ba aa 2")
    harness.equal(app.wait(890), None)  # readings go on
    harness.equal(app.wait(20) is not None, True)


def test_good():
    app = App()
    app.joined()
    app.trial = 2
    harness.equal(app.session(100), None)
    app.shadow.seen, app.shadow.get_due = 7, False
    harness.equal((app.session(2), app.trial), (None, False))
    harness.equal(files.read("slot", 32), b"ab")


def test_it_says_why_and_what_has_crashed():
    files.replace("data/import.log", "no module")
    found = trial.failed("refused")
    harness.equal(found["reason"][:9], "gone back")
    harness.equal(found["crash"], b"no module")  # resumed.finish() makes it plain text
    harness.equal("import.log" in os.listdir("data"), False)


def test_a_slot_that_cannot_be_written_costs_no_session():
    # Neither when it is good nor when it goes back; a minute later it is tried again.
    def full(*args):
        tried.append(app.clock.s)
        raise OSError(28)

    good, back, tried = slots.good, slots.back, []
    slots.good = slots.back = full
    try:
        for letters in ("ba aa 2", "ab aa 2"):
            app, tried[:] = App(letters), ()
            app.joined()
            if letters == "ab aa 2":
                app.wait(1_000)
            else:
                app.trial, app.shadow.seen, app.shadow.get_due = 2, 0, False
                sys.path.insert(0, "b")
                app.wait(10)
                del sys.path[0]
            harness.equal((app.restarts, app.trial), (0, 2 if letters == "ba aa 2" else 1))
            harness.equal((tried != [], app.check_s), (True, tried[-1] + 60))
    finally:
        slots.good, slots.back = good, back


harness.run(globals())
