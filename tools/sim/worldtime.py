"""What time it is in a board's world: as fast as `time_scale` says, and faster while it sleeps."""

from __future__ import annotations

import threading
import time


class WorldTime:
    """Unix seconds in one board's world. It goes on through power cuts, and never goes back.

    Awake it is ``anchor_s`` plus ``scale`` times what went by here since; shims/_scaled.py counts
    the same. What a sleep was faster than that stays: the world is ahead by so much.
    """

    def __init__(self) -> None:
        self._anchor_s = time.time()
        self._scale = 1.0
        # Since when, by what scale, and to what time of the world at most.
        self._sleep: tuple[float, float, float] | None = None
        self._lock = threading.RLock()  # the board's thread, and who asks for the time
        self.ahead_ms = 0
        self.power_on_s = self._anchor_s

    def power_on(self, anchor_s: float, scale: float) -> None:
        """Both worlds had the same time at ``anchor_s``; from now on ``scale`` counts."""
        with self._lock:
            self._anchor_s = int(anchor_s)
            self._scale = scale
            self.power_on_s = self.now_s()

    def now_s(self) -> float:
        with self._lock:
            now = time.time()
            awake_s = self._anchor_s + (now - self._anchor_s) * self._scale + self.ahead_ms / 1000
            if self._sleep is None:
                return awake_s
            since, scale, not_after_s = self._sleep
            asleep_s = awake_s + (now - since) * (scale - self._scale)
            return max(awake_s, min(asleep_s, not_after_s))

    def fall_asleep(self, scale: float, not_after_s: float) -> None:
        """Until wake_up() it goes by ``scale``, but not past ``not_after_s``, when the timer ends.

        At 100,000 a machine that is 50 ms late would else be 80 minutes late in the world.
        """
        with self._lock:
            self._sleep = (time.time(), scale, not_after_s)

    def wake_up(self) -> float:
        """What time it is at the end of the sleep, by its timer or before."""
        with self._lock:
            slept_to_s = self.now_s()
            self._sleep = None
            awake_s = self.now_s()
            self.ahead_ms += max(0, round((slept_to_s - awake_s) * 1000))
            return max(slept_to_s, awake_s)
