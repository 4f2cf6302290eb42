# The crash log stays small and keeps the newest; crashes that come thick lead to safe mode.

import os

import harness
from fakes import Log
from firmware.crash import STABLE_S, CrashLog
from flash import Flash

FLASH = Flash(16)


def fresh():
    FLASH.umount()
    FLASH.format()
    FLASH.mount()


def start(cause="hard"):
    crash = CrashLog("data/crash.log", Log())
    return crash, crash.boot(cause)


def crashed(crash, uptime_s, text="broken"):
    try:
        raise ValueError(text)
    except ValueError as e:
        crash.record(e, uptime_s, "hard")


def run_and_crash(*uptimes_s):
    # Each run ends in a crash; says whether the one after the last starts in safe mode.
    for uptime_s in uptimes_s:
        crash, _ = start()
        crashed(crash, uptime_s)
    return start()[1]


def test_a_healthy_board_writes_nothing():
    fresh()
    for cause in ("pwron", "hard", "soft", "deepsleep", "pwron", "pwron"):
        crash, safe = start(cause)
        assert not safe
        for uptime_s in range(0, 1000, 10):
            crash.alive(uptime_s)
    assert "data" not in os.listdir(), os.listdir()
    harness.equal(crash.read(1000), "")


def test_three_crashes_within_ten_minutes():
    for uptimes_s, safe in (
        ((5,), False),
        ((5, 5), False),
        ((5, 5, 5), True),
        ((500, 300, 300), True),
        ((1, 300, 301), False),
        ((900, 0, 0), True),
        ((0, 0, 700), False),
        ((0, 0, 700, 0), False),
        ((0, 0, 700, 0, 0), True),
        ((0, 0, 0, 0), True),
    ):
        fresh()
        harness.equal(run_and_crash(*uptimes_s), safe)


def test_power_cuts_are_no_crashes():
    fresh()
    assert not run_and_crash(1, 1)
    for _ in range(5):
        crash, safe = start("pwron")
        assert not safe
        crash.alive(70)


def test_a_stable_run_ends_the_row():
    fresh()
    run_and_crash(1, 1)
    crash, _ = start()
    crash.alive(STABLE_S - 1)
    crash.alive(STABLE_S)
    assert not run_and_crash(1, 1)
    assert run_and_crash(1)


def test_safe_mode_lasts_until_a_run_is_stable():
    fresh()
    assert run_and_crash(1, 1, 1)
    crash, safe = start()
    assert safe
    crash.alive(STABLE_S)
    assert not crash.safe
    assert not start()[1]


def test_the_watchdog_counts():
    fresh()
    assert not start("wdt")[1]
    assert not start("wdt")[1]
    crash, safe = start("wdt")
    assert safe
    assert "watchdog" in crash.read(1000)


def test_a_watchdog_every_few_days_does_not():
    fresh()
    for _ in range(5):
        crash, safe = start("wdt")
        assert not safe
        for uptime_s in range(0, STABLE_S + 60, 30):
            crash.alive(uptime_s)


def test_a_watchdog_every_six_minutes_does_not():
    fresh()
    for _ in range(6):
        crash, safe = start("wdt")
        assert not safe
        for uptime_s in range(0, 370, 30):
            crash.alive(uptime_s)


def test_a_watchdog_after_the_crash_was_written_down_is_no_second_one():
    fresh()
    crash, _ = start()
    crashed(crash, 1)
    crash, _ = start("wdt")
    crashed(crash, 1)
    assert not start("wdt")[1]


def test_the_log_has_the_traceback():
    fresh()
    crash, _ = start()
    crashed(crash, 77, "no such thing")
    text = start()[0].read(1000)
    assert text.startswith("after 77 s, started by hard\n"), text
    assert "ValueError: no such thing" in text and "test_crash.py" in text, text


def test_the_log_stays_small_and_keeps_the_newest():
    fresh()
    for n in range(40):
        crashed(start()[0], 1000, "number {} {}".format(n, "x" * 150))
    sizes = [os.stat("data/" + name)[6] for name in os.listdir("data")]
    assert 2500 < sum(sizes) < 6000, sizes
    crash = start()[0]
    text = crash.read(1500)
    assert "number 39 " in text and "number 37 " in text
    harness.equal(len(text), 1500)
    harness.equal(crash.read(10), text[-10:])


def test_a_long_message_is_cut():
    fresh()
    crashed(start()[0], 1, "y" * 3000)
    assert 700 < os.stat("data/crash.log")[6] < 800


def test_bytes_that_are_no_text():
    fresh()
    crash, _ = start()
    crashed(crash, 1, "\u00e9")
    with open("data/crash.log", "ab") as f:
        f.write(b"\xff\xfe")
    harness.equal(crash.read(3)[1:], "??")


def test_damaged_counts_start_anew():
    for data in (b"", b"x", b"1 x", b"\xff\xff", b"1 2 3 4 5 6 7"):
        fresh()
        run_and_crash(1)
        with open("data/crash.log.runs", "wb") as f:
            f.write(data)
        start()
        start("wdt")


def test_flash_that_fails_is_said_and_no_second_crash():
    fresh()
    crash, _ = start()
    FLASH.fuse = 0
    crashed(crash, 1)
    crash.alive(700)
    FLASH.fuse = None


FLASH.format()
FLASH.mount()
harness.run(globals())
