# heap: 128wk
# What is in memory beside a reading that is about to be sent; and the driver's memory, which goes
# to what has too little (firmware/app.py).

import sys

import fakes_machine  # noqa: F401  for board.py
import harness
from fakes import Clock
from fakes_net import Bench, publish
from firmware import loading
from firmware.app import App
from firmware.core import shadow

PARTS = "firmware.core.text", "firmware.outbox_files"


class Settings:
    state = {}


class Outbox:
    # As one with a page of older readings to be read; it has none.
    def get(self, seq):
        self.beside = [name for name in PARTS if name in sys.modules]


def test_only_what_reads_old_readings():
    # Whatever was loaded for the message before: one above the limit reaches no callback.
    bench = Bench(Clock(), limit_bytes=300).up()
    app = App()
    app.unload, app.outbox, app.settings = loading.unload, Outbox(), Settings()
    bench.session.encode = app.encode
    for name in PARTS:
        sys.modules.pop(name, None)
    loading.keep()
    from firmware import outbox_files  # noqa: F401

    bench.push(publish(b"t", bytes(900), 7))
    bench.publish(1)
    bench.session.step()
    harness.equal((bench.session.oversized, bench.acked), (1, [1]))
    harness.equal(app.outbox.beside, ["firmware.outbox_files"])


class Sampler:
    driver = 1

    def release(self):
        self.driver = None


class Shadow:
    # Whose documents, and messages, need more memory than there is beside a driver; or more.
    out, junk, losses, tried = True, 0, 0, 0

    def __init__(self, app, more):
        self.app, self.more = app, more

    def step(self):
        self.tried += 1
        if self.app.sampler.driver or self.more:
            raise MemoryError
        return False

    def lost(self):
        self.losses += 1


def short_of_memory(more):
    app = App()
    app.unload, app.runner, app.sampler = (lambda: None), None, Sampler()
    app.commands, app.prefix = b"c", b"$aws/"
    app.shadow = Shadow(app, more)
    return app


def test_a_message_gets_the_memory_of_the_driver():
    sound, heard = shadow.receive, []

    def receive(s, kind, payload):
        s.step()
        heard.append(kind)

    shadow.receive = receive
    try:
        for more in (False, True):
            del heard[:]
            app = short_of_memory(more)
            app.on_message(b"$aws/get/accepted", b"{}")
            harness.equal(heard, [] if more else [b"get/accepted"])
            harness.equal((app.shadow.tried, app.shadow.losses), (2, more))
            # With no driver there is nothing to be gained.
            app.shadow.more, app.shadow.losses, app.shadow.tried = True, 0, 0
            app.on_message(b"$aws/get/accepted", b"{}")
            harness.equal((app.shadow.tried, app.shadow.losses), (1, 1))
    finally:
        shadow.receive = sound


def test_a_document_gets_the_memory_of_the_driver():
    app = short_of_memory(False)
    assert app._answer(True)  # at once again
    assert not app._answer(True)
    harness.equal((app.shadow.tried, app.shadow.losses), (2, 0))
    # What has not been made yet has to be asked for anew.
    app = short_of_memory(False)
    app.shadow.out = None
    app._answer(True)
    harness.equal(app.shadow.losses, 1)
    app = short_of_memory(True)
    app._answer(True)
    app._answer(True)
    harness.equal((app.shadow.tried, app.shadow.losses), (2, 1))


harness.run(globals())
