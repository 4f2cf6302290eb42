# Ticks for what is short, seconds since boot for what is long, and the time of day as an offset to
# those. A board's ticks, in ms, wrap at 2^30: differences hold for 6.2 days. `s` does not wrap.


class Clock:
    # offset + s: seconds since 2000-01-01 UTC, whatever the epoch of the port. The RTC takes no
    # part once it runs: an ESP8266's is off by minutes a day, the ticks by 20 ppm.
    def __init__(self, now, diff):
        self.now = now  # time.ticks_ms and time.ticks_diff, or what behaves alike
        self.diff = diff
        self._start = now()  # of the second that is running
        self.s = 0
        # The rest is net/clock.py's, which is loaded to ask for the time.
        self.offset = None  # s2000 at boot; None while no time is believed
        self.source = None  # of the offset: "rtc", "ntp", "aws"; or it was "dropped" (failure.py)
        self.since_s = 0  # value of `s` when an answer was last believed
        self.ask_s = 0  # value of `s` at which the next server is asked
        self.failures = 0  # servers in a row that gave no believable answer
        self.rejected = ()  # (server, offset): answers that nobody has confirmed yet
        self.heard = None  # (Unix seconds in an answer of AWS, value of `s`), not looked at yet
        self.provisional = None  # s2000 for TLS while no time is known (net/provisional.py)

    def step(self):
        # In every pass of the loop: the ticks must not wrap unseen.
        now = self.now()
        ms = self.diff(now, self._start)
        self._start = now - ms % 1000
        self.s += ms // 1000

    def left_ms(self, s):
        # Until `s` has that value.
        return max(0, (s - self.s) * 1000 - self.diff(self.now(), self._start))


class Deadline:
    # Good for waits of up to a day; one that was seen to be over stays over.
    def __init__(self, clock):
        self._clock = clock
        self.start(0)

    def start(self, wait_ms):
        self._start = self._clock.now()
        self.wait_ms = wait_ms

    def left_ms(self):
        age_ms = self._clock.diff(self._clock.now(), self._start)
        # Nobody may have looked for days: then the start seems to lie in the future.
        if not 0 <= age_ms < self.wait_ms:
            self.wait_ms = age_ms = 0
        return self.wait_ms - age_ms


def pause_ms(random, failures, base_ms, limit_ms):
    # Jitter, so that boards do not reconnect in lockstep, evenly up to a ceiling that doubles.
    floor_ms, ceiling_ms = base_ms // 2, min(limit_ms, base_ms << min(failures - 1, 12))
    return floor_ms + random(ceiling_ms - floor_ms + 1)
