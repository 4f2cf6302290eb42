# heap: 640wk
# When a board that sleeps is done, what it plans, and a week of it: no turn is doubled or skipped.

import sys

import firmware
import harness
from fakes_sleep import CHIP, LINES, START, Sampler, Slept, app, net
from firmware import power, wake
from firmware.core.timing import Clock

HOUR_S, DAY_S = 3600, 86_400


def values(**more):
    made = {"interval_s": 600, "batch": 6, "sensor": "auto"}
    made.update(more)
    return made


KEPT = power.attach, power._back, power._take_up, power.Power.__init__


def attach(made):
    # As after an import.
    power.attach, power._back, power._take_up, power.Power.__init__ = KEPT
    step = power.attach(made, [{"outbox_bytes": 98304}])
    assert not hasattr(power, "attach") and not hasattr(power, "_take_up")
    return step


def on(settings, cause="deepsleep", **parts):
    made = app(settings, cause)
    for name in parts:
        setattr(made, name, parts[name])
    step = attach(made)
    return made, step


def up(made):
    made.connection.up, made.shadow.birth_s = True, 1 << 28


def stand_in(kept, now_ms):
    clock = wake.aligned(Clock(CHIP.now, lambda a, b: a - b), now_ms)
    clock.offset = now_ms // 1000
    made = Sampler(clock, kept["values"])
    wake.restore(made, kept)
    return made


wake._sampler = stand_in


def first(ppm=0, settings=None):
    # Power-on, with a network: asleep after its window.
    CHIP.fresh(ppm)
    CHIP.boot()
    del Sampler.taken[:]
    del LINES[:]
    made, step = on(settings or values(), "pwron")
    connect(made, step, "ntp")


def connect(made, step, source=None):
    clock = made.clock
    if clock.offset is None and made.rtc_s2000 >= START:  # upkeep.take_rtc()
        clock.offset, clock.source = made.rtc_s2000 - clock.s, "rtc"
    CHIP.pass_ms(2_000)
    clock.step()
    if source:
        # As net/clock.py has it: whole seconds, and it sets the RTC.
        s2000 = CHIP.true_ms // 1000 + CHIP.jump_s
        clock.offset, clock.source, clock.since_s = s2000 - clock.s, source, clock.s
        CHIP.datetime(s2000)
    up(made)
    if made.sampler.due:
        made.sampler.step()
    while True:  # until it sleeps
        clock.step()
        made.connection.wait(1000)
        step()
        CHIP.pass_ms(500)


def test_at_power_on_a_person_has_time():
    CHIP.fresh(0)
    CHIP.boot()
    made, step = on(values(), "pwron")
    harness.raises(Slept, connect, made, step, "ntp")
    assert 20_000 <= CHIP.awake_ms < 24_000, CHIP.awake_ms
    assert any(["Ctrl-C" in line for line in LINES])
    kept = wake.load()
    harness.equal((kept["left"], kept["fails"], kept["sync"] > START), (6, 0, True))


def test_after_a_wake_it_sleeps_as_soon_as_it_is_done():
    harness.raises(Slept, first)
    wake_until_connect()
    made, step = on(values())
    harness.raises(Slept, connect, made, step)
    assert CHIP.awake_ms < 4_000, CHIP.awake_ms
    harness.equal(len(Sampler.taken), 7)  # one at power-on, six at wakes; none more in the connect


def wake_until_connect():
    while True:
        CHIP.boot()
        try:
            wake.run()
            return
        except Slept:
            pass


def test_it_is_not_done_while_something_is_owed():
    harness.raises(Slept, first)
    wake_until_connect()
    made, step = on(values())
    up(made)
    made.clock.offset = made.rtc_s2000
    calm = [(made.outbox, "waiting", 0), (made.session, "used", 0), (made.session, "owed", b"")]
    calm += [(made.session, "doubt", False), (made.shadow, "pending", False)]
    calm += [(made.shadow, "update_due", False), (made.shadow, "get_due", False)]
    calm += [(made.shadow, "out", None), (made.shadow, "message", None)]
    calm += [(made.shadow, "desired", None), (made, "runner", None), (made.clock, "heard", None)]
    calm += [(made.shadow, "birth_s", 1 << 28), (made.connection, "up", True)]
    calm += [(made.sampler, "due", False), (made.sampler, "kept", [])]
    for thing, name, good in calm:
        setattr(thing, name, (0 if good and not isinstance(good, bool) else not good))
        made.connection.wait(1000)
        setattr(thing, name, good)
    harness.raises(Slept, made.connection.wait, 1000)


def fails(made, step):
    made.clock.offset, made.clock.source = made.rtc_s2000 - made.clock.s, "rtc"
    while True:
        CHIP.pass_ms(1000)
        made.clock.step()
        step()


def test_without_a_network_the_pauses_grow():
    harness.raises(Slept, first)
    taken, pauses = len(Sampler.taken), []
    for _ in range(9):
        wake_until_connect()
        pauses.append(len(Sampler.taken) - taken)
        taken = len(Sampler.taken)
        made, step = on(values(), ssid=None)
        harness.raises(Slept, fails, made, step)
        assert 45_000 <= CHIP.awake_ms < 50_000, CHIP.awake_ms
    harness.equal(pauses, [6, 6, 12, 24, 48, 96, 144, 144, 144])  # readings; at most a day
    wake_until_connect()
    made, step = on(values())
    harness.raises(Slept, connect, made, step)
    kept = wake.load()
    harness.equal((kept["left"], kept["fails"]), (6, 0))
    spaces = [b - a for a, b in zip(Sampler.taken, Sampler.taken[1:])]
    assert min(spaces[1:]) >= 599 and max(spaces[1:]) <= 601, spaces


def test_a_session_that_fails_three_times_or_lasts_too_long_is_a_failure():
    for failures, least_s, most_s in ((3, 0, 3), (1, 89, 95)):
        harness.raises(Slept, first)
        wake_until_connect()
        made, step = on(values())
        made.ssid, made.connection.failures = "barn", [failures, 0, 0]
        harness.raises(Slept, again, made, step)
        assert least_s * 1000 <= CHIP.awake_ms <= most_s * 1000, CHIP.awake_ms
        harness.equal(wake.load()["fails"], 1)


def test_an_alarm_that_ends_sessions_is_dropped_before_that_is_a_failure():
    harness.raises(Slept, first)
    wake_until_connect()
    made, step = on(values())
    made.clock.offset, made.ssid, made.alarmed = made.rtc_s2000, "barn", -7

    def check(what):  # upkeep.py
        harness.equal(what, "check")
        made.alarmed, made.connection.failures = 7, [0, 0, 0]

    for failures in (1, 2):
        made.connection.failures = [failures, 0, 0]
        step()
        harness.equal(made.alarmed, -7)
    made.connection.failures, made.upkeep = [3, 0, 0], check
    step()
    harness.equal(made.alarmed, 7)
    made.connection.failures, made.upkeep = [3, 0, 0], made.calls.append  # it was something else
    harness.raises(Slept, step)


def again(made, step):
    made.clock.offset, made.clock.source = made.rtc_s2000 - made.clock.s, "rtc"
    while True:
        CHIP.pass_ms(1000)
        made.clock.step()
        made.ssid = "barn"
        step()


def test_a_reading_that_is_being_taken_is_not_slept_over():
    # Nor does it wait for ever: one that fails has had its tries.
    for takes_s, failures, most_s in ((20, 0, 25), (1 << 20, 0, 185), (1 << 20, 1, 5)):
        harness.raises(Slept, first)
        wake_until_connect()
        made, step = on(values())
        made.connection.failures, made.sampler.failures = [3, 0, 0], failures
        made.sampler.due, made.ssid = True, "barn"
        made.clock.offset = made.rtc_s2000
        harness.raises(Slept, taken, made, step, takes_s)
        assert CHIP.awake_ms <= most_s * 1000, CHIP.awake_ms
        harness.equal(made.sampler.due, takes_s > 20)


def taken(made, step, takes_s):
    while True:
        CHIP.pass_ms(1000)
        made.clock.step()
        made.sampler.due = made.clock.s < takes_s
        step()


def test_many_readings_may_take_their_time():
    harness.raises(Slept, first)
    wake_until_connect()
    made, step = on(values())
    made.clock.offset = made.rtc_s2000
    up(made)
    made.outbox.waiting = 300
    while made.outbox.waiting:
        CHIP.pass_ms(1000)
        made.clock.step()
        made.outbox.waiting -= 1
        step()
    assert CHIP.now() > 300_000
    harness.raises(Slept, made.connection.wait, 1000)
    harness.equal(wake.load()["fails"], 0)


def test_an_alarm_that_did_not_get_away_is_tried_sooner():
    harness.raises(Slept, first)
    kept = wake.load()
    kept["urgent"], kept["left"], kept["read"] = True, 0, True
    pauses = []
    for _ in range(4):
        wake.save(kept)
        made, step = on(values(), ssid=None)
        harness.raises(Slept, fails, made, step)
        kept = wake.load()
        pauses.append(kept["left"])
        CHIP.boot()
        wake.arrive(kept)
        kept["next"] = made.clock.offset + made.clock.s + 600
    harness.equal(pauses, [1, 2, 4, 8])


def test_in_safe_mode_it_sleeps_half_an_hour_and_tries_again():
    class Crash:
        STABLE_S = 600
        calls = []

        def alive(self, s, log):
            self.calls.append(s)

    sys.modules["firmware.crash"] = firmware.crash = Crash()
    for outbox in (None, 0):
        CHIP.fresh(0)
        CHIP.boot()
        made, step = on(values(), "pwron", safe=2, outbox=outbox)
        harness.raises(Slept, fails, made, step)
        assert 1_790_000 < CHIP.asked[-1] <= 1_800_000
        harness.equal(wake.load()["left"], 0)
    harness.equal(Crash.calls, [600, 600])
    del sys.modules["firmware.crash"]


def test_the_birth_message_and_the_will_say_when_it_wakes():
    harness.raises(Slept, first)
    wake_until_connect()
    made, step = on(values())
    made.clock.offset = made.rtc_s2000
    next_s = START + 946_684_800 + 7 * 600  # the seventh wake reads, and is on the grid
    info = made.shadow.facts(True)
    harness.equal(info["firmware"], "1")
    assert abs(info["asleep_until"] - next_s - 5 * 600) <= 2, info
    assert abs(info["last_reading"] - next_s + 600) <= 2, info  # taken before it connected
    harness.equal(made.shadow.facts(False), {"firmware": "1"})
    topic, text, retain, qos = made.will
    assert text.startswith(b'{"online": false, "asleep_until": 17') and retain, text
    made.connection.up, made.shadow.out = True, (b"topic", "text", True)
    step()
    harness.equal(net.packets.sent[-1], (b"topic", "text", -4, True))
    harness.equal(made.shadow.out, None)


def test_an_unknown_time_and_another_setting_are_told_too():
    harness.raises(Slept, first)
    wake_until_connect()
    made, step = on(values())
    info = made.shadow.facts(True)
    harness.equal(info, {"firmware": "1", "asleep_until": None, "last_reading": None})
    made.clock.offset, made.sampler.fault = made.rtc_s2000, "crc"
    up(made)
    told = made.shadow.facts(True)
    assert "last_reading" not in told  # it failed
    step()
    harness.equal(made.shadow.birth_s, 1 << 28)
    made.settings.values["interval_s"] = 900
    step()
    harness.equal(made.shadow.birth_s, 0)  # the birth message again: it said another time
    harness.equal(made.shadow.facts(True)["asleep_until"] - told["asleep_until"], 6 * 300)
    made.safe = 1
    harness.equal(made.shadow.facts(True)["asleep_until"] - told["asleep_until"], 1800 - 3600)


def test_without_the_time_an_alarm_does_not_begin_anew():
    harness.raises(Slept, first)
    kept = wake.load()
    kept["sync"], kept["extra"], kept["last"] = 0, [[1, 0, 0, 0, 0], None, 0], [(1, 2, "crc", 3)]
    wake.save(kept)
    made, step = on(values())
    harness.equal(list(made.sampler.extra.alarms), [1, 0, 0, 0, 0])
    harness.equal((made.sampler.fault, made.sampler.due), ("crc", True))


def test_all_that_waits_goes_in_one_flight():
    CHIP.fresh(0)
    CHIP.boot()
    made, _ = on(values(), "pwron")
    harness.equal((made.window, made.window_max), (24, 24))


def test_a_setting_on_trial_is_good_after_a_whole_connect():
    for trial, left in (({"interval_s": [None, False]}, None), ({"batch": [None, False]}, 1)):
        harness.raises(Slept, first)
        wake_until_connect()
        made = app(values())
        made.settings.state["trial"] = {"interval_s": [None, False]}
        step = attach(made)
        made.settings.state["trial"] = trial  # set in this connect
        harness.raises(Slept, connect, made, step)
        harness.equal(made.settings.state["trial"], trial if left else None)


def test_no_time_is_asked_for_that_is_known():
    harness.raises(Slept, first)
    wake_until_connect()
    made, step = on(values())
    harness.equal(made.clock.ask_s, 0)  # not yet known how fast the oscillator is
    harness.raises(Slept, connect, made, step, "ntp")
    wake_until_connect()
    made, step = on(values())
    assert 17_000 < made.clock.ask_s < 18_100, made.clock.ask_s


def week(ppm, lost=(), outages=(), jumps=()):
    # Readings of a week, batches of an hour. lost: days on which the RTC's memory goes. jumps: the
    # day from which on the servers are off by so much.
    harness.raises(Slept, first, ppm)
    lost, connects, end_ms = list(lost), 0, CHIP.true_ms + 7 * DAY_S * 1000
    while CHIP.true_ms < end_ms:
        if lost and CHIP.true_ms - START * 1000 > lost[0] * DAY_S * 1000:
            lost.pop(0)
            CHIP.kept, CHIP.rtc_ms = b"", 0
            CHIP.boot()
            made, step = on(values(), "pwron")
            harness.raises(Slept, connect, made, step, "ntp")
            continue
        CHIP.boot()
        try:
            wake.run()
        except Slept:
            continue
        day = (CHIP.true_ms - START * 1000) / 1000 / DAY_S
        out = any([start <= day < end for start, end in outages])
        CHIP.jump_s = sum([jump_s for start, jump_s in jumps if day >= start])
        made, step = on(values(), ssid=None if out else "barn")
        connects += 1
        if out:
            harness.raises(Slept, fails, made, step)
        else:
            ask = made.clock.ask_s <= 0
            harness.raises(Slept, connect, made, step, "ntp" if ask else None)
    return connects


def spaced(most_s, first=40):
    # Seconds between readings, as they say.
    spaces = [b - a for a, b in zip(Sampler.taken, Sampler.taken[1:])]
    wrong = [(i, s) for i, s in enumerate(spaces) if i >= first and abs(s - 600) > most_s]
    harness.equal(wrong, [])


def test_a_week_of_readings():
    harness.equal(week(0) in (167, 168), True)
    assert abs(len(Sampler.taken) - 1009) <= 1, len(Sampler.taken)
    spaced(2, 0)


def test_a_week_with_an_oscillator_that_is_off():
    for ppm in (30_000, -30_000):
        week(ppm)
        assert abs(len(Sampler.taken) - 1009) <= 1, len(Sampler.taken)
        spaced(8)
        assert abs(wake.load()["ppm"] + ppm * 1_000_000 // (1_000_000 + ppm)) < 700, wake.load()
        assert abs(CHIP.true_ms // 1000 - Sampler.taken[-1]) < 700


def test_a_week_with_outages():
    week(5_000, outages=((2, 2.5), (4, 4.2)))
    assert abs(len(Sampler.taken) - 1009) <= 2, len(Sampler.taken)
    spaced(30)


def test_a_week_in_which_the_memory_goes():
    week(10_000, lost=(1.3, 3.77))
    assert 1005 <= len(Sampler.taken) <= 1012, len(Sampler.taken)
    spaces = [b - a for a, b in zip(Sampler.taken, Sampler.taken[1:])]
    harness.equal(len([s for s in spaces[40:] if abs(s - 600) > 20]) <= 2, True)
    assert min(spaces) > 0


def test_a_week_in_which_the_time_of_the_servers_jumps():
    # What an oscillator cannot be is believed as the time, and no more than that. What it could be
    # spoils the pace of six hours.
    for ppm in (0, 20_000):
        for jump_s, odd in ((300, 2), (-300, 2), (1_800, 1), (-1_800, 1), (7_200, 1)):
            week(ppm, jumps=((3.1, jump_s),))
            spaces = [b - a for a, b in zip(Sampler.taken, Sampler.taken[1:])][40:]
            apart = [s - 600 for s in spaces if abs(s - 600) > 20]
            harness.equal(len(apart), odd)
            assert abs(apart[0] - jump_s) < 20 and abs(sum(apart) - jump_s * (2 - odd)) < 20, apart
            assert abs(wake.load()["ppm"] + ppm * 1_000_000 // (1_000_000 + ppm)) < 300
            now_s = (wake.rtc_ms() + wake.load()["fix"]) // 1000 - CHIP.jump_s
            assert abs(now_s - CHIP.true_ms // 1000) < 60
            assert abs(len(Sampler.taken) - 1009) <= 2, len(Sampler.taken)
