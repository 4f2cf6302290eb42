# A sampler with an SHT3x on its bus: what the sampler tests share.

from tools.sim.chips.sht3x import SHT3x  # isort: skip  (largest first: needs room)
from firmware import sampler  # isort: skip
import firmware.drivers.sht3x  # isort: skip  # noqa: F401  (find() would load it, later)

from fakes_bus import ChipBus, Clock


class Bench:
    def __init__(self, interval_s=60):
        self.clock = Clock()
        self.chip = SHT3x(self.clock)
        self.chip.skip_ms(10)
        self.bus = ChipBus((0x44, self.chip))
        self.out = []  # (second, cdeg, cpct, pa)
        self.log = []
        self.sampler = sampler.Sampler(
            self.bus, "auto", interval_s, self.clock, self, self.put, self.log.append
        )

    def now_s(self):
        return self.clock.total // 1000

    def put(self, s2000, cdeg, cpct, pa):
        self.out.append((s2000, cdeg, cpct, pa))

    def run(self, ms, step_ms=5):
        while ms > 0:
            self.sampler.step()
            self.clock.pass_ms(min(step_ms, ms))
            ms -= step_ms
        self.sampler.step()

    def times(self):
        return [reading[0] for reading in self.out]
