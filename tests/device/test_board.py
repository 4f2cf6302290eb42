# What the hardware says, in the words of the rest of the firmware.

import time

import harness
from fakes_machine import EPOCH, NETWORK, Rtc, board, on_chip
from firmware import chip


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


harness.run(globals())
