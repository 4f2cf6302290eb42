# The time of day: from the RTC at boot, from NTP servers later. On demand; what has to be kept is
# in the clock (core/timing.py), and the last good time in the settings' state. docs/security.md
# says what is believed; `floor` is the build time. Answers in a row that agree overrule the last
# good time: one wrong server must not lock the board out for ever.

from micropython import const

from firmware.core.timing import pause_ms

_SYNC_S = const(21_600)  # 20 ppm of a crystal are half a second then; also how often it is saved
_RETRY_MS = const(2_000)  # the longest pause after the first failure; doubles
_RETRY_MAX_MS = const(300_000)  # while there is no time at all
_AGAIN_MAX_MS = const(3_600_000)  # when there is: asking holds up the loop
_AGREE = const(3)
_AGREE_S = const(120)  # answers agree when they put the boot at the same time, give or take this
_LIFE_S = const(473_040_000)  # nothing is believed that is 15 years beyond the build


def take_rtc(clock, s2000, settings, floor, log):
    # Once, at boot. Only a clock that was set before can be past the last good time.
    if _good(settings, floor) <= s2000 <= floor + _LIFE_S:
        clock.offset, clock.source = s2000 - clock.s, "rtc"
        log("clock: rtc kept the time")


def ask(clock, settings, servers, floor, board, random, log):
    # Asks one server, and sets clock.ask_s for the next time. Blocks as long as ntp_s2000() does.
    try:
        s2000 = board.ntp_s2000(servers[0])
        problem = "{} not believed".format(s2000)
    except (OSError, ValueError, IndexError, TypeError) as e:
        s2000, problem = 0, "no answer, {}".format(e)
    clock.step()  # the answer is of now, seconds after the question
    offset, good = s2000 - clock.s, _good(settings, floor)
    if floor <= s2000 <= floor + _LIFE_S:
        agreeing = [old for old in clock.rejected if abs(old - offset) <= _AGREE_S] + [offset]
        if s2000 >= good or len(agreeing) >= _AGREE:
            log("clock: {} s2000 from {}".format(s2000, servers[0]))
            clock.offset, clock.source, clock.failures, clock.rejected = offset, "ntp", 0, ()
            clock.ask_s = clock.s + _SYNC_S
            board.set_rtc(s2000)
            if not 0 <= s2000 - good < _SYNC_S:
                settings.note("clock", s2000)
            return
        clock.rejected = agreeing
    log("clock: {}: {}".format(servers[0], problem))
    servers.append(servers.pop(0))
    clock.failures += 1
    most_ms = _RETRY_MAX_MS if clock.offset is None else _AGAIN_MAX_MS
    clock.ask_s = clock.s + (pause_ms(random, clock.failures, _RETRY_MS, most_ms) + 999) // 1000


def _good(settings, floor):
    # The time that it must be by now: the last good one on flash, if that is possible at all.
    s2000 = settings.state.get("clock", 0)
    return s2000 if floor <= s2000 <= floor + _LIFE_S else floor
