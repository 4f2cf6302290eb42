# heap: 64wk
# When a trial of settings ends, and how: firmware/upkeep.py.

import os

import harness
from fakes import Log
from firmware import chip, upkeep
from firmware.core import schema
from firmware.settings import Settings
from flash import Flash

LOST = "restored: the sensor was lost"
OLD = {"id": 0, "sda": 21, "scl": 22, "freq_hz": 100000}
NEW = {"id": 0, "sda": 4, "scl": 5, "freq_hz": 100000}
FLASH = Flash(12)


class Box:
    # An object with these attributes.
    def __init__(self, **parts):
        for name in parts:
            setattr(self, name, parts[name])


def app(trial, **saved):
    values = dict(schema.DEFAULTS)
    values.update(saved)
    made = Box(clock=Box(s=100), connection=Box(up=True), sampler=Box(failures=0))
    made.shadow = Box(birth_s=1 << 20, out=None, get_due=False)
    made.session = Box(waiting={})
    made.settings = Settings(values, saved, {"trial": trial}, chip.log)
    made.settings.apply = lambda key: False
    made.settings.since_s = 40
    return made


def trial(made):
    upkeep._trial(made, made.settings.state["trial"])
    return made.settings.state.get("trial")


def test_it_ends_a_minute_after_the_change_and_its_report():
    made = app({"interval_s": [None, False]}, interval_s=30)
    made.settings.since_s = 41
    assert trial(made)
    made.clock.s += 1
    assert not trial(made)
    harness.equal(
        (made.settings.saved, made.settings.values["interval_s"]), ({"interval_s": 30}, 30)
    )


def test_not_without_a_session_that_acknowledges():
    for part, name, value in (
        ("connection", "up", False),
        ("shadow", "out", ("topic", "text", False)),
        ("shadow", "birth_s", 0),
        ("session", "waiting", {-1: 7}),
    ):
        made = app({"interval_s": [None, False]}, interval_s=30)
        sound = getattr(getattr(made, part), name)
        setattr(getattr(made, part), name, value)
        made.clock.s += 5000
        assert trial(made), name
        setattr(getattr(made, part), name, sound)
        assert not trial(made)


def test_a_sensor_that_is_lost_brings_the_old_settings_back():
    made = app({"i2c": [OLD, False], "sensor": [None, True], "interval_s": [None, True]},
               i2c=NEW, sensor="sht3x", interval_s=30)  # fmt: skip
    made.sampler.failures, made.connection.up = 2, False
    assert "i2c" in trial(made)
    made.sampler.failures = 3
    harness.equal(trial(made), {"interval_s": [None, True]})
    settings = made.settings
    harness.equal((settings.values["i2c"], settings.values["sensor"]), (OLD, "auto"))
    harness.equal(settings.saved, {"i2c": OLD, "interval_s": 30})
    harness.equal(settings.state["rejected"], {"i2c": [NEW, LOST], "sensor": ["sht3x", LOST]})
    harness.equal(settings.set("sensor", "sht3x"), LOST)
    assert made.shadow.get_due
    harness.equal(chip.log.lines[-2:], ["config: i2c " + LOST, "config: sensor " + LOST])


def test_what_cannot_be_taken_back_now_is_no_news():
    made = app({"i2c": [OLD, True]}, i2c=NEW)
    made.sampler.failures = 3
    FLASH.fuse = 0
    harness.equal(trial(made), {"i2c": [OLD, True]})
    FLASH.fuse = None
    assert not made.shadow.get_due
    assert chip.log.lines[-1].startswith("config: i2c not done: "), chip.log.lines


def test_a_report_does_not_begin_the_minute_anew():
    # Facts that change all the time: one every 50 s.
    made = app({"interval_s": [None, False]}, interval_s=30)
    made.settings.values["offline_reboot_s"] = made.safe = made.counted_s = made.offline_s = 0
    made.saved, made.connection.last_reason = made.settings.saved, None
    made.connection.sessions = 1
    made.settings.since_s = made.clock.offset = 0
    for s in range(30, 400, 10):
        made.clock.s = made.shadow.since_s = s
        if s == 50:
            harness.equal(made.settings.set("interval_s", 20), None)
        upkeep.check(made)
        harness.equal("trial" in made.settings.state, s < 50 + 60)


def test_a_sensor_missing_before_is_no_evidence():
    made = app({"i2c": [OLD, False]}, i2c=NEW)
    made.sampler.failures, made.clock.s = 7, 99
    harness.equal(trial(made), {"i2c": [OLD, False]})
    made.clock.s += 1
    harness.equal((trial(made), made.settings.values["i2c"]), (None, NEW))


def test_nor_one_that_is_lost_while_something_else_is_on_trial():
    made = app({"interval_s": [None, True]}, interval_s=30)
    made.sampler.failures, made.clock.s = 7, 99
    assert trial(made)
    harness.equal(made.settings.values["interval_s"], 30)


os.chdir("/")
FLASH.format()
FLASH.mount()
chip.log = Log()
harness.run(globals())
