# heap: 64wk
# A setting is on trial until it has proved good: what is kept of the old one, and the way back.

import os
import sys

import firmware
import harness
from fakes import Clock, Log
from firmware import files, loading, overrides
from firmware.core import schema
from firmware.core.errors import SensorError
from firmware.settings import Settings
from flash import Flash, Journal, mounted

CRASHED = "restored: the board crashed with it"
I2C = {"id": 0, "sda": 4, "scl": 5, "freq_hz": 100000}
FLASH = mounted(Flash(12))


class Board:
    # In place of firmware/board.py, and the bus on it.
    def __init__(self):
        self.addresses, self.written, self.error = [], [], None

    def i2c(self, settings, failures):
        harness.equal((settings["scl"], failures), (settings["sda"] + 1, 0))
        if self.error:
            raise self.error
        return self

    def scan(self):
        return self.addresses

    def writeto(self, addr, data):
        self.written.append((addr, bytes(data)))

    def readfrom_into(self, addr, buf):
        buf[:] = b"\x00\x00\x81"


BOARD = sys.modules["firmware.board"] = firmware.board = Board()
loading.keep()


def fresh():
    FLASH.fresh()
    BOARD.error = None
    return made()


def made():
    # As after a restart.
    saved, state = files.load_settings()
    one = Settings(dict(schema.DEFAULTS), saved, state, Log())
    one.values.update(saved)
    one.found = False  # a sensor, before the change
    one.apply, one.unload = lambda key: one.found, loading.unload
    return one


def asked(value, addresses, found=True, error=None):
    # What becomes of a desired sensor: why not, what counts on flash, what the bus heard.
    one = fresh()
    one.found, BOARD.error = found, error
    BOARD.addresses, BOARD.written = addresses, []
    why = one.set("sensor", value)
    loading.unload()
    harness.equal(one.values["sensor"], "auto" if why else value)
    saved, state = files.load_settings()
    harness.equal(saved, {} if why else {"sensor": value})
    return why, state.get("trial"), BOARD.written


def test_a_sensor_that_is_not_there_is_refused_at_once_while_another_works():
    none = "no sht3x found; on the bus: 0x76"
    other = "no sht3x@0x45 found; on the bus: 0x44"
    harness.equal(asked("sht3x", [0x76]), (none, None, []))  # no driver is even loaded
    harness.equal(asked("sht3x@0x45", [0x44]), (other, None, []))
    why = "bus: i2c settings do not fit this chip"
    harness.equal(asked("sht3x", [0x44], error=SensorError(why))[0], why)
    # One that is there is on trial, also where nobody could look.
    harness.equal(asked("sht3x", [0x44])[:2], (None, {"sensor": [None, True]}))
    harness.equal(asked("sht3x", [], error=MemoryError())[:2], (None, {"sensor": [None, True]}))
    # Without one that works any may be named before it is plugged in.
    harness.equal(asked("sht3x", [], found=False)[:2], (None, {"sensor": [None, False]}))


def test_the_drivers_leave_before_a_sensor_is_put_in_force():
    one = fresh()
    one.found, BOARD.addresses, BOARD.error, there = True, [0x44], None, []
    one.unload = lambda: there.append("unloaded")
    one.apply = lambda key: there.append(key) or True
    harness.equal(one.set("sensor", "sht3x"), None)
    harness.equal(there, [None, "unloaded", "sensor"])


def test_only_a_sensor_that_is_named_has_to_be_there():
    one = fresh()
    one.set("sensor", "sht3x")
    one.found, BOARD.error = True, OSError(5)
    harness.equal(one.set("interval_s", 7), None)
    harness.equal(one.set("sensor", None), None)  # what config.json has


def test_the_level_of_the_log_is_not_on_trial():
    one = fresh()
    one.found = True
    harness.equal(one.set("log_level", "debug"), None)
    harness.equal((one.values["log_level"], one.saved), ("debug", {"log_level": "debug"}))
    harness.equal(one.state, {})
    harness.equal(one.set("log_level", "loud"), 'must be "info" or "debug"')
    harness.equal(one.set("log_level", None), None)
    harness.equal((one.values["log_level"], files.load_settings()), ("info", ({}, {})))


def test_the_flag_and_the_value_are_one_write():
    one = fresh()
    harness.equal(one.set("interval_s", 30), None)
    trial = {"trial": {"interval_s": [None, False]}}
    harness.equal(files.load_settings(), ({"interval_s": 30}, trial))
    harness.equal(one.state, trial)
    one.note("trial", None)
    harness.equal(files.load_settings(), ({"interval_s": 30}, {}))


def test_each_key_keeps_its_oldest_good_value():
    one = fresh()
    one.set("interval_s", 10)
    one.note("trial", None)
    for interval_s in (20, 30, 40):
        harness.equal(one.set("interval_s", interval_s), None)
    one.set("drain_per_s", 5)
    wanted = {"interval_s": [10, False], "drain_per_s": [None, False]}
    harness.equal(files.load_settings()[1], {"trial": wanted})


def test_whether_a_sensor_was_found_before_is_kept():
    one = fresh()
    one.found = True
    harness.equal(one.set("i2c", I2C), None)
    one.found = False  # it is being looked for
    harness.equal(one.set("sensor", "sht3x"), None)
    wanted = {"i2c": [None, True], "sensor": [None, True]}
    harness.equal(files.load_settings()[1], {"trial": wanted})
    harness.equal(made().state, {"trial": wanted})  # also after a power cut


def test_the_way_back():
    one = fresh()
    one.set("interval_s", 10)
    one.note("trial", None)
    one.set("interval_s", 20)
    one.set("drain_per_s", 5)
    harness.equal(overrides.release(one, "interval_s", 10, CRASHED), None)
    harness.equal(one.values["interval_s"], 10)
    bad = {"interval_s": [20, CRASHED]}
    state = {"trial": {"drain_per_s": [None, False]}, "rejected": bad}
    harness.equal(files.load_settings(), ({"interval_s": 10, "drain_per_s": 5}, state))
    harness.equal(overrides.release(one, "drain_per_s", None, CRASHED), None)
    bad["drain_per_s"] = [5, CRASHED]
    harness.equal(files.load_settings(), ({"interval_s": 10}, {"rejected": bad}))
    harness.equal(one.values["drain_per_s"], schema.DEFAULTS["drain_per_s"])


def test_a_bad_value_is_not_tried_again_and_another_one_is():
    one = fresh()
    one.set("i2c", {"sda": 4, "scl": 5})
    overrides.release(one, "i2c", None, CRASHED)
    one = made()
    ops = FLASH.ops
    harness.equal(one.set("i2c", {"sda": 4, "scl": 5}), CRASHED)
    harness.equal(one.set("i2c", I2C), CRASHED)  # the same, whole
    harness.equal((one.values["i2c"]["sda"], FLASH.ops), (21, ops))
    harness.equal(one.set("i2c", {"sda": 4, "scl": 13}), None)
    harness.equal((one.values["i2c"]["scl"], "rejected" in one.state), (13, False))
    harness.equal(one.set("i2c", I2C), None)  # now that another one was in force


def test_back_to_config_json():
    one = fresh()
    one.note("config", {"interval_s": 45})
    one.set("interval_s", 30)
    one.set("drain_per_s", 5)
    harness.equal(
        (overrides.release(one, "interval_s"), overrides.release(one, "drain_per_s")), (None, None)
    )
    harness.equal((one.values["interval_s"], one.values["drain_per_s"]), (45, 90))
    harness.equal(files.load_settings(), ({}, {"config": {"interval_s": 45}}))


def test_flash_that_fails_on_the_way_back_changes_nothing():
    one = fresh()
    one.set("interval_s", 30)
    before = files.load_settings()
    FLASH.fuse = 0
    problem = overrides.release(one, "interval_s", None, CRASHED)
    FLASH.fuse = None
    assert problem.startswith("not done: "), problem
    harness.equal((one.values["interval_s"], files.load_settings()), (30, before))
    harness.equal((one.saved, one.state), before)


def test_a_power_cut_in_a_command_leaves_no_value_without_its_mark():
    # Without the mark an older desired value would take the command's back.
    from firmware.command_runner import change

    class Shadow:
        clock = Clock()
        wrong, tried, desired, update_due = {}, {}, None, False

    found = []
    for fuse in range(40):
        shadow = Shadow()
        shadow.settings, shadow.local = fresh(), {}
        FLASH.fuse = fuse
        why = change(shadow, "interval_s", 30)
        FLASH.fuse = None
        saved, state = files.load_settings()
        marked = {"interval_s": 60} if saved else None
        harness.equal((saved, state.get("local")), ({"interval_s": 30} if saved else {}, marked))
        if why:
            harness.equal((shadow.local, shadow.settings.state), ({}, {}))
        found.append(bool(saved))
    assert True in found and False in found, found


def test_pins_that_the_chip_cannot_use_are_refused():
    class Sys:
        implementation = "micropython", (1, 25, 0), "Generic ESP32 module with ESP32"

    one = fresh()
    overrides.sys = Sys
    why = one.set("i2c", {"sda": 6})
    overrides.sys = sys
    harness.equal(why, "sda: is not free on this chip, see docs/wiring.md")
    harness.equal((one.values["i2c"]["sda"], files.load_settings()), (21, ({}, {})))


def test_the_largest_state_of_all_fits():
    one = fresh()
    one.note("seen", ["x" * 64] * 16)
    one.note("filters", "c" * 256)
    one.note("clock", 1 << 29)
    one.found, BOARD.error = True, MemoryError()  # nobody can look whether a sensor is there
    i2c = {"id": -1, "sda": 47, "scl": 48, "freq_hz": 1000000}
    old = {"interval_s": 86400, "drain_per_s": 100, "offline_reboot_s": 604800}
    old.update({"log_level": "debug", "sensor": "mcp9808@0x1f", "i2c": i2c})
    one.note("config", old)
    one.note("local", old)
    for key in old:
        one.set(key, old[key])
    for key in ("interval_s", "i2c", "sensor"):
        overrides.release(one, key, None, CRASHED)
    for key, value in (("interval_s", 86399), ("sensor", "mcp9808@0x1e")):
        harness.equal(one.set(key, value), None)
    i2c = dict(i2c)
    i2c["freq_hz"] = 999999
    harness.equal((one.set("i2c", i2c), one.log.lines), (None, []))
    size = os.stat("data/settings.json")[6]
    assert 1700 < size < 2800, size


def test_a_power_cut_at_any_write():
    # Old or new, and no new value without what was good before.
    FLASH.umount()
    journal = mounted(Journal(12, 200_000))
    one = made()
    one.set("interval_s", 1000)
    one.note("trial", None)
    journal.begin()
    for n in range(1, 20):
        one.set("interval_s", 1000 + n)
        if n % 2:
            one.note("trial", None)  # it was good
        else:
            overrides.release(one, "interval_s", 1000 + n - 1, CRASHED)
    journal.umount()
    cuts = 0
    for _, found in journal.loaded(files.load_settings):
        value, state = found[0]["interval_s"] - 1000, found[1]
        good = value - (value % 2 == 0 and value > 0)  # an even one was never good
        if "trial" in state:
            assert state["trial"]["interval_s"][0] - 1000 in (value - 1, value - 2), found
        else:
            harness.equal(good, value)
        cuts += 1
    print("cuts tried {}, values lost 0".format(cuts))
    assert cuts > 200, cuts
    FLASH.mount()
