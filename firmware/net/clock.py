# All of the time: ticks for what is short, seconds since boot for what is long, and the time of
# day as an offset to those seconds. The ticks wrap at 2^30 ms; `s` does not. The RTC takes no part
# once it runs: an ESP8266's is off by minutes a day, the ticks by 20 ppm.
#
#   now_s() == offset + s       seconds since 2000-01-01 UTC, whatever the epoch of the port
#
# Which time is believed, and when it is asked for, is decided in ntp.py, loaded for that when
# `s` has reached `ask_s`.


class Clock:
    def __init__(self, now, diff):
        self.now = now  # time.ticks_ms and time.ticks_diff, or what behaves alike
        self.diff = diff
        self._start = now()  # of the second that is running
        self.s = 0
        self.offset = None  # s2000 at boot; None while no time is believed
        self.source = None  # of the offset: "rtc" or "ntp"
        self.ask_s = 0  # value of `s` at which the next server is asked
        self.failures = 0  # servers in a row that gave no believable answer
        self.rejected = ()  # offsets by the last answers that were older than the last good time

    def step(self):
        # In every pass of the loop: the ticks must not wrap unseen.
        now = self.now()
        ms = self.diff(now, self._start)
        if ms >= 1000:
            self._start = now - ms % 1000
            self.s += ms // 1000

    def now_s(self):
        return None if self.offset is None else self.offset + self.s
