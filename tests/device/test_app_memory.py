# heap: 128wk
# What is in memory beside a reading that is about to be sent (firmware/app.py).

import sys

import fakes_machine  # noqa: F401  for board.py
import harness
from fakes import Clock
from fakes_net import Bench, publish
from firmware import loading
from firmware.app import App

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


harness.run(globals())
