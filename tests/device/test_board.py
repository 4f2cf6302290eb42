# What the hardware says, in the words of the rest of the firmware.

import gc
import time

import harness
from fakes_machine import EPOCH, MACHINE, NETWORK, NTP, Rtc, board, on_chip
from firmware import chip


def test_an_ntp_answer():
    NTP.answer = 848534400
    harness.equal(board.ntp_s2000("a.pool"), 848534400)
    harness.equal((NTP.host, NTP.timeout), ("a.pool", 2))


def test_an_answer_that_is_no_time_is_an_oserror():
    # A packet too short for struct.unpack, an IPv6 address for an IPv4 socket (ports/esp32's
    # sendto), an empty list of addresses: whatever ntptime raises must not end the program.
    for error in (ValueError("buffer too small"), IndexError(), OSError(110)):
        NTP.answer = error
        harness.raises(OSError, board.ntp_s2000, "a.pool")


def test_a_kiss_of_death_is_no_time():
    # Its transmit timestamp is ours, 0, which ntptime takes for the second one of era 1.
    NTP.answer = (1 << 32) - 3155673600
    harness.raises(OSError, board.ntp_s2000, "a.pool")


def test_no_access_point_with_a_password_everybody_knows():
    NETWORK.on[1] = True
    on_chip("esp8266", board.wlan)
    harness.equal(NETWORK.on[1], False)


def test_the_rtc_is_set_in_the_epoch_of_the_port():
    board.set_rtc(848534400)  # 2026-11-21 00:00:00, a Saturday
    harness.equal(Rtc.set_to[:3] + Rtc.set_to[4:], (2026, 11, 21, 0, 0, 0, 0))


def test_the_strength_of_the_signal():
    wlan = board.wlan()
    harness.equal(board.rssi(wlan), -61)
    for error in (OSError(12), RuntimeError("Wifi Not Connected"), ValueError("unknown status")):
        wlan.error = error
        harness.equal(board.rssi(wlan), None)  # gone in just that moment
    wlan.error, wlan.joined = None, False
    harness.equal(board.rssi(wlan), None)


def test_what_memory_there_is():
    harness.equal(board.idf_heap_bytes(), (48_000, 30_000))
    assert 0 < board.free_heap_bytes() < 1 << 20


def test_the_heap_of_python_without_what_idf_could_add():
    # On an ESP32 mem_free() counts ESP-IDF's largest piece, which is none of Python's yet.
    have = gc.mem_alloc() + gc.mem_free()
    harness.equal(on_chip("esp32", board.heap_bytes), have - 30_000)
    harness.equal(on_chip("esp8266", board.heap_bytes), have)


def test_random_numbers():
    seen = {chip.random(6) for _ in range(200)}
    harness.equal(seen, {0, 1, 2, 3, 4, 5})
    harness.equal(chip.random(1), 0)
    assert max(chip.random(1 << 24) for _ in range(50)) >= 1 << 20


def test_what_is_said_of_the_board():
    MACHINE.unique_id = lambda: b"\x0a\xff\x00"
    harness.equal(board.unique_id(), "0aff00")
    version = board.micropython_version().split(".")
    assert len(version) == 3 and int(version[0]) >= 1 and int(version[1]) >= 22, version


def test_the_time_outlives_a_reset_of_an_esp8266():
    now = int(time.time()) - EPOCH
    for why in (board.MEMORY, b""):
        on_chip("esp8266", board.reset, why)
        assert now <= on_chip("esp8266", board.rtc_s2000) <= now + 2
    on_chip("esp8266", board.watchdog)  # this run has begun: what is there is no time any more
    harness.equal(on_chip("esp8266", board.rtc_s2000), 0)
    Rtc.kept = b"t\xff\xff"
    harness.equal(on_chip("esp8266", board.rtc_s2000), 0)
    assert now <= on_chip("esp32", board.rtc_s2000) <= now + 2


harness.run(globals())
