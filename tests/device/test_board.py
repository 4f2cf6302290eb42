# heap: 48wk
# What the hardware says, in the words of the rest of the firmware; why the board started, what it
# keeps across a restart, and the watchdog.

import sys
import time

import harness
from fakes_machine import EPOCH, MACHINE, NETWORK, Dog, Machine, Rtc, Timer, board, on_chip
from firmware import chip, loading, soft_watchdog


def test_no_access_point_with_a_password_everybody_knows():
    NETWORK.on[1] = True
    on_chip("esp8266", board.wlan)
    harness.equal(NETWORK.on[1], False)


def test_the_rtc_is_set_in_the_epoch_of_the_port():
    board.set_rtc(848534400)  # 2026-11-21 00:00:00, a Saturday
    harness.equal(Rtc.set_to[:3] + Rtc.set_to[4:], (2026, 11, 21, 0, 0, 0, 0))


def test_random_numbers():
    seen = {chip.random(6) for _ in range(200)}
    harness.equal(seen, {0, 1, 2, 3, 4, 5})
    harness.equal(chip.random(1), 0)
    assert max(chip.random(1 << 24) for _ in range(50)) >= 1 << 20


def test_the_voltage_of_the_battery():
    # Of a divider of 2 behind pin 34, and of 4.7 in front of the one input of an ESP8266.
    class Adc:
        ATTN_11DB = 3

        def __call__(self, pin, **more):
            self.asked = pin, more
            return self

        def read_uv(self):
            return 1_850_400

        def read_u16(self):
            return 52_429  # four fifths of a volt

    MACHINE.ADC, MACHINE.Pin = Adc(), lambda pin: "pin {}".format(pin)
    harness.equal(on_chip("esp32", board.battery_mv, 34, 2000), 3_700)
    harness.equal(MACHINE.ADC.asked, ("pin 34", {"atten": 3}))
    harness.equal(on_chip("esp8266", board.battery_mv, 0, 4700), 3_760)
    harness.equal(MACHINE.ADC.asked, (0, {}))


def test_a_date_for_the_log():
    harness.equal(board.date(848_571_003), "2026-11-21 10:10:03 UTC")
    harness.equal(board.date(0), "2000-01-01 00:00:00 UTC")


def test_the_time_outlives_a_reset_of_an_esp8266():
    now = int(time.time()) - EPOCH
    for why in (b"memory", b""):
        on_chip("esp8266", board.reset, why)
        assert now <= on_chip("esp8266", board.rtc_s2000) <= now + 2
    on_chip("esp8266", board.watchdog)  # this run has begun: what is there is no time any more
    harness.equal(on_chip("esp8266", board.rtc_s2000), 0)
    Rtc.kept = b"\xff\xff"
    harness.equal(on_chip("esp8266", board.rtc_s2000), 0)
    assert now <= on_chip("esp32", board.rtc_s2000) <= now + 2


def test_a_provisional_time_does_not_outlive_a_reset():
    MACHINE.cause = Machine.PWRON_RESET
    board.watchdog()
    running = Rtc.kept
    board.provisional_rtc(848534400)
    harness.equal(Rtc.set_to[:3], (2026, 11, 21))
    assert Rtc.kept != running
    harness.equal(board.reset_cause(), "pwron")  # a restart in between
    harness.equal((Rtc.set_to[:3], Rtc.kept), ((2000, 1, 1), running))
    board.provisional_rtc(848534400)
    board.provisional_rtc(0)
    harness.equal((Rtc.set_to[:3], Rtc.kept), ((2000, 1, 1), running))


def test_the_cause_of_a_reset():
    # An ESP8266 has no names for 2 and 3.
    Rtc.kept = b""
    names = "pwron wdt fault wdt soft deepsleep hard".split() + ["unknown 7"]
    for MACHINE.cause, name in enumerate(names):
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


def an_hour_is_left():
    # To a person at the REPL, from here on.
    tick(359)
    harness.equal((MACHINE.resets, len(Timer.all)), (0, 1))
    tick(1)
    harness.equal(MACHINE.resets, 1)


def test_the_repl_of_an_esp8266_has_an_hour():
    watching()
    on_chip("esp8266", board.watchdog, True)
    an_hour_is_left()
    # Also where there was no watchdog yet, as on an ESP32.
    Timer.all.clear()
    MACHINE.resets = 0
    on_chip("esp8266", board.watchdog, True)
    an_hour_is_left()


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
    an_hour_is_left()


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
