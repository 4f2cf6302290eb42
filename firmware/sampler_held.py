# Readings between the sensor and the outbox. Normally each is passed on at once; while nobody
# knows the time, or the file system is full, they wait here in RAM, the oldest making room.

from micropython import const

from firmware.core.errors import StoreError

_MAX = const(32)
_STORE_RETRY_S = const(10)
_BURST = const(4)  # passed on in one step(): each is a write to flash


class Held:
    def __init__(self, clock, wall, put, log):
        self._clock = clock  # now(), diff(a, b): milliseconds, safe across the wrap
        self._wall = wall  # now_s(): seconds since 2000 UTC, None while unknown
        self._put = put  # put(s2000, temperature_cdeg, humidity_cpct, pressure_pa)
        self._log = log
        self.dropped = 0  # readings lost to make room
        self._held = []  # (uptime_s, s2000 or None, cdeg, cpct, pa), oldest first
        self._put_at_s = 0  # uptime before which put() is not tried again
        self._up_s = self._up_ms = 0  # uptime; ticks alone would wrap after 12 days
        self._mark = clock.now()  # when the uptime was last brought up to date

    def add(self, cdeg, cpct, pa):
        # A reading taken just now.
        self._count_time()
        if len(self._held) >= _MAX:
            self._held.pop(0)
            self.dropped += 1
        self._held.append((self._up_s, self._wall.now_s(), cdeg, cpct, pa))
        self.step()

    def step(self):
        self._count_time()
        for _ in range(_BURST):
            if not self.ready() or not self._pass_on():
                return

    def ready(self):
        # Is there something that may go now?
        if not self._held or self._up_s < self._put_at_s:
            return False
        return self._wall.now_s() is not None

    def _pass_on(self):
        taken_s, s2000, cdeg, cpct, pa = self._held[0]
        if s2000 is None:
            s2000 = self._wall.now_s() - (self._up_s - taken_s)
        try:
            self._put(s2000, cdeg, cpct, pa)
        except StoreError as e:
            self._put_at_s = self._up_s + _STORE_RETRY_S
            self._log("sensor: reading kept in RAM: {}".format(e))
            return False
        self._held.pop(0)
        return True

    def _count_time(self):
        now = self._clock.now()
        self._up_ms += self._clock.diff(now, self._mark)
        self._mark = now
        if self._up_ms >= 1000:
            self._up_s += self._up_ms // 1000
            self._up_ms %= 1000
