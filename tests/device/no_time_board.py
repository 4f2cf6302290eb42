# A board that is switched on now and then, and learns the time or does not: outbox, settings and
# sampler on flash, with what the loop does of it.

import os

import firmware.outbox_files  # noqa: F401 - first: compiling it needs the largest hole
from fakes import Clock
from firmware import files, upkeep
from firmware.core.telemetry import time_of
from firmware.outbox import Outbox
from firmware.sampler import Sampler
from firmware.settings import Settings

BUILT = upkeep.version.BUILD_S2000


class Chip:
    # A driver; each reading is the number of those before it.
    MEASURE_MS = LEAST_S = 1
    FROZEN = 0

    def __init__(self, board):
        self.board, self.values = board, [0]

    def start(self):
        pass

    def finish(self):
        taken = self.board.taken
        self.values[0] = len(taken)
        taken.append(self.board.on + self.board.clock.s)


class Board:
    # One life. on: s2000 at power-on. taken: when each reading of all lives was taken.
    safe, counted_s, alarmed, trial, job = False, 0, 0, False, None
    job_s = 0
    last_reason = None

    def __init__(self, on, taken, known=False, limit_bytes=8192):
        self.on, self.taken = on, taken
        self.clock, self.lines = Clock(), []
        values = {"interval_s": 10, "log_level": "info"}
        self.settings = Settings(values, *(files.load_settings() or ({}, {})), None)
        self.settings.log = self.lines.append
        self.saved = self.settings.saved
        self.outbox = Outbox("data/outbox", limit_bytes, self.lines.append)
        args = self.outbox, self.upkeep, self.lines.append
        self.settings.values["sensor"] = self.settings.values["i2c"] = None
        self.sampler = Sampler(self.settings.values, self.clock, *args)
        self.sampler.sensor, self.sampler.probes[0].driver = "chip", Chip(self)
        self.sampler.extra = False
        if known:
            self.know()

    def upkeep(self, what):
        getattr(upkeep, what)(self)

    def unload(self):
        pass

    def know(self, run_s=0):
        # As net/clock.py; the next pass of the loop does the rest.
        self.clock.offset = self.on
        self.settings.note("clock", self.on + self.clock.s)
        self.run(run_s)

    def run(self, seconds):
        # So many readings, one every ten seconds.
        for _ in range(seconds):
            for _ in range(2):
                offset = self.clock.offset
                if offset is not None and abs((self.sampler.started or 0) - offset) > 2:
                    self.upkeep("start")
                self.sampler.step()
                self.clock.pass_ms(500)
        return self

    def starts(self):
        return self.settings.state.get("start")

    def waiting(self):
        # (seq, number, s2000 or below zero an estimate) of each reading that can be read.
        found = []
        for seq in range(self.outbox.low, self.outbox.next):
            frame = self.outbox.get(seq)
            if frame:
                at = self.outbox.at
                found.append((seq, frame[at + 9], time_of(frame, at, self.starts())))
        return found

    def send(self, most=1000):
        while most and self.outbox.next_unsent():
            self.outbox.ack(self.outbox.read - 1)
            most -= 1


def remove(folder):
    for name in os.listdir(folder):
        os.remove(folder + "/" + name)
