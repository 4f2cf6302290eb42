# When something periodic is due, on the wrapping millisecond clock.
#
# The mark moves in whole intervals, so lateness does not add up; turns missed while the board
# was busy are skipped, not made up for. Differences of ticks hold for 2^29 ms, 6.2 days: an
# interval of a day is safe as long as due() is asked once in five days, and the watchdog sees
# to that. Nothing here allocates.


class Schedule:
    def __init__(self, clock, interval_s):
        self._clock = clock  # now(), diff(a, b): milliseconds, safe across the wrap
        self._interval_ms = interval_s * 1000
        self._mark = clock.now()  # when the last turn should have been
        self._at_once = True  # the next turn does not wait for the interval

    def due(self):
        # True once a turn.
        now = self._clock.now()
        if self._at_once:
            self._at_once = False
            self._mark = now
            return True
        age_ms = self._clock.diff(now, self._mark)
        if age_ms < self._interval_ms:
            return False
        # A mark just below zero is as good as one just below the wrap, for diff().
        self._mark = now - age_ms % self._interval_ms
        return True

    def left_ms(self):
        # How long the loop may sleep on our account.
        if self._at_once:
            return 0
        return max(0, self._interval_ms - self._clock.diff(self._clock.now(), self._mark))

    def hasten(self):
        # The next due() is true, and the turns count from then.
        self._at_once = True

    def change(self, interval_s):
        # At once, counted from the last turn. One that is overdue, by the old interval or the
        # new, is due now.
        self._at_once = not self.left_ms()
        self._interval_ms = interval_s * 1000
        self._at_once = not self.left_ms()
