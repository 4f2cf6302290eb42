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
        self._mark = 0
        self.hasten()

    def due(self):
        # True once a turn.
        now = self._clock.now()
        age_ms = self._clock.diff(now, self._mark)
        if age_ms < self._interval_ms:
            return False
        # A mark just below zero is as good as one just below the wrap, for diff().
        self._mark = now - age_ms % self._interval_ms
        return True

    def left_ms(self):
        # How long the loop may sleep on our account.
        return max(0, self._interval_ms - self._clock.diff(self._clock.now(), self._mark))

    def hasten(self):
        # The next due() is true, and the turns count from then.
        self._mark = self._clock.now() - self._interval_ms

    def change(self, interval_s):
        # At once, counted from the last turn; one that is overdue by that is due now.
        self._interval_ms = interval_s * 1000
        if not self.left_ms():
            self.hasten()
