# What the hardware says, in the words of the rest of the firmware. machine, network and ntptime
# are stand-ins that behave as the ports' own sources say (ports/esp32, ports/esp8266).

import sys
import time

import harness

EPOCH = 946684800 if time.gmtime(0)[0] == 1970 else 0


class Machine:
    # Numbers of ports/esp8266/modmachine.c and of the SDK's user_interface.h.
    PWRON_RESET = 0
    WDT_RESET = 1
    SOFT_RESET = 4
    DEEPSLEEP_RESET = 5
    HARD_RESET = 6

    def __init__(self):
        self.cause = 0
        self.resets = 0
        self.Timer = Timer
        self.RTC = Rtc

    def reset(self):
        self.resets += 1

    def reset_cause(self):
        return self.cause

    def WDT(self, timeout):
        self.patience_ms = timeout


class Rtc:
    kept = b""

    def memory(self, data=None):
        if data is None:
            return Rtc.kept
        Rtc.kept = data


class Timer:
    PERIODIC = 1
    last = None
    knows_hard = True  # MicroPython >= 1.27

    def __init__(self, ident):
        Timer.last = self

    def init(self, *, period, mode, callback, **more):
        if more and not Timer.knows_hard:
            raise TypeError("extra keyword arguments given")
        self.hard = more.get("hard", False)
        self.callback = callback


class Network:
    STA_IF, AP_IF = 0, 1

    def __init__(self):
        self.on = {0: False, 1: True}  # a fresh ESP8266 is an access point

    def WLAN(self, ident):
        return Interface(self.on, ident)


class Interface:
    def __init__(self, on, ident):
        self._on = on
        self._ident = ident

    def active(self, on=None):
        if on is None:
            return self._on[self._ident]
        self._on[self._ident] = on


class Ntp:
    answer = 0

    def time(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer + EPOCH


MACHINE, NETWORK, NTP = Machine(), Network(), Ntp()
sys.modules["machine"], sys.modules["network"] = MACHINE, NETWORK
sys.modules["ntptime"] = NTP

from firmware import board  # noqa: E402


def on_chip(name, call, *args):
    before, board.CHIP = board.CHIP, name
    try:
        return call(*args)
    finally:
        board.CHIP = before


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


def test_the_cause_of_a_reset():
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
    harness.equal(on_chip("esp32", board.reset_cause), "unknown 3")


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
    on_chip("esp32", board.stopped)
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


def test_the_time_outlives_a_reset_of_an_esp8266():
    on_chip("esp8266", board.reset)
    now = int(time.time()) - EPOCH
    assert now <= on_chip("esp8266", board.rtc_s2000) <= now + 2
    on_chip("esp8266", board.watchdog)  # this run has begun: what is there is no time any more
    harness.equal(on_chip("esp8266", board.rtc_s2000), 0)
    Rtc.kept = b"t\xff\xff"
    harness.equal(on_chip("esp8266", board.rtc_s2000), 0)
    assert now <= on_chip("esp32", board.rtc_s2000) <= now + 2


def test_no_access_point_with_a_password_everybody_knows():
    NETWORK.on[1] = True
    on_chip("esp8266", board.wlan)
    harness.equal(NETWORK.on[1], False)


def test_the_watchdog_of_an_esp8266_bites():
    for knows_hard in (True, False):
        Timer.knows_hard = knows_hard
        MACHINE.resets = 0
        Rtc.kept = b""
        dog = on_chip("esp8266", board.watchdog)
        harness.equal(Timer.last.hard, knows_hard)
        for _ in range(5):
            Timer.last.callback(Timer.last)
        dog.feed()
        for _ in range(board.WDT_MS // 10000 - 1):
            Timer.last.callback(Timer.last)
        harness.equal(MACHINE.resets, 0)
        Timer.last.callback(Timer.last)
        harness.equal(MACHINE.resets, 1)
        harness.equal(on_chip("esp8266", board.reset_cause), "wdt")


def test_the_repl_of_an_esp8266_has_an_hour():
    MACHINE.resets = 0
    on_chip("esp8266", board.watchdog)
    on_chip("esp8266", board.stopped)
    for _ in range(359):
        Timer.last.callback(Timer.last)
    harness.equal(MACHINE.resets, 0)
    Timer.last.callback(Timer.last)
    harness.equal(MACHINE.resets, 1)


def test_the_watchdog_outlasts_the_longest_pass():
    # One pass may resolve two names, for NTP and for the broker. lwIP asks each of up to three
    # servers for 7 s (1 + 1 + 2 + 3, core/ipv4/dns.c), and once more for an IPv6 address.
    from firmware.net.wire import TCP_MS

    name_ms = 2 * 3 * 7000
    assert board.WDT_MS >= 2 * name_ms + 2000 + 3000 + TCP_MS, board.WDT_MS


harness.run(globals())
