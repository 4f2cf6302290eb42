# heap: 128wk
# What a restart remembers of the subscriptions that AWS holds, in firmware/startup.py and app.py.

import sys

import fakes_machine  # noqa: F401  for board.py
import harness
from fakes import Clock
from firmware import startup
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


def boot(state, topic="devices/{thing}/commands"):
    for name in ("session", "connection"):  # they lose what only a start needs
        sys.modules.pop("firmware.net." + name, None)
    app = App()
    app.clock, app.settings = Clock(), Settings(state)
    config = dict(CONFIG)
    config["command_topic"] = topic
    startup._session(app, config, None)
    return app


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


def test_another_topic_than_last_time():
    state = {"filters": "devices/t-1/commands"}
    harness.equal(boot(state, "a/{thing}").session.doubt, True)
    app = boot(state)
    harness.equal(app.session.doubt, False)
    wanted = ["devices/t-1/commands", "$aws/things/t-1/shadow/get/accepted"]
    harness.equal(app.session.filters()[:2], wanted)


harness.run(globals())
