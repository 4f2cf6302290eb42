# The time of day: from the RTC at boot, then from NTP servers, and from AWS. On demand; what has
# to be kept is in the clock (core/timing.py), and the last good time in the settings' state.
# `floor` is the build time. docs/security.md says what is believed: what contradicts the time that
# is known only when another server says the same, as one wrong server must not put it wrong;
# several answers overrule the last good time, as that must not lock the board out for ever. What
# AWS has set, or confirmed, in this boot ("aws") counts more than they do, where it is verified.

import socket
from micropython import const

from firmware.core.timing import pause_ms

_SYNC_S = const(21_600)  # 20 ppm of a crystal are half a second then; also how often it is saved
_RETRY_MS = const(2_000)  # the longest pause after the first failure; doubles
_RETRY_MAX_MS = const(300_000)  # while there is no time at all
_AGAIN_MAX_MS = const(3_600_000)  # when there is: asking holds up the loop
_WAIT_MS = const(2_000)  # for an answer
_NEAR_S = const(5)  # answers agree within that, and 200 ppm of the time since the clock was set
_AWS_S = const(60)  # AWS's time wins where it differs by more
_ANSWER_S = const(10)  # over the RTC's already then: so long it may be on the way
_RTC_S = const(600)  # what an RTC may be off
_LIFE_S = const(473_040_000)  # nothing is believed that is 15 years beyond the build


def take_rtc(clock, s2000, settings, floor, log):
    # Only a clock that was set before can be past the last good time.
    if good(settings, floor) <= s2000 <= floor + _LIFE_S:
        clock.offset, clock.source = s2000 - clock.s, "rtc"
        log("clock: rtc kept the time")


def ask(clock, settings, floor, board, log, verified, servers, random):
    # Asks the server whose turn it is, and sets clock.ask_s for the next time. Blocks for the
    # name, and as long as query() does.
    server = servers.pop(0)
    servers.append(server)
    try:
        s2000 = query(server, clock, random)
        problem = "a time that cannot be, not believed"
    except Exception as e:  # whatever a name server or a server sends
        s2000, problem = 0, "no answer, {}".format(e)
    clock.step()  # the answer is of now, seconds after the question
    known = clock.offset is not None
    if floor <= s2000 <= floor + _LIFE_S:
        problem = board.date(s2000) + " not believed"
        trusted = verified and clock.source == "aws"
        if _believed(clock, server, s2000, servers, good(settings, floor), trusted):
            log("clock: {} from {}".format(board.date(s2000), server))
            _set(clock, settings, s2000, "aws" if trusted else "ntp", floor, board)
            return
        if known and len(clock.rejected) == 1:
            clock.failures = 0  # soon another one
    log("clock: {}: {}".format(server, problem))
    clock.failures += 1
    most_ms = _AGAIN_MAX_MS if known else _RETRY_MAX_MS
    clock.ask_s = clock.s + (pause_ms(random, clock.failures, _RETRY_MS, most_ms) + 999) // 1000


def _believed(clock, server, s2000, servers, good_s2000, trusted):
    # Else it is kept, for others to agree with.
    offset, source = s2000 - clock.s, clock.source
    near_s = _NEAR_S + (clock.s - clock.since_s) // 5000
    apart_s = 0 if clock.offset is None else abs(offset - clock.offset)
    fits = apart_s <= near_s and source != "dropped"
    if source in (None, "rtc"):
        fits = apart_s <= _RTC_S and s2000 >= good_s2000
    if fits:
        return True
    if trusted and apart_s > near_s + _AWS_S:
        return False
    agree = [old for old in clock.rejected if abs(old[1] - offset) <= near_s][-2:]
    clock.rejected = agree + [(server, offset)]
    several = len({name for name, _ in clock.rejected}) > 1
    if source is None:
        return len(clock.rejected) > 2 and (several or len(set(servers)) == 1)
    return several


def heard(clock, settings, floor, board, log, verified):
    # What AWS has answered in our session (core/shadow.py): Unix seconds, and when that was. Where
    # the server is verified it wins over whatever is known; else it is better than nothing.
    (unix_s, s), clock.heard = clock.heard, None
    if type(unix_s) is not int:
        return
    offset = unix_s - 946_684_800 - s
    apart_s = None if clock.offset is None else offset - clock.offset
    most_s = _ANSWER_S if clock.source == "rtc" else _AWS_S
    wins = apart_s is None or (verified and abs(apart_s) > most_s)
    if wins and floor <= offset + s <= floor + _LIFE_S:
        log("clock: {} from aws".format(board.date(offset + clock.s)))
        if apart_s:
            log("clock: that is {} s from what {} said".format(apart_s, clock.source))
        _set(clock, settings, offset + clock.s, "aws", floor, board)
    elif verified and not wins:
        clock.source = "aws"


def _set(clock, settings, s2000, source, floor, board):
    clock.offset, clock.source, clock.failures, clock.rejected = s2000 - clock.s, source, 0, ()
    clock.since_s, clock.ask_s = clock.s, clock.s + _SYNC_S
    board.set_rtc(s2000)
    if not 0 <= s2000 - good(settings, floor) < _SYNC_S:
        settings.note("clock", s2000)


def good(settings, floor):
    # The time that it must be by now: the last good one on flash, as config.py has checked it.
    return max(floor, settings.state.get("clock", 0))


def query(host, clock, random):
    # One question of SNTP (RFC 4330), not by ntptime: it hides what stands in the answer besides
    # the time. Whoever cannot see the question cannot forge an answer: they do not know the
    # transmit timestamp, 64 random bits.
    question = bytearray(48)
    question[0] = 0x23  # version 4, client
    for i in range(40, 48):
        question[i] = random(256)
    found = socket.getaddrinfo(host, 123, socket.AF_INET)
    address = next(info[-1] for info in found if info[-1])  # an ESP32 gives None for IPv6
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.settimeout(_WAIT_MS // 1000)
        udp.sendto(question, address)
        began = clock.now()
        while clock.diff(clock.now(), began) < _WAIT_MS:
            got, sender = udp.recvfrom(48)
            mode, echo = got and got[0] & 7, got[24:32]
            if sender == address and len(got) == 48 and mode == 4 and echo == question[40:]:
                # Stratum 0 is a kiss of death, 16 and leap indicator 3 say that it has no time.
                s1900 = int.from_bytes(got[40:44], "big")
                if 1 <= got[1] <= 15 and got[0] >> 6 != 3 and s1900:
                    return (s1900 + 1_139_293_696) & 0xFFFF_FFFF  # starts anew in 2036
                raise ValueError("stratum {}, not synchronised".format(got[1]))
    finally:
        udp.close()
    raise ValueError("none that is right")
