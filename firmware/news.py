# When the facts about the board (facts.py) are worth telling, and what they need that is known at
# boot only.

_TEXT_CHARS = 120
_PROBLEMS = 5


class Uptime:
    # Whole seconds since boot; the milliseconds of the clock wrap after days.
    def __init__(self, clock):
        self._clock = clock
        self._mark = clock.now()
        self._rest_ms = 0
        self.s = 0

    def step(self):
        now = self._clock.now()
        self._rest_ms += self._clock.diff(now, self._mark)
        self._mark = now
        if self._rest_ms >= 1000:
            self.s += self._rest_ms // 1000
            self._rest_ms %= 1000


class News:
    def __init__(self, app, problems, cause, crashed):
        # crashed: text of the crash log at boot
        self._app = app
        self.cause = cause
        self.problems = [problem[:_TEXT_CHARS] for problem in problems[:_PROBLEMS]] or None
        lines = [line for line in crashed.split("\n") if line]
        self.last_crash = lines[-1][:_TEXT_CHARS] if lines else None
        self._sensor = self._failing = None  # as told last

    def news(self):
        # 2: a sensor came or went; 1: readings begin to fail, or are good again; 0: the rest can
        # wait for the hour.
        sampler = self._app.sampler
        if sampler.sensor != self._sensor:
            return 2
        return 1 if sampler.failing() != self._failing else 0

    def __call__(self):
        from firmware.facts import facts

        self._sensor, self._failing = self._app.sampler.sensor, self._app.sampler.failing()
        return facts(self._app, self)
