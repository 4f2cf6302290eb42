# Stand-ins shared by the device tests: each records what it was told and plays what it was given.

PERIOD = 1 << 30  # ticks wrap here on every board; on the 64-bit unix port only after 2^62
_MASK = PERIOD - 1
_HALF = PERIOD // 2


class Clock:
    # Milliseconds that pass only when told to. Starts just below the wrap, so that every
    # test that waits also crosses it. The rest as in core/timing.py: s, whole seconds since the
    # start; offset, to be set by tests that want a time of day; ask_s and heard, to be looked at.
    def __init__(self, start_ms=PERIOD - 5):
        self._ms = start_ms & _MASK
        self.total = 0  # milliseconds passed, without a wrap
        self.s = self.ask_s = 0
        self.offset = self.heard = None

    def now(self):
        return self._ms

    def diff(self, a, b):
        # The sign bit flipped and taken away again. PERIOD itself would allocate here: on a
        # 32-bit board it is no small int.
        return ((a - b & _MASK) ^ _HALF) - _HALF

    def left_ms(self, s):
        return max(0, s * 1000 - self.total)

    def pass_ms(self, ms):
        self._ms = self._ms + ms & _MASK
        self.total += ms
        self.s = self.total // 1000


class Random:
    # random(limit) -> 0..limit-1, the same row of numbers for the same seed on every port
    # (Park and Miller's minimal standard generator, in Schrage's form).
    def __init__(self, seed=1):
        self._state = seed % 2147483646 + 1

    def __call__(self, limit):
        high, low = divmod(self._state, 127773)
        state = 16807 * low - 2836 * high
        self._state = state if state > 0 else state + 2147483647
        return self._state % limit


class Fixed:
    # random(limit) that always gives the same share of the limit; asked holds the last limits, few
    # enough for a test that runs for weeks.
    def __init__(self, share=0):
        self._share = share  # 0 lowest, 1 highest
        self.asked = []

    def __call__(self, limit):
        self.asked.append(limit)
        del self.asked[:-8]
        return self._share * (limit - 1)


class Log:
    def __init__(self):
        self.lines = []

    def __call__(self, text):
        self.lines.append(text)


def opened(packet, at):
    # (topic, payload, retain) of a PUBLISH with its packet id at `at`.
    start = 2
    while packet[start - 1] & 0x80:
        start += 1
    return bytes(packet[start + 2 : at]), bytes(packet[at + 2 :]), bool(packet[0] & 1)


UP, OPENING, DOWN = "up", "opening", "down"


def state(link):
    # Of a Connection.
    assert not (link.up and link.opening)
    return UP if link.up else OPENING if link.opening else DOWN
