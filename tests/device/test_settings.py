# heap: 64wk
# Settings: a change is checked, applied and saved, whole or not at all. Their file survives any
# power cut, a damaged one is said to be, and one too large for an ESP8266 is not written.

import json
import os

import harness
from fakes import Log
from firmware import files
from firmware.core import schema
from firmware.settings import Settings
from flash import Flash, Journal, mounted

I2C = {"id": 0, "sda": 4, "scl": 5, "freq_hz": 100000}
FLASH = mounted(Flash(12))


def fresh():
    FLASH.fresh()
    return Bench()


class Bench(Settings):
    # As after a restart: what is saved over the defaults.
    def __init__(self):
        saved, state = files.load_settings() or ({}, {})
        super().__init__(dict(schema.DEFAULTS), saved, state, Log())
        self.values.update(saved)
        self.applied = []
        self.error = None  # of apply(), for a new value
        self.apply = self._apply

    def _apply(self, key):
        if key:  # None: is there a sensor?
            self.applied.append((key, self.values[key]))
        if key and self.error:
            error, self.error = self.error, None
            raise error


def test_what_was_set_is_there_after_a_restart():
    bench = fresh()
    harness.equal(files.load_settings(), ({}, {}))
    set_for_good(bench, "interval_s", 30)
    set_for_good(bench, "i2c", {"sda": 4, "scl": 5})  # a part goes over the rest
    bench.note("seen", ["a1", "b2"])
    bench.note("local", {"x": 1})
    bench.note("local", None)
    harness.equal(files.load_settings(), ({"interval_s": 30, "i2c": I2C}, {"seen": ["a1", "b2"]}))
    harness.equal(bench.state, {"seen": ["a1", "b2"]})
    bench = Bench()
    harness.equal((bench.values["interval_s"], bench.values["i2c"]), (30, I2C))
    set_for_good(bench, "sensor", "sht3x@0x45")
    wanted = {"interval_s": 30, "i2c": I2C, "sensor": "sht3x@0x45"}
    harness.equal(files.load_settings(), (wanted, {"seen": ["a1", "b2"]}))


def test_a_change_is_checked_then_applied_then_saved():
    bench = fresh()
    in_force, seen = bench.values, []
    bench.apply = lambda key: seen.append((key, bench.values[key], files.load_settings()[0]))
    harness.equal(bench.set("interval_s", 30), None)
    harness.equal(seen, [("interval_s", 30, {})])
    harness.equal((in_force["interval_s"], files.load_settings()[0]), (30, {"interval_s": 30}))
    assert bench.values is in_force  # the dictionary in force is one


def test_what_is_wrong_changes_nothing():
    bench = fresh()
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


def test_a_value_that_cannot_be_put_in_force():
    for error in (OSError(5), ValueError("no such pin"), MemoryError()):
        bench = fresh()
        bench.error = error
        problem = bench.set("interval_s", 30)
        harness.equal(problem, "not done: " + (str(error) or "no memory"))
        harness.equal(bench.applied, [("interval_s", 30), ("interval_s", 60)])  # and back
        harness.equal((bench.values["interval_s"], files.load_settings()), (60, ({}, {})))


def test_no_write_when_nothing_is_new():
    bench = fresh()
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
    bench = fresh()
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
    bench = fresh()
    bench.note("seen", [1])
    FLASH.fuse = 0
    bench.note("seen", [1, 2])
    FLASH.fuse = None
    harness.equal((bench.state, len(bench.log.lines)), ({"seen": [1, 2]}, 1))
    assert bench.log.lines[0].startswith("settings: seen not saved, "), bench.log.lines
    harness.equal(files.load_settings(), ({}, {"seen": [1]}))
    bench.note("local", {"x": 1})  # the next write that works has it all
    harness.equal(files.load_settings(), ({}, {"seen": [1, 2], "local": {"x": 1}}))


_PATH = "data/settings.json"


def set_for_good(one, key, value):
    harness.equal(one.set(key, value), None)
    one.note("trial", None)


def write(data, times=1):
    with open(_PATH, "wb") as f:
        for _ in range(times):
            f.write(data)


def read():
    with open(_PATH, "rb") as f:
        return f.read()


def test_the_file_is_json():
    set_for_good(fresh(), "interval_s", 30)
    harness.equal(json.loads(read())["data"], {"values": {"interval_s": 30}, "state": {}})


def test_a_file_of_0_1_0_is_read():
    fresh()
    os.mkdir("data")
    write(b'{"crc": "291e", "data": {"values": {"interval_s": 30}, "state": {"seen": ["a"]}}}')
    harness.equal(files.load_settings(), ({"interval_s": 30}, {"seen": ["a"]}))


def test_a_damaged_file_is_none_and_is_said():
    set_for_good(fresh(), "interval_s", 30)
    good = read()
    bad = [b"", b"{}", b"null", b"[1, 2]", b"\xff" * 100, good[:-1], good[1:], good + b" "]
    bad += [good.replace(b"30", b"31"), bytes(500)]
    for data in bad:
        write(data)
        harness.equal(files.load_settings(), None)
    write(bytes(500), 8)
    harness.equal(files.load_settings(), None)
    set_for_good(Bench(), "interval_s", 40)
    harness.equal(files.load_settings(), ({"interval_s": 40}, {}))


def test_any_damaged_byte_is_noticed():
    set_for_good(fresh(), "interval_s", 30)
    good = read()
    for i in range(len(good)):
        write(good[:i] + bytes([good[i] ^ 1 << i % 8]) + good[i + 1 :])
        assert files.load_settings() is None, good[i:]


def test_old_or_new_after_a_power_cut_at_any_write():
    FLASH.umount()
    journal = mounted(Journal(12, 100_000))
    bench = Bench()
    bench.set("interval_s", 1000)
    journal.begin()
    ends = []
    for n in range(1, 60):
        bench.set("interval_s", 1000 + n)
        ends.append(journal.ops)
    journal.umount()
    cuts = before = 0
    for ops, found in journal.loaded(files.load_settings):
        while ends[before] <= ops:
            before += 1
        assert found and found[0].get("interval_s") in (1000 + before, 1001 + before), found
        cuts += 1
    print("cuts tried {}, settings lost 0".format(cuts))
    assert cuts > 200, cuts
    FLASH.mount()


def test_a_note_too_large_is_not_taken():
    one = fresh()
    one.set("interval_s", 30)
    one.note("trial", None)
    for key in "abc":
        one.note(key, "x" * 1000)
    (line,) = one.log.lines
    assert line.startswith("settings: c not saved, "), line
    harness.equal(sorted(one.state), ["a", "b", "c"])  # until the restart
    size = os.stat(_PATH)[6]
    assert 2000 < size < 2200, size


def test_a_change_too_large_is_not_done():
    one = fresh()
    for key in "abcde":
        one.note(key, "x" * 585)
    harness.equal(one.log.lines, [])
    size = os.stat(_PATH)[6]
    harness.equal(one.set("i2c", {"sda": 4, "scl": 5}), "not done: settings: too large")
    harness.equal((one.values["i2c"]["sda"], os.stat(_PATH)[6]), (21, size))
