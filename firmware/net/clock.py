# The time of day. TLS cannot check a certificate without it, and a reading is worth nothing with a
# wrong one, so until a time is believed there is none: now_s() is None.
#
#   believed       an NTP answer, or the RTC when it survived the reset
#   not believed   below the build time, below the last good time on flash, or 15 years beyond the
#                  build. But three NTP answers in a row that agree overrule the last good time:
#                  one lying server must not lock the board out for ever.
#
# Seconds since 2000-01-01 UTC throughout, whatever the epoch of the port (board.py sees to that).
# Between answers the crystal counts, by the ticks; the RTC of an ESP8266 is off by minutes a day.
# step() asks at most one server and blocks for its timeout (board.ntp_s2000).

from micropython import const

_SYNC_MS = const(21_600_000)  # 6 h: 20 ppm of a crystal are half a second by then
_RETRY_MS = const(2_000)  # after no answer; doubles
_RETRY_MAX_MS = const(300_000)  # while there is no time at all
_AGAIN_MAX_MS = const(3_600_000)  # when there is: asking holds up the loop
_AGREE = const(3)
_AGREE_S = const(120)  # answers agree when they put us off by the same, give or take this
_SAVE_S = const(21_600)  # the last good time is written at most this often
_LIFE_S = const(473_040_000)


class WallClock:
    # ask(server) -> s2000 or OSError; rtc_s2000() -> s2000; set_rtc(s2000);
    # saved: load() -> s2000 or None, save(s2000); random(limit) -> 0..limit-1.
    def __init__(self, ask, rtc_s2000, set_rtc, saved, servers, floor_s2000, clock, random, log):
        self._ask = ask
        self._set_rtc = set_rtc
        self._saved = saved
        self._servers = servers
        self._floor = floor_s2000
        self._clock = clock
        self._random = random
        self._log = log
        self.source = None  # "ntp" or "rtc" once a time is believed
        self.failures = 0  # servers in a row that gave no believable answer
        self._server = 0  # which one to ask next
        self._good = saved.load() or 0
        if not floor_s2000 <= self._good <= floor_s2000 + _LIFE_S:
            self._good = 0
        self._doubted = 0  # answers in a row below _good that agree
        self._doubt = 0  # how far the last of them was from _now
        self._now = 0  # the time at _mark, less _rest_ms; counts from 0 while not believed
        self._rest_ms = 0
        self._mark = self._asked = clock.now()
        self._wait_ms = 0  # from _asked to the next question
        self._take_rtc(rtc_s2000())

    def now_s(self):
        # Whole seconds since 2000-01-01 UTC, or None.
        if self.source is None:
            return None
        self._advance()
        return self._now

    def step(self, online):
        # In every pass of the loop: the ticks must not wrap unseen.
        # After 6.2 days off line the last question seems to be in the future.
        self._advance()
        age_ms = self._clock.diff(self._clock.now(), self._asked)
        if not online or 0 <= age_ms < self._wait_ms:
            return
        server = self._servers[self._server]
        try:
            answer = self._ask(server)
        except OSError as e:
            self._failed("{}: no answer, errno {}".format(server, e.args[0]))
            return
        if self._believe(answer):
            self._synced(answer, server)
        else:
            self._failed("{}: {} not believed".format(server, answer))

    def _take_rtc(self, rtc):
        # Only a clock that was set before can be past the last good time.
        if max(self._floor, self._good) <= rtc <= self._floor + _LIFE_S:
            self._now = rtc
            self.source = "rtc"
            self._log("clock: rtc kept the time")

    def _believe(self, answer):
        if not self._floor <= answer <= self._floor + _LIFE_S:
            return False
        if answer >= self._good:
            self._doubted = 0
            return True
        self._advance()
        off = answer - self._now
        agrees = self._doubted and abs(off - self._doubt) <= _AGREE_S
        self._doubted = self._doubted + 1 if agrees else 1
        self._doubt = off
        return self._doubted >= _AGREE

    def _synced(self, answer, server):
        self._advance()
        if self.source == "ntp":
            self._log("clock: {} s2000, off by {} s".format(answer, self._now - answer))
        else:
            self._log("clock: {} s2000 from {}".format(answer, server))
        self.source = "ntp"
        self._now, self._rest_ms = answer, 0
        self._mark = self._clock.now()
        self._set_rtc(answer)
        self.failures = 0
        self._next_in(_SYNC_MS)
        if answer < self._good or answer - self._good >= _SAVE_S:
            self._good = answer
            self._save()

    def _save(self):
        try:
            self._saved.save(self._good)
        except OSError as e:
            self._log("clock: not saved, errno {}".format(e.args[0]))

    def _failed(self, why):
        self._log("clock: " + why)
        self._server = (self._server + 1) % len(self._servers)
        most_ms = _AGAIN_MAX_MS if self.source else _RETRY_MAX_MS
        wait_ms = min(_RETRY_MS << min(self.failures, 11), most_ms)
        self.failures += 1
        self._next_in(wait_ms // 2 + self._random(wait_ms // 2))

    def _next_in(self, wait_ms):
        self._asked = self._clock.now()
        self._wait_ms = wait_ms

    def _advance(self):
        now = self._clock.now()
        self._rest_ms += self._clock.diff(now, self._mark)
        self._mark = now
        self._now += self._rest_ms // 1000
        self._rest_ms %= 1000
