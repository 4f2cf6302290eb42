# Scenes of the chips (tools/sim/scene.py), and curves of the air from a file (tools/sim/curve.py).
# All is made before the firmware starts, and playing it takes no memory.

import _sim

_events = _sim.get("scene", ())  # in order: [kind, from, until, address]; ms since power-on
_sda = tuple([event for event in _events if event[0] == "sda"])
_start_ms = int(_sim.get("boot_t_s", 0) * 1000)  # of this process
_ABOVE = 1 << 29


def now_ms():
    return _sim.uptime_ms() + _start_ms


def sda_low():
    for event in _sda:
        if event[1] <= now_ms() < event[2]:
            return True
    return False


class Part:
    # What a chip has in the scene.
    def __init__(self, address):
        here = [e for e in _events if e[0] != "sda" and e[3] in (None, address)]
        self._events = tuple(here)
        self._turns = 0  # how often it has been unplugged and plugged in

    def play(self, chip, fault):
        # Before each transfer. fault: what is wrong with all chips.
        if not self._events:
            chip.fault = fault
            return
        now = now_ms()
        gone = frozen = False
        turns = since = 0
        for event in self._events:
            kind, start = event[0], event[1]
            if start > now:
                break
            if kind == "unplug" or kind == "plug":
                gone = kind == "unplug"
                turns, since = turns + 1, start
            elif now < event[2]:
                if kind == "freeze":
                    frozen = True
                else:
                    fault = kind
        if turns != self._turns and not gone:
            chip.power_on()
            chip.skip_ms(now - since)
        self._turns = turns
        chip.environment.frozen = frozen
        chip.fault = "nack" if gone else fault


class Curve:
    # Rows of two words: milliseconds since power-on, and thousandths plus _ABOVE.
    def __init__(self, path):
        self._rows = _sim.mapped(path)
        self._last = len(self._rows) // 8 - 1

    def _word(self, at):
        rows = self._rows
        return rows[at] | rows[at + 1] << 8 | rows[at + 2] << 16 | rows[at + 3] << 24

    def now(self):
        ms = now_ms()
        low, high = 0, self._last
        while low < high:  # the last row that is not later
            middle = (low + high + 1) // 2
            if self._word(8 * middle) <= ms:
                low = middle
            else:
                high = middle - 1
        at = 8 * low
        since, value = ms - self._word(at), self._word(at + 4)
        if low < self._last and since > 0:
            span = self._word(at + 8) - self._word(at)
            value += (self._word(at + 12) - value) * since / span
        return (value - _ABOVE) / 1000
