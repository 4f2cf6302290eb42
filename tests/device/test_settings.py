# heap: 44wk
# Settings: a change is checked, applied and saved, whole or not at all.

import os

import harness
from fakes import Log
from firmware import files
from firmware.core import schema
from firmware.settings import Settings
from flash import Flash

I2C = {"id": 0, "sda": 4, "scl": 5, "freq_hz": 100000}
FLASH = Flash(12)


def fresh():
    FLASH.fresh()


class Bench:
    # As after a restart: what is saved over the defaults.
    def __init__(self):
        saved, state = files.load_settings()
        self.saved = saved
        self.log = Log()
        self.values = dict(schema.DEFAULTS)
        self.values.update(saved)
        self.applied = []
        self.error = None  # of apply(), for a new value
        self.settings = Settings(self.values, saved, state, self.log)
        self.settings.apply = self._apply
        self.set, self.note = self.settings.set, self.settings.note

    def _apply(self, key):
        self.applied.append((key, self.values[key]))
        if self.error:
            error, self.error = self.error, None
            raise error


def test_nothing_there():
    fresh()
    harness.equal(files.load_settings(), ({}, {}))


def test_what_was_set_is_there_after_a_restart():
    fresh()
    bench = Bench()
    harness.equal(bench.set("interval_s", 30), None)
    harness.equal(bench.set("i2c", {"sda": 4, "scl": 5}), None)  # a part goes over the rest
    bench.note("trial", None)
    bench.note("seen", ["a1", "b2"])
    bench.note("local", {"x": 1})
    bench.note("local", None)
    harness.equal(files.load_settings(), ({"interval_s": 30, "i2c": I2C}, {"seen": ["a1", "b2"]}))
    harness.equal(bench.settings.state, {"seen": ["a1", "b2"]})
    bench = Bench()
    harness.equal((bench.values["interval_s"], bench.values["i2c"]), (30, I2C))
    harness.equal(bench.set("sensor", "sht3x@0x45"), None)
    bench.note("trial", None)
    wanted = {"interval_s": 30, "i2c": I2C, "sensor": "sht3x@0x45"}
    harness.equal(files.load_settings(), (wanted, {"seen": ["a1", "b2"]}))


def test_a_change_is_checked_then_applied_then_saved():
    fresh()
    bench = Bench()
    seen = []

    def apply(key):
        seen.append((key, bench.values[key], files.load_settings()[0]))

    bench.settings.apply = apply
    harness.equal(bench.set("interval_s", 30), None)
    harness.equal(seen, [("interval_s", 30, {})])
    harness.equal((bench.values["interval_s"], files.load_settings()[0]), (30, {"interval_s": 30}))


def test_what_is_wrong_changes_nothing():
    fresh()
    bench = Bench()
    before = dict(bench.values)
    for key, value, words in (
        ("interval_s", 0, "must be a whole number from 1 to 86400"),
        ("interval_s", True, "must be a whole number from 1 to 86400"),
        ("interval_s", "30", "must be a whole number from 1 to 86400"),
        ("sensor", "dht22", "must be "),
        ("i2c", {"sda": 4, "scl": 4}, "scl: must not be the pin of sda"),
        ("endpoint", "evil.example", "cannot be changed from the cloud"),
        ("intervals", 30, "unknown setting"),
    ):
        problem = bench.set(key, value)
        assert problem.startswith(words), problem
    harness.equal((bench.values, bench.applied, files.load_settings()), (before, [], ({}, {})))


def test_the_dictionary_in_force_is_one():
    fresh()
    bench = Bench()
    in_force = bench.settings.values
    bench.set("interval_s", 30)
    assert bench.settings.values is in_force
    harness.equal(in_force["interval_s"], 30)


def test_a_value_that_cannot_be_put_in_force():
    for error in (OSError(5), ValueError("no such pin"), MemoryError()):
        fresh()
        bench = Bench()
        bench.error = error
        problem = bench.set("interval_s", 30)
        harness.equal(problem, "not done: " + (str(error) or "no memory"))
        harness.equal(bench.applied, [("interval_s", 30), ("interval_s", 60)])  # and back
        harness.equal((bench.values["interval_s"], files.load_settings()), (60, ({}, {})))


def test_no_write_when_nothing_is_new():
    fresh()
    bench = Bench()
    bench.set("interval_s", 30)
    bench.note("seen", ["a"])
    ops = FLASH.ops
    bench.applied.clear()
    harness.equal(bench.set("interval_s", 30), None)
    harness.equal(bench.set("sensor", "auto"), None)
    harness.equal(bench.set("i2c", {"freq_hz": 100000}), None)
    bench.note("seen", ["a"])
    bench.note("local", None)
    harness.equal((FLASH.ops, bench.applied), (ops, []))
    bench.note("seen", ["a", "b"])
    assert FLASH.ops > ops


def test_flash_that_fails_changes_nothing():
    fresh()
    bench = Bench()
    bench.set("interval_s", 30)
    bench.applied.clear()
    FLASH.fuse = 0
    problem = bench.set("interval_s", 40)
    FLASH.fuse = None
    assert problem.startswith("not done: "), problem
    harness.equal((bench.values["interval_s"], files.load_settings()[0]), (30, {"interval_s": 30}))
    harness.equal(bench.applied, [("interval_s", 40), ("interval_s", 30)])
    # What failed is not saved with the next one.
    harness.equal(bench.set("sensor", "bme280"), None)
    harness.equal(files.load_settings()[0], {"interval_s": 30, "sensor": "bme280"})


def test_flash_that_fails_to_take_a_note_stops_nobody():
    # An id that was done, the filters of the session: it counts until the restart, and is said.
    fresh()
    bench = Bench()
    bench.note("seen", [1])
    FLASH.fuse = 0
    bench.note("seen", [1, 2])
    FLASH.fuse = None
    harness.equal((bench.settings.state, len(bench.log.lines)), ({"seen": [1, 2]}, 1))
    assert bench.log.lines[0].startswith("settings: seen not saved, "), bench.log.lines
    harness.equal(files.load_settings(), ({}, {"seen": [1]}))
    bench.note("local", {"x": 1})  # the next write that works has it all
    harness.equal(files.load_settings(), ({}, {"seen": [1, 2], "local": {"x": 1}}))


os.chdir("/")
FLASH.format()
FLASH.mount()
harness.run(globals())
