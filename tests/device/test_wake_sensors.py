# heap: 152wk
# One reading at a wake, with the real sampler: what a sensor that is missing costs, and how it is
# found again.

import fakes_machine  # noqa: F401  for wake.py
import harness
from fakes_sampler import BOARD
from test_sampling import Chip, bench, payloads

BOARD.EPOCH = 0

from firmware import wake  # noqa: E402

ALL = ("bme280", "sht3x")


class Wakes:
    # A board with these sensors in its settings; one wake after the other.
    def __init__(self, *names, sensor=None):
        self.chips = {name: Chip(name, [2100 + len(name)]) for name in names}
        self.names, self.sensor = names, sensor
        self.state = {"extra": None, "found": (), "last": (), "error": None}

    def wake(self, *there):
        # How long it is awake, in ms, and what it has stored.
        b = bench(*[self.chips[name] for name in self.names])
        if self.sensor:
            b.settings["sensor"] = self.sensor
            b.sampler.apply("sensor")
        b.found.chips = {name: self.chips[name] for name in there}
        b.sampler.note, b.clock.step = (lambda what: None), (lambda: None)
        b.sampler.started = b.clock.offset
        self.state["extra"] = None
        wake.restore(b.sampler, self.state)
        began = b.clock.total

        def sleep_ms(ms):
            b.clock.pass_ms(max(ms, 1))
            found(b)

        wake.chip.sleep_ms = sleep_ms
        found(b)
        wake.measure(b.sampler)
        wake.keep(b.sampler, self.state)
        self.asked = b.found.asked
        return b.clock.total - began, payloads(b)


def found(b):
    __import__("firmware.drivers", None, None, ("find",)).find = b.found.find


def test_what_is_missing_is_looked_for_once_at_a_wake():
    wakes = Wakes(*ALL)
    ms, (both,) = wakes.wake(*ALL)
    harness.equal((ms < 50, sorted(both["sensors"])), (True, ["bme", "sht"]))
    for _ in range(2):
        for there, name in (("bme280", "bme"), ("sht3x", "sht")):
            wakes.wake(*ALL)
            ms, (one,) = wakes.wake(there)
            harness.equal((1900 < ms < 2200, list(one["sensors"])), (True, [name]))
            for _ in range(3):
                ms, (one,) = wakes.wake(there)
                harness.equal((ms < 50, list(one["sensors"])), (True, [name]))
                harness.equal(len(wakes.asked), 2)
    ms, (both,) = wakes.wake(*ALL)  # it is back
    harness.equal((ms < 50, sorted(both["sensors"])), (True, ["bme", "sht"]))
    harness.equal([row[2] for row in wakes.state["last"]], [None, None])


def test_with_nothing_there_it_does_not_wait():
    for names in (("sht3x",), ALL):
        wakes = Wakes(*names)
        wakes.wake(*names)
        ms, made = wakes.wake()
        harness.equal((ms < 2100 * len(names), made), (True, []))
        for _ in range(3):
            ms, made = wakes.wake()
            harness.equal((ms < 50, made, len(wakes.asked)), (True, [], len(names)))
        ms, made = wakes.wake(names[-1])  # only the last one is back
        harness.equal((ms < 50, len(made)), (True, 1))


def test_auto_without_any_sensor_does_not_wait_either():
    wakes = Wakes("sht3x", sensor="auto")
    wakes.state.update(found=[None], last=[(0, 0, "no known sensor found", 3)])
    for _ in range(3):
        ms, made = wakes.wake()
        harness.equal((ms < 50, made, wakes.asked), (True, [], ["auto"]))
