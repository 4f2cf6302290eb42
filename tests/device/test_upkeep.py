# heap: 144wk
# Restarts on purpose: when, and what becomes of readings that wait in RAM. When a trial of
# settings ends, and how.

import sys

import firmware
import harness
from fakes import Log
from firmware import chip, files, upkeep
from firmware import crash as crash_log  # noqa: F401
from firmware.app import App
from firmware.core import schema
from firmware.net import clock as ntp
from firmware.settings import Settings
from flash import Flash, mounted
from no_time_board import BUILT, Board

FLASH = mounted(Flash(24))
ON = BUILT + 1_000_000
DAY_S = 86_400


class Reset(Exception):
    pass


class FakeBoard:
    rtc = None

    def date(self, s2000):
        return "date {}".format(s2000)

    def set_rtc(self, s2000):
        self.rtc = s2000

    def reset(self, why=b""):
        raise Reset(why)


class Packets:
    def disconnect(self, session):
        pass


class Link:
    def __init__(self, sessions):
        self.up, self.since_s, self.sessions, self.last_reason = False, 0, sessions, None
        self.failures = [0, 0, 0]


BOARD = sys.modules["firmware.board"] = firmware.board = FakeBoard()
sys.modules["firmware.net"] = firmware.net = firmware
firmware.clock = ntp
sys.modules["firmware.net.packets"] = firmware.packets = Packets()


def fresh():
    FLASH.fresh()


def board(known=False, sessions=0, offline_reboot_s=3600):
    fresh()
    made = Board(ON, [], known)
    made.connection, made.session, made.check_s = Link(sessions), None, 0
    made.offline_s, made.runner = 0, None
    made.settings.values["offline_reboot_s"] = offline_reboot_s
    return made


def offline_s(made):
    # After how long the board restarts; None: not within a week.
    for s in range(0, 7 * DAY_S, 10):
        made.clock.s = s
        try:
            upkeep.check(made)
        except Reset:
            return s


def test_a_reading_in_the_log():
    lines, chip_log = [], upkeep.chip.log
    upkeep.chip.log = lines.append
    made = board()
    made.outbox.next = 4712
    chip = made.sampler.probes[0].driver
    for chip.values in ([2137, 4510, 101325], [-5, None, 100000], [12500]):
        upkeep.reading(made)
    made.sampler.kept = [b"x"]
    upkeep.reading(made)
    upkeep.chip.log = chip_log
    wanted = "sensor: 21.37 °C 45.10 %RH 1013.25 hPa, seq 4711"
    harness.equal(lines[:2], [wanted, "sensor: -0.05 °C 1000.00 hPa, seq 4711"])
    harness.equal(lines[2:], ["sensor: 125.00 °C, seq 4711", "sensor: 125.00 °C, kept in RAM"])


def test_alarms_are_on_flash_once_there_was_one():
    class Extra:
        pass

    made = board()
    extra = made.sampler.extra = Extra()
    for states, noted in ((bytes(5), None), (b"\1\0\2\0\0", [1, 0, 2, 0, 0]), (bytes(5), [0] * 5)):
        extra.alarms = bytearray(states)
        upkeep.alarms(made)
        harness.equal(files.load_settings()[1].get("alarms") if noted else None, noted)
        extra.alarms = None
        upkeep.alarms(made)
        harness.equal(bytes(extra.alarms or bytes(5)), states)


def test_a_board_that_knows_the_time_restarts_as_set():
    for known, sessions, limit_s, wanted in (
        (True, 1, 600, 600),
        (True, 0, 600, 600),
        (True, 1, 60, 60),
        (True, 0, 60, 120),
        (True, 1, 0, None),
        # Without the time a restart would cost the dates: three days at least, but never stuck.
        (False, 0, 60, 3 * DAY_S),
        (False, 0, 3600, 3 * DAY_S),
        (False, 1, 3600, 3 * DAY_S),
        (False, 0, 4 * DAY_S, 4 * DAY_S),
        (False, 0, 0, None),
    ):
        made = board(known, sessions, limit_s)
        harness.equal(offline_s(made), wanted)


def test_no_restart_when_the_time_becomes_known():
    # It was no outage until then: readings could not be sent.
    for before, after in ((0, 20_000), (None, None)):
        made = board(offline_reboot_s=600)
        made.clock.s, made.offline_s, made.connection.up = 20_000, before, before is None
        made.clock.heard, made.clock.source = (946_684_800 + ON + 20_000, 20_000), None
        upkeep.ask_time(made)
        harness.equal((made.clock.offset, made.offline_s), (ON, after))
        upkeep.check(made)
        made.clock.s += 100
        made.clock.heard = 946_684_800 + ON + 30_000, 20_100
        upkeep.ask_time(made)  # only the first time
        harness.equal((made.clock.offset, made.offline_s), (ON + 9_900, after))


def test_a_restart_on_purpose_leaves_the_time():
    # The RTC of an ESP8266 runs off by minutes a day.
    for known in (True, False):
        made = board(known)
        made.clock.s, BOARD.rtc = 500, None
        harness.raises(Reset, upkeep.restart, made)
        harness.equal(BOARD.rtc, ON + 500 if known else None)


def test_safe_mode_ends_without_the_time_too():
    made = board()
    made.safe, made.safe_s, made.outbox = True, 3600, None
    harness.equal(offline_s(made), 3600)


def test_safe_mode_does_not_end_before_commands_are_answered():
    made = board()
    made.safe, made.safe_s, made.outbox = True, 100, None
    made.connection.up, made.runner, made.clock.s = True, True, 200
    upkeep.check(made)
    made.runner = None
    harness.raises(Reset, lambda: upkeep.check(made))


def kept(made, seconds):
    made.run(15)
    FLASH.fuse = 0
    made.run(seconds)
    FLASH.fuse = None
    return len(made.sampler.kept)


def test_what_waits_in_ram_is_tried_once_more():
    for known in (True, False):
        made = board(known)
        harness.equal(kept(made, 35), 3)
        harness.raises(Reset, upkeep.restart, made)
        made = Board(ON + 1000, [], True)
        harness.equal((made.outbox.waiting, made.outbox.dropped), (5, 0))


def test_a_boot_whose_flash_fails_from_the_start():
    made = board()
    FLASH.fuse = 0
    made.run(35)
    harness.equal((made.outbox.waiting, made.sampler.started, made.starts()), (0, None, None))
    FLASH.fuse = None
    made.run(10)
    harness.equal((made.outbox.waiting, made.starts()), (5, [1, -BUILT]))


def test_what_cannot_be_stored_is_counted_and_the_count_survives():
    made = board(True)
    harness.equal(kept(made, 35), 3)
    put, left = made.outbox.put, [1]

    def full(record, size):
        if not left[0]:
            raise OSError(28)
        left[0] -= 1
        return put(record, size)

    made.outbox.put = full
    harness.raises(Reset, upkeep.restart, made)
    harness.equal(made.outbox.dropped, 2)
    made = Board(ON + 1000, [], True)
    harness.equal((made.outbox.waiting, made.outbox.dropped), (3, 2))


def test_the_count_of_a_full_ram_is_in_the_next_save():
    made = board(True)
    harness.equal(kept(made, 400), 32)
    harness.equal(made.outbox.dropped, 8)
    made.clock.pass_ms(10_000)
    made.run(60)
    harness.equal(len(made.sampler.kept), 0)
    harness.equal(Board(ON + 1000, [], True).outbox.dropped, 8)


class Startup:
    # What the app has before the crash: nothing, or a reading that waits in RAM.
    def __init__(self, made):
        self.made = made

    def build(self, app, *rest):
        if not self.made:
            raise ValueError("in the middle of a start")
        app.outbox, app.sampler = self.made.outbox, self.made.sampler
        app._step = lambda: True
        return self.feed

    def feed(self):
        raise ValueError("a bug")


def crash(made):
    # Through App.run(), to the reset at its end.
    app = App()
    sys.modules["firmware.startup"] = firmware.startup = Startup(made)
    harness.raises(Reset, app.run, lambda: None, [None, ("power_on", False, False, None)])


def test_after_a_crash_what_waits_in_ram_is_tried_once_more():
    made = board(True)
    harness.equal(kept(made, 35), 3)
    crash(made)
    again = Board(ON + 1000, [], True)
    harness.equal((again.outbox.waiting, again.outbox.dropped), (5, 0))


def test_a_crash_that_comes_again_meanwhile_stops_no_restart():
    crash(None)
    made = board(True)
    harness.equal(kept(made, 35), 3)
    made.outbox.put = None  # TypeError
    crash(made)


LOST = "restored: the sensor was lost"
OLD = {"id": 0, "sda": 21, "scl": 22, "freq_hz": 100000}
NEW = {"id": 0, "sda": 4, "scl": 5, "freq_hz": 100000}


class Box:
    # An object with these attributes.
    def __init__(self, **parts):
        for name in parts:
            setattr(self, name, parts[name])


def app(trial, **saved):
    values = dict(schema.DEFAULTS)
    values.update(saved)
    made = Box(clock=Box(s=100), connection=Box(up=True), sampler=Box(failures=0), alarmed=0)
    made.trial = False
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


def test_a_sensor_that_is_no_evidence():
    # Missing before, or lost while something else is on trial.
    for on_trial, changed in (
        ({"i2c": [OLD, False]}, {"i2c": NEW}),
        ({"interval_s": [None, True]}, {"interval_s": 30}),
    ):
        made = app(on_trial, **changed)
        made.sampler.failures, made.clock.s = 7, 99
        harness.equal(trial(made), on_trial)
        made.clock.s += 1
        harness.equal((trial(made), made.settings.saved), (None, changed))


chip.log = Log()
