# What the board tells about itself in the shadow and in its birth message: flat, each name with
# its unit. None takes a fact back out of the shadow.

from firmware import board, version

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


class Facts:
    def __init__(self, app, problems, cause, crashed):
        self._app = app
        self._cause = cause
        self._problems = [problem[:_TEXT_CHARS] for problem in problems[:_PROBLEMS]] or None
        self._crashed = crashed  # text of the crash log at boot
        self._sensor = self._failing = None  # as told last

    def news(self):
        # 2: a sensor came or went; 1: readings begin to fail, or are good again; 0: the rest can
        # wait for the hour.
        sampler = self._app.sampler
        if sampler.sensor != self._sensor:
            return 2
        return 1 if sampler.failing() != self._failing else 0

    def __call__(self):
        self._sensor, self._failing = self._app.sampler.sensor, self._app.sampler.failing()
        facts = self._lasting()
        facts.update(self._passing())
        if not self._app.safe:
            facts.update(self._readings())
        return facts

    def _lasting(self):
        app = self._app
        return {
            "firmware": version.VERSION,
            "micropython": board.micropython_version(),
            "chip": board.CHIP,
            "board_id": board.unique_id(),
            "reset_cause": self._cause,
            "tls_verified": app.tls.verified,
            "safe_mode": app.safe,
            "last_crash": _last_line(self._crashed),
            "config_problems": self._problems,
            "settings_damaged": app.settings.damaged or None,
        }

    def _passing(self):
        app = self._app
        return {
            "free_heap_bytes": board.free_heap_bytes(),
            "rssi_dbm": app.wifi.rssi(),
            "uptime_s": app.uptime.s,
            "wifi_drops": app.wifi.drops,
            "link_drops": app.link.drops,
            "link_last_reason": app.link.last_reason,
            "offline_s": app.link.offline_s(),
            "clock_source": app.wall.source,
            "messages_too_large": app.session.oversized,
            "messages_not_understood": app.shadow.junk,
        }

    def _readings(self):
        sampler, outbox = self._app.sampler, self._app.outbox
        return {
            "dropped_readings": outbox.dropped + sampler.dropped,
            "waiting_readings": outbox.waiting,
            "corrupt_readings": outbox.corrupt,
            "sensor_found": sampler.sensor,
            "sensor_errors": sampler.errors,
            "sensor_last_error": sampler.last_error,
        }


def _last_line(text):
    lines = [line for line in text.split("\n") if line]
    return lines[-1][:_TEXT_CHARS] if lines else None
