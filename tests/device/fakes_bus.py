# An I2C object as the machine module has it, with the chip models of tools/sim/chips on it, and
# their clock. Small: the models leave little of a 36 KB heap.

_MASK = (1 << 30) - 1


class Clock:
    # As in fakes.py, ticks from just below the wrap; in small ints only, because a step() with
    # nothing due is tested not to allocate.
    def __init__(self):
        self.total = 0  # milliseconds passed, without a wrap
        self.s = 0
        self.offset = None  # s2000 at the start, once a time is believed
        self._ticks = _MASK - 5

    def now(self):
        return self._ticks

    def diff(self, a, b):
        d = (a - b) & _MASK
        return d if d < 1 << 29 else d - (1 << 29) - (1 << 29)

    def left_ms(self, s):
        return max(0, s * 1000 - self.total)

    def pass_ms(self, ms):
        self.total += ms
        self.s = self.total // 1000
        self._ticks = (self._ticks + ms) & _MASK


class ChipBus:
    # Set plugged to False and nothing answers.
    def __init__(self, *chips):
        self.chips = dict(chips)
        self.plugged = True

    def scan(self):
        return sorted(self.chips) if self.plugged else []

    def writeto(self, addr, buf):
        self._at(addr).write(bytes(buf))

    def readfrom_into(self, addr, buf):
        self._at(addr).read_into(buf)

    def writeto_mem(self, addr, reg, buf):
        self._at(addr).write(bytes((reg,)) + bytes(buf))

    def readfrom_mem_into(self, addr, reg, buf):
        self._at(addr).write(bytes((reg,)))
        self.chips[addr].read_into(buf)

    def _at(self, addr):
        if not self.plugged or addr not in self.chips:
            raise OSError(19)
        return self.chips[addr]
