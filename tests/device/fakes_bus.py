# The I2C bus of firmware/board.py with the chip models of tools/sim/chips on it (every bus error
# is a SensorError), and their clock. Small: the models leave little of a 36 KB heap.

from firmware.core.errors import SensorError

_MASK = (1 << 30) - 1


class Clock:
    # As in fakes.py, ticks from just below the wrap; in small ints only, because an idle step()
    # is tested not to allocate.
    def __init__(self):
        self.total = 0  # milliseconds passed, without a wrap
        self._ticks = _MASK - 5

    def now(self):
        return self._ticks

    def diff(self, a, b):
        d = (a - b) & _MASK
        return d if d < 1 << 29 else d - (1 << 29) - (1 << 29)

    def pass_ms(self, ms):
        self.total += ms
        self._ticks = (self._ticks + ms) & _MASK


class ChipBus:
    # Set plugged to False and nothing answers; stuck > 0 holds SDA low for that many
    # recover() calls; after `die_after` more transfers the chip is pulled out.
    def __init__(self, *chips):
        self.chips = dict(chips)
        self.plugged = True
        self.stuck = 0
        self.recovered = 0
        self.transfers = 0
        self.die_after = None

    def scan(self):
        if self.stuck:
            return []
        return sorted(self.chips) if self.plugged else []

    def writeto(self, addr, buf):
        self._transfer(addr, lambda chip: chip.write(bytes(buf)))

    def readfrom_into(self, addr, buf):
        self._transfer(addr, lambda chip: chip.read_into(buf))

    def writeto_mem(self, addr, reg, buf):
        self._transfer(addr, lambda chip: chip.write(bytes((reg,)) + bytes(buf)))

    def readfrom_mem_into(self, addr, reg, buf):
        self._transfer(addr, lambda chip: (chip.write(bytes((reg,))), chip.read_into(buf)))

    def recover(self):
        self.recovered += 1
        self.stuck = max(self.stuck - 1, 0)
        return not self.stuck

    def _transfer(self, addr, call):
        self.transfers += 1
        if self.die_after is not None:
            self.plugged = self.plugged and self.die_after > 0
            self.die_after -= 1
        if self.stuck or not self.plugged or addr not in self.chips:
            raise SensorError("bus: errno 19")
        try:
            call(self.chips[addr])
        except OSError as e:
            raise SensorError("bus: errno {}".format(e.args[0]))
