# heap: 144wk
# firmware/app.py with startup.py: what a restart remembers of the subscriptions that AWS holds,
# and what is in memory beside a reading that is about to be sent.

import sys

import fakes_machine  # noqa: F401  for board.py
import firmware
import harness
from fakes import Clock
from fakes_net import Bench, publish
from firmware import config, loading, net, startup
from firmware.app import App

CONFIG = {
    "thing_name": "t-1",
    "endpoint": "h",
    "port": 8883,
    "keepalive_s": 60,
    "window": 8,
    "window_max": 24,
    "message_bytes": 1024,
    "telemetry_topic": "devices/{thing}/data",
}


class Settings:
    def __init__(self, state):
        self.state = state

    def note(self, key, value):
        self.state[key] = value


def renew():
    # The modules that lose what only a start needs.
    for name in ("session", "connection"):
        sys.modules.pop("firmware.net." + name, None)
        if hasattr(net, name):
            delattr(net, name)


def boot(state, topic="devices/{thing}/commands", jobs=None):
    renew()
    app = App()
    app.clock, app.settings = Clock(), Settings(state)
    given = dict(CONFIG)
    given["command_topic"], given["updates"] = topic, jobs
    startup._session(app, given, None)
    return app


def test_without_the_files_of_a_battery_board_it_runs_as_on_mains():
    lines, path, kept_log = [], firmware.__path__, config.chip.log
    config.chip.log = lines.append
    for where, count in ((path, 0), ("/nowhere", 1)):
        given, problems = {"power": "battery"}, ["another"]
        firmware.__path__ = where
        config.check_battery(given, problems)
        sys.modules.pop("firmware.rtc_file", None)
        if hasattr(firmware, "rtc_file"):
            del firmware.rtc_file
        harness.equal((len(lines), len(problems)), (count, 1 + count))
        harness.equal(given.get("power"), None if count else "battery")
    firmware.__path__, config.chip.log = path, kept_log
    assert lines[0].startswith(problems[1]) and "make deploy" in lines[0]


def test_known_only_after_suback():
    # Had the power gone before, the next start would trust a session without subscriptions.
    for state in ({}, {"filters": "other"}, {"filters": ["a", "b"]}):  # a list: as 0.1.0 left it
        before = dict(state)
        app = boot(state)
        harness.equal((app.session.doubt, state), (True, before))
        app.outbox, app.runner = None, None
        for tag in (-1, -2):
            app.on_ack(tag)
            harness.equal(state, before)
        app.on_ack(0)
        harness.equal(state, {"filters": "devices/t-1/commands"})
        harness.equal(boot(state).session.doubt, False)


def test_jobs_are_subscribed_to_where_the_policy_has_them():
    # And again where a session is from before they were.
    state = {"filters": "devices/t-1/commands"}
    app = boot(state, jobs=True)
    harness.equal((app.session.doubt, len(app.session.filters())), (True, 8))
    own = ["$aws/things/t-1/jobs/notify-next", "$aws/things/t-1/streams/+/data/json"]
    harness.equal(app.session.filters()[6:], own)
    app.outbox = app.runner = None
    app.on_ack(0)
    harness.equal(boot(state, jobs=True).session.doubt, False)
    harness.equal(boot(state).session.doubt, True)


def test_another_topic_than_last_time():
    state = {"filters": "devices/t-1/commands"}
    harness.equal(boot(state, "a/{thing}").session.doubt, True)
    app = boot(state)
    harness.equal(app.session.doubt, False)
    wanted = ["devices/t-1/commands", "$aws/things/t-1/shadow/get/accepted"]
    harness.equal(app.session.filters()[:2], wanted)


PARTS = "firmware.core.text", "firmware.outbox_files"


class Outbox:
    # As one with a page of older readings to be read; it has none.
    def get(self, seq):
        self.beside = [name for name in PARTS if name in sys.modules]


def test_only_what_reads_old_readings():
    # Whatever was loaded for the message before: one above the limit reaches no callback.
    renew()
    bench = Bench(limit_bytes=300).up()
    app = App()
    app.unload, app.outbox, app.settings = loading.unload, Outbox(), Settings({})
    bench.session.encode = app.encode
    for name in PARTS:
        sys.modules.pop(name, None)
    loading.keep()
    from firmware import outbox_files  # noqa: F401

    bench.push(publish(b"t", bytes(900), 7))
    bench.send(1)
    harness.equal((bench.session.oversized, bench.acked), (1, [1]))
    harness.equal(app.outbox.beside, ["firmware.outbox_files"])


class Order:
    # A runner of commands, or the traffic with the shadow; notes who had his turn.
    def __init__(self, name, turns, fails=False):
        self.name, self.turns, self.fails = name, turns, fails
        self.message = self.due = False

    def step(self, up=None):
        self.turns.append(self.name)
        if self.fails:
            raise MemoryError
        self.message = False
        return True

    def lost(self):
        self.turns.append("lost")

    def release(self):
        self.turns.append("release")


def test_what_the_shadow_said_before_a_command_comes_first():
    # A delta and a command in one burst: the command is the newer one, and must stand.
    turns, app = [], App()
    app.runner, app.shadow = Order("command", turns), Order("shadow", turns)
    app.shadow.message = True
    app._answer(True)
    app._answer(True)
    harness.equal(turns, ["shadow", "command", "shadow"])
    app.shadow.message = True  # no session: the next one asks anew, and the command is at work
    app._answer(False)
    harness.equal(turns[3:], ["command"])


def test_without_memory_for_an_answer_a_reading_that_is_due_is_finished():
    for due in (False, True):
        turns, app = [], App()
        app.runner, app.shadow = None, Order("shadow", turns, True)
        app.sampler = Order("sampler", turns)
        app.sampler.due = due
        app._answer(True)
        harness.equal(turns, ["shadow"] + ["release"] * (not due) + ["lost"])
