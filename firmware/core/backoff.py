# How long to wait before the next try: full jitter under a doubling ceiling, so that a thousand
# boards behind one outage do not knock together. Spread evenly from the floor to the ceiling;
# cutting low draws off at the floor would gather the crowd there.

BASE_MS = 1000
CAP_MS = 60000
FLOOR_MS = 500


class Backoff:
    def __init__(self, random, base_ms=BASE_MS, cap_ms=CAP_MS, floor_ms=FLOOR_MS):
        self._random = random  # random(limit) -> 0..limit-1
        self._base_ms = base_ms
        self._cap_ms = cap_ms
        self._floor_ms = floor_ms
        self._ceiling_ms = base_ms

    def failed(self):
        # Milliseconds to wait now; the ceiling of the next wait is twice as high.
        wait_ms = self._floor_ms + self._random(self._ceiling_ms - self._floor_ms + 1)
        self._ceiling_ms = min(self._cap_ms, self._ceiling_ms * 2)
        return wait_ms

    def stable(self):
        # Not on success alone: who is let in and thrown out at once must keep waiting longer.
        self._ceiling_ms = self._base_ms
