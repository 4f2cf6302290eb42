# I2C buses for the driver tests, with the face of firmware/board.py's Bus: every bus error is a
# SensorError. ChipBus carries the chip models of tools/sim/chips; Registers only remembers.

from firmware.core.errors import SensorError


class ChipBus:
    # Set plugged to False and nothing answers; stuck_clocks > 0 holds SDA low for that many
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


class Registers:
    # One chip of 256 registers that never changes by itself and never allocates.
    def __init__(self, image=b"", base=0):
        self.regs = bytearray(256)
        self.regs[base : base + len(image)] = image
        self.plain = b""  # what a read without register address gives

    def scan(self):
        return [0x76]

    def writeto(self, addr, buf):
        pass

    def readfrom_into(self, addr, buf):
        for i in range(len(buf)):
            buf[i] = self.plain[i]

    def writeto_mem(self, addr, reg, buf):
        self.regs[reg] = buf[0]

    def readfrom_mem_into(self, addr, reg, buf):
        for i in range(len(buf)):
            buf[i] = self.regs[reg + i]
