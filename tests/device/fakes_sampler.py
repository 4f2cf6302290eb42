# A sampler with an SHT3x on its bus: what the sampler tests share.

import sys

import firmware
import harness
from fakes_bus import Clock
from firmware import loading, sampler
from firmware.core.errors import SensorError


class Board:
    # In place of firmware/board.py: the pins of the bench made last.
    def i2c(self, settings, failures):
        return self.bench.i2c(settings, failures)


BOARD = sys.modules["firmware.board"] = firmware.board = Board()
loading.keep()

COOL = b"\x60\x8c\xd3\x73\x33\x01"  # 21.00 C, 45.00 %RH
WARM = b"\x6d\xb6\x8d\x73\x33\x01"  # 30.00 C, 45.00 %RH
S2000 = 848_000_000  # November 2026


class Bus:
    # An I2C object with as much of an SHT3x at 0x44 as its driver looks at (the model in
    # tools/sim/chips would not fit beside the sampler). Set plugged, damaged, and stuck: for how
    # many rounds of nine clocks SDA stays low.
    def __init__(self, clock):
        self.clock = clock
        self.plugged = True
        self.damaged = False
        self.stuck = 0
        self.recovered = 0
        self.reading = COOL
        self._done = None  # when the measurement is over; None: no measurement
        self._status = False  # the last command asked for the status

    def scan(self):
        return [0x44] if self.plugged and not self.stuck else []

    def writeto(self, addr, buf):
        self._answered(addr)
        self._status = buf == b"\xf3\x2d"
        if buf == b"\x24\x00":
            self._done = self.clock.total + 16

    def readfrom_into(self, addr, buf):
        self._answered(addr)
        if not self._status:
            if self._done is None or self.clock.total < self._done:
                raise OSError(19)
            self._done = None
        answer = b"\x00\x00\x81" if self._status else self.reading
        for i in range(len(buf)):
            buf[i] = answer[i] if i < len(answer) else 0xFF
        buf[-1] ^= self.damaged

    def recover(self):
        self.recovered += 1
        self.stuck = max(self.stuck - 1, 0)
        return not self.stuck

    def _answered(self, addr):
        if self.stuck or not self.plugged or addr != 0x44:
            self._done = None
            raise OSError(19)


class Kept:
    # As much of the App as alarms.keep() looks at.
    def __init__(self):
        self.settings, self.state = self, {}

    def note(self, key, value):
        self.state[key] = value


class Bench:
    # full: put() fails as on a full file system; note_fails: upkeep.start() alone.
    def __init__(self, interval_s=60, offset=S2000):
        loading.unload()  # a driver that the test before has left
        self.clock = Clock()
        self.clock.offset = offset
        self.bus = Bus(self.clock)
        self.full = self.note_fails = False
        self.kept = Kept()
        self.dropped = 0  # as of the outbox, which the bench is for its sampler
        self.starts = []  # the time, or None, at each upkeep.start()
        self.opened = 0
        self.out = []  # (seconds since the start, cdeg, cpct, pa)
        self.undated = 0  # of them, with the uptime in place of the time
        self.log = []
        self.settings = {"interval_s": interval_s, "sensor": "auto", "i2c": {"sda": 4, "scl": 5}}
        self.settings["log_level"] = "info"
        self.sampler = sampler.Sampler(self.settings, self.clock, self, self.note, self.log.append)
        BOARD.bench = self

    def i2c(self, settings, failures):
        harness.equal(settings, self.settings["i2c"])
        if failures and not self.bus.recover():
            raise SensorError("bus: SDA held low")
        self.opened += 1
        return self.bus

    def note(self, what):
        if what == "alarms":
            if self.note_fails:
                raise MemoryError
            from firmware import alarms

            self.kept.sampler = self.sampler
            return alarms.keep(self.kept)
        harness.equal(what, "start")
        if self.full or self.note_fails:
            raise OSError(28)
        self.starts.append(self.clock.offset)
        self.sampler.started = self.clock.offset or 0

    def put(self, record, size):
        if self.full:
            raise OSError(28)
        numbers = []
        at = 0
        for width in (4, 3, 2, 3):
            number = int.from_bytes(bytes(record[at : at + width]), "little")
            there = at < size and (width == 4 or number + 1 < 1 << 8 * width)
            numbers.append(number if there else None)
            at += width
        assert size <= at
        since = numbers[0] - S2000 if numbers[0] >> 29 else numbers[0]
        self.undated += not numbers[0] >> 29
        self.out.append((since,) + tuple(numbers[1:]))

    def run(self, ms, step_ms=5):
        while ms > 0:
            self.step()
            self.clock.pass_ms(min(step_ms, ms))
            ms -= step_ms
        self.step()

    def step(self):
        # As in the loop of the app: what was loaded to search leaves again.
        self.sampler.step()
        loading.unload()

    def change(self, interval_s):
        self.settings["interval_s"] = interval_s

    def times(self):
        return [reading[0] for reading in self.out]
