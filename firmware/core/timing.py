# Time that passes, on the millisecond ticks of a board: they wrap at 2^30, and differences hold for
# 2^29 ms, 6.2 days. What takes longer than minutes is counted in `clock.s`, the seconds since boot
# (net/clock.py), a plain number that does not wrap.


class Deadline:
    # Good for waits of up to a day; one that was seen to be over stays over.
    def __init__(self, clock):
        self._clock = clock  # now(), diff(a, b): milliseconds, safe across the wrap
        self._start = self._wait_ms = 0
        self.over = True

    def start(self, wait_ms):
        self._start = self._clock.now()
        self._wait_ms = wait_ms
        self.over = False

    def again(self, wait_ms):
        # From where the last wait ended, in whole waits: lateness does not add up, and turns
        # missed while the board was busy are skipped.
        now = self._clock.now()
        late_ms = self._clock.diff(now, self._start) - self._wait_ms
        self._start = now - late_ms % wait_ms
        self._wait_ms = wait_ms
        self.over = False

    def left_ms(self):
        if not self.over:
            # Nobody may have looked for days: then the start seems to lie in the future.
            age_ms = self._clock.diff(self._clock.now(), self._start)
            if 0 <= age_ms < self._wait_ms:
                return self._wait_ms - age_ms
            self.over = True
        return 0


def pause_ms(random, failures, base_ms, cap_ms, floor_ms=0):
    # How long to wait after so many failures in a row (1 and up): full jitter under a ceiling
    # that doubles, so that boards do not reconnect in lockstep. Spread evenly from floor to
    # ceiling: cutting low draws off at the floor would gather the boards there.
    ceiling_ms = min(cap_ms, base_ms << min(failures - 1, 12))
    return floor_ms + random(ceiling_ms - floor_ms + 1)
