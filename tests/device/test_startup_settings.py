# heap: 128wk
# What counts after a start: config.json, what the cloud has changed, what was on trial in a crash.

import json

import fakes_machine  # noqa: F401  for board.py
import harness
from fakes import Log
from firmware import chip, files
from firmware import config as boot
from firmware.core import schema
from firmware.core.telemetry import crc16
from flash import Flash, mounted

CRASHED = "restored: the board crashed with it"
FLASH = mounted(Flash(12))
LOG = Log()
I2C = {"id": 0, "sda": 4, "scl": 5, "freq_hz": 100000}


def fresh(saved=None, state=None):
    FLASH.fresh()
    if saved is not None or state is not None:
        files.save_settings(saved or {}, state or {})


def start(crashed=False, **config):
    # (values, saved, state) of a start with this config.json.
    del LOG.lines[:]
    whole = dict(schema.DEFAULTS)
    whole.update(config)
    return boot.start(whole, crashed, LOG)[:3]


def test_a_first_start_remembers_what_config_json_has():
    fresh()
    values, saved, state = start(interval_s=45)
    harness.equal((values["interval_s"], saved), (45, {}))
    harness.equal(state, {"config": {"interval_s": 45}})
    harness.equal(files.load_settings(), ({}, state))
    ops = FLASH.ops
    harness.equal(start(interval_s=45)[2], state)
    harness.equal((FLASH.ops, LOG.lines), (ops, []))


def test_an_override_counts_more_and_is_said():
    fresh({"interval_s": 30, "i2c": I2C}, {"config": {"interval_s": 45}})
    values, saved, _ = start(interval_s=45)
    harness.equal((values["interval_s"], values["i2c"]), (30, I2C))
    harness.equal(saved, {"interval_s": 30, "i2c": I2C})
    line = "config: interval_s 30 from the cloud, config.json has 45"
    assert line in LOG.lines and len(LOG.lines) == 2, LOG.lines


def test_an_override_from_before_this_version_stays():
    # There is nothing to compare config.json with.
    fresh({"interval_s": 30}, {"seen": ["a"]})
    values, saved, state = start(interval_s=45)
    harness.equal((values["interval_s"], saved), (30, {"interval_s": 30}))
    harness.equal(state, {"seen": ["a"], "config": {"interval_s": 45}})


def test_a_changed_config_json_drops_the_overrides_it_touches():
    saved = {"interval_s": 30, "drain_per_s": 5, "i2c": I2C}
    trial = {"interval_s": [None, False], "drain_per_s": [7, False]}
    bad = {"interval_s": [9, CRASHED]}
    fresh(saved, {"config": {"interval_s": 45}, "trial": trial, "rejected": bad})
    values, saved, state = start(interval_s=50)
    harness.equal((values["interval_s"], values["drain_per_s"]), (50, 5))
    harness.equal(saved, {"drain_per_s": 5, "i2c": I2C})
    wanted = {"config": {"interval_s": 50}, "trial": {"drain_per_s": [7, False]}}
    wanted["local"] = {"interval_s": 9}  # what is desired so far is older
    harness.equal((state, files.load_settings()), (wanted, (saved, wanted)))
    assert "config: interval_s has changed in config.json" in LOG.lines, LOG.lines
    harness.equal(start(interval_s=50)[1:], (saved, wanted))  # once


def test_a_changed_config_json_is_newer_than_what_is_desired_without_an_override():
    fresh({}, {"config": {"interval_s": 45}})
    harness.equal(start(interval_s=50)[2]["local"], {"interval_s": 45})
    harness.equal(start()[2], {"config": {}, "local": {"interval_s": 45}})  # back to the default


def test_a_changed_config_json_is_newer_than_what_was_desired_and_bad():
    for local, wanted in ({}, 30), ({"interval_s": 7}, 7):  # 30 came by command
        trial = {"interval_s": [None, False]}
        fresh({"interval_s": 30}, {"config": {"interval_s": 45}, "trial": trial, "local": local})
        start(crashed=True, interval_s=45)
        values, saved, state = start(interval_s=120)
        harness.equal((values["interval_s"], saved), (120, {}))
        harness.equal(state, {"config": {"interval_s": 120}, "local": {"interval_s": wanted}})


def test_a_last_good_time_or_a_count_that_cannot_be_is_forgotten():
    floor = boot.version.BUILD_S2000
    for name in ("clock", "boots"):
        for good in (floor, floor + 473_040_000, 1):
            fresh({}, {name: good, "config": {}})
            harness.equal(start()[2], {name: good, "config": {}})
        for good in (floor + 473_040_001, 1 << 40, "x", None, True, 8.5, []):
            fresh({}, {name: good, "config": {}})
            harness.equal(start()[2], {"config": {}})
            harness.equal(files.load_settings()[1], {"config": {}})


def test_the_level_of_the_log_ends_with_the_restart():
    fresh({"interval_s": 30, "log_level": "debug"}, {"config": {}})
    for _ in range(2):  # the second before AWS has been reached
        values, saved, state = start()
        harness.equal((values["log_level"], saved), ("info", {"interval_s": 30}))
        # What is desired so far is older than that.
        harness.equal(state, {"config": {}, "local": {"log_level": "debug"}})
        harness.equal(files.load_settings(), (saved, state))
    fresh({"log_level": "debug"})  # written by hand, say
    harness.equal(start()[0]["log_level"], "info")


def test_a_file_that_cannot_be_read_now_stays_what_it_is():
    from firmware.settings import Settings

    class Files:
        def __init__(self, error):
            self.error = error

        def open(self, path, *mode):
            if mode == ("rb",):
                raise self.error
            return open(path, *mode)

    for error in (OSError(5), MemoryError()):
        fresh({"interval_s": 30}, {"config": {"interval_s": 45}, "seen": ["a"], "start": [5, 7]})
        before = files.load_settings()
        files.open = Files(error).open
        values, saved, state = start(interval_s=45)
        del files.open
        one = Settings(values, saved, state, LOG)
        one.apply = lambda key: None
        one.note("filters", "x")
        why = "not done: settings: could not be read at the start"
        harness.equal((one.set("interval_s", 9), files.load_settings()), (why, before))
        line = "settings: filters not saved, settings: could not be read at the start"
        harness.equal((values["interval_s"], LOG.lines[-1]), (45, line))
        harness.equal(start(interval_s=45)[1], {"interval_s": 30})


def test_a_bad_value_in_config_json_changes_nothing_else():
    fresh({"interval_s": 30}, {"config": {"interval_s": 45}})
    before = files.load_settings()
    values, saved, state = start(interval_s="often")
    harness.equal(
        (values["interval_s"], (saved, state), files.load_settings()), (30, before, before)
    )


def test_a_crash_takes_back_what_was_on_trial():
    saved = {"interval_s": 30, "drain_per_s": 5, "sensor": "sht3x"}
    trial = {"interval_s": [45, False], "sensor": [None, True]}
    fresh(saved, {"config": {}, "trial": trial})
    harness.equal(start()[0]["interval_s"], 30)  # a power cut is no crash
    values, saved, state = start(crashed=True)
    harness.equal((values["interval_s"], values["sensor"], values["drain_per_s"]), (45, "auto", 5))
    harness.equal(saved, {"interval_s": 45, "drain_per_s": 5})
    bad = {"interval_s": [30, CRASHED], "sensor": ["sht3x", CRASHED]}
    harness.equal(state, {"config": {}, "rejected": bad})
    harness.equal(files.load_settings(), (saved, state))
    assert "config: interval_s " + CRASHED in LOG.lines, LOG.lines
    harness.equal(start(crashed=True)[1:], (saved, state))  # nothing is on trial any more


def test_a_crash_with_nothing_on_trial_changes_nothing():
    fresh({"interval_s": 30}, {"config": {}})
    before = files.load_settings()
    harness.equal((start(crashed=True)[1:], files.load_settings()), (before, before))


def test_what_is_no_setting_any_more_is_ignored():
    odd = {"colour": 1, "interval_s": 30}
    state = {"local": odd, "config": {"colour": 1}, "trial": {"colour": [1, True]}}
    state["rejected"] = {"colour": [1, "why"]}
    fresh(odd, state)
    values, saved, state = start(crashed=True)
    assert "colour" not in values
    harness.equal(saved, {"interval_s": 30})
    harness.equal(state, {"config": {}, "local": {"interval_s": 30}})


def test_anything_may_stand_in_the_file():
    for junk in (None, 7, True, "x", [], [1], {"interval_s": 7}, {"interval_s": [1]}, {"x": []}):
        for name in ("local", "config", "trial", "rejected", "clock"):
            for crashed in (False, True):
                fresh({}, {name: junk})
                values, saved, state = start(crashed)
                harness.equal((values, saved), (schema.DEFAULTS, {}))
                assert isinstance(state.get("clock", 0), int), state
        files.save_settings(junk, {})
        harness.equal(start()[0]["drain_per_s"], 90)
        text = json.dumps({"values": {}, "state": junk})
        with open("data/settings.json", "w") as f:
            f.write(
                '{{"crc": "{:04x}", "data": {}}}'.format(crc16(text.encode(), 0, len(text)), text)
            )
        harness.equal(start()[0]["drain_per_s"], 90)


def test_a_restored_value_is_checked_as_well():
    fresh({"interval_s": 30}, {"config": {}, "trial": {"interval_s": ["often", False]}})
    harness.equal(start(crashed=True)[0]["interval_s"], 60)


def test_flash_that_fails_stops_no_start():
    fresh({"interval_s": 30}, {"config": {}, "trial": {"interval_s": [45, False]}})
    FLASH.fuse = 0
    values, _, state = start(crashed=True)
    FLASH.fuse = None
    harness.equal((values["interval_s"], "trial" in state), (45, False))
    assert any(["settings: not saved" in line for line in LOG.lines]), LOG.lines


chip.log = LOG
