# heap: 40wk
# Why the board started, what it keeps across a restart, and the watchdog.

import sys

import harness
from fakes_machine import MACHINE, Dog, Machine, Rtc, Timer, board, on_chip
from firmware import loading, soft_watchdog


def test_the_cause_of_a_reset():
    Rtc.kept = b""
    for cause, name in ((0, "pwron"), (1, "wdt"), (4, "soft"), (5, "deepsleep"), (6, "hard")):
        MACHINE.cause = cause
        harness.equal(on_chip("esp8266", board.reset_cause), name)
    MACHINE.cause = 9
    harness.equal(on_chip("esp8266", board.reset_cause), "unknown 9")


def test_what_an_esp8266_has_no_name_for():
    Rtc.kept = b""
    for cause, name in ((2, "fault"), (3, "wdt")):
        MACHINE.cause = cause
        harness.equal(on_chip("esp8266", board.reset_cause), name)


def test_the_numbers_of_an_esp32():
    # ports/esp32/modmachine.c: none without a name.
    Rtc.kept = b""
    names = ("PWRON", "HARD", "WDT", "DEEPSLEEP", "SOFT")
    for number, name in enumerate(names):
        setattr(MACHINE, name + "_RESET", number + 1)
    for MACHINE.cause, name in enumerate(("unknown 0",) + names):
        harness.equal(on_chip("esp32", board.reset_cause), name.lower())
    for name in names:
        delattr(MACHINE, name + "_RESET")


def test_a_panic_of_an_esp32_looks_like_a_reset():
    # ports/esp32/modmachine.c: ESP_RST_SW and ESP_RST_PANIC are the same there.
    MACHINE.cause = Machine.HARD_RESET
    on_chip("esp32", board.watchdog)
    harness.equal(on_chip("esp32", board.reset_cause), "fault")
    on_chip("esp32", board.reset)
    harness.equal(on_chip("esp32", board.reset_cause), "hard")


def test_what_happens_at_the_repl_is_no_crash():
    on_chip("esp32", board.watchdog)
    harness.equal(MACHINE.patience_ms, board.WDT_MS)
    on_chip("esp32", board.watchdog, True)
    harness.equal(MACHINE.patience_ms, 3_600_000)  # for a person, or for mpremote to copy files
    for cause in (Machine.HARD_RESET, Machine.WDT_RESET):  # mpremote reset, and the watchdog
        MACHINE.cause = cause
        harness.equal(on_chip("esp32", board.reset_cause), "repl")
    MACHINE.cause = Machine.PWRON_RESET
    harness.equal(on_chip("esp32", board.reset_cause), "pwron")


def test_without_rtc_memory():
    MACHINE.RTC, MACHINE.cause = object, Machine.HARD_RESET
    on_chip("esp32", board.watchdog)
    harness.equal(on_chip("esp32", board.reset_cause), "hard")
    on_chip("esp32", board.reset)
    MACHINE.RTC = Rtc


def tick(times):
    # What the hardware timers of an ESP8266 do in that many periods.
    for _ in range(times):
        for timer in Timer.all:
            timer.callback(timer)


def watching(knows_hard=True):
    # As after a power-on: the feed, nothing running yet.
    Timer.all.clear()
    Timer.knows_hard = knows_hard
    MACHINE.resets = 0
    Rtc.kept = b""
    return on_chip("esp8266", board.watchdog)


def test_the_watchdog_of_an_esp8266_bites():
    for knows_hard in (True, False):
        feed = watching(knows_hard)
        harness.equal([timer.hard for timer in Timer.all], [knows_hard])
        # ports/esp8266/gccollect.c does not look into the SDK's list of timers.
        harness.equal(Timer.all, [soft_watchdog._timer])
        tick(5)
        feed()
        tick(board.WDT_MS // 10000 - 1)
        harness.equal(MACHINE.resets, 0)
        tick(1)
        harness.equal(MACHINE.resets, 1)
        harness.equal(on_chip("esp8266", board.reset_cause), "wdt")


def test_the_repl_of_an_esp8266_has_an_hour():
    watching()
    on_chip("esp8266", board.watchdog, True)
    tick(359)
    harness.equal(MACHINE.resets, 0)
    tick(1)
    harness.equal(MACHINE.resets, 1)


def test_the_repl_has_an_hour_whatever_was_unloaded():
    # The loop unloads what it does not need; the REPL must still reach the timer that runs, whose
    # module app.py keeps.
    feed = watching()
    feed()
    loading.unload()
    assert "firmware.soft_watchdog" in sys.modules and "firmware.board" not in sys.modules
    from firmware import board as again

    assert again is not board
    again.CHIP = "esp8266"
    again.watchdog(True)
    tick(359)
    harness.equal((MACHINE.resets, len(Timer.all)), (0, 1))
    tick(1)
    harness.equal(MACHINE.resets, 1)


def test_stopped_before_there_is_a_watchdog():
    # As on an ESP32: an hour from here on.
    Timer.all.clear()
    MACHINE.resets = 0
    on_chip("esp8266", board.watchdog, True)
    tick(359)
    harness.equal((MACHINE.resets, len(Timer.all)), (0, 1))
    tick(1)
    harness.equal(MACHINE.resets, 1)


def test_the_watchdog_of_an_esp32():
    feed = on_chip("esp32", board.watchdog)
    harness.equal(MACHINE.patience_ms, board.WDT_MS)
    before = Dog.fed
    feed()
    harness.equal(Dog.fed, before + 1)


def test_a_restart_says_why_once():
    for name, cause in (("esp32", Machine.HARD_RESET), ("esp8266", Machine.SOFT_RESET)):
        MACHINE.cause, MACHINE.resets = cause, 0
        on_chip(name, board.watchdog)
        on_chip(name, board.reset, b"memory")
        harness.equal((MACHINE.resets, on_chip(name, board.reset_cause)), (1, "memory"))
        on_chip(name, board.watchdog)
        on_chip(name, board.reset)
        harness.equal(on_chip(name, board.reset_cause), "hard" if name == "esp32" else "soft")
    Rtc.kept = b""


loading.keep()
loading._kept = [name for name in loading._kept if not name.startswith("firmware.board")]
harness.run(globals())
