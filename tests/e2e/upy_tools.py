# What the programs that MicroPython runs against server.py share: upy_session.py and
# tests/soak/upy_soak.py.

import json
import time


class Clock:
    # Ticks that pass `speed` times as fast as the broker's.
    def __init__(self, speed):
        self._start = time.ticks_ms()
        self._speed = speed
        self.s = self.ask_s = 0
        self.offset = self.source = None

    def now(self):
        return time.ticks_diff(time.ticks_ms(), self._start) * self._speed

    def diff(self, a, b):
        return a - b

    def step(self):
        self.s = self.now() // 1000


def say(event, **what):
    # One line of JSON for the parent.
    what["event"] = event
    print(json.dumps(what))
