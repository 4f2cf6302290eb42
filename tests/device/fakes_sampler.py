# A sampler with an SHT3x on its bus, a clock and a wall clock: what the sampler tests share.

from firmware import sampler  # isort: skip  (the largest first: its compiler needs room)
from tools.sim.chips.sht3x import SHT3x  # isort: skip

from fakes import Clock, Log
from fakes_bus import ChipBus

from firmware.core.errors import StoreError

S2000 = 848_000_000  # November 2026


class Wall:
    # The time of day, once known.
    def __init__(self, clock):
        self.clock = clock
        self.zero = None  # s2000 when the test's clock says 0

    def know(self):
        self.zero = S2000 - self.clock.total // 1000

    def now_s(self):
        return None if self.zero is None else self.zero + self.clock.total // 1000


class CountingClock(Clock):
    total = 0  # milliseconds passed, without a wrap

    def diff(self, a, b):
        # Like the board's, in small ints only: an idle step() is tested not to allocate.
        d = (a - b) & (1 << 30) - 1
        return d if d < 1 << 29 else d - (1 << 29) - (1 << 29)

    def pass_ms(self, ms):
        super().pass_ms(ms)
        self.total += ms


class Bench:
    def __init__(self, interval_s=60, known=True, wanted="auto"):
        self.clock = CountingClock()
        self.chip = SHT3x(self.clock)
        self.clock.pass_ms(10)
        self.bus = ChipBus((0x44, self.chip))
        self.wall = Wall(self.clock)
        if known:
            self.wall.know()
        self.out = []
        self.full = False
        self.log = Log()
        self.sampler = sampler.Sampler(
            self.bus, wanted, interval_s, self.clock, self.wall, self.put, self.log
        )

    def put(self, s2000, cdeg, cpct, pa):
        if self.full:
            raise StoreError("full")
        self.out.append((s2000 - S2000, cdeg, cpct, pa))

    def run(self, ms, step_ms=5):
        while ms > 0:
            self.sampler.step()
            self.clock.pass_ms(min(step_ms, ms))
            ms -= step_ms
        self.sampler.step()

    def times(self):
        return [reading[0] for reading in self.out]
