# What the cloud may do to the board: the settings that the shadow changes, and the commands.

from micropython import const

from firmware import board
from firmware.core.errors import StoreError
from firmware.core.topics import subscribes

LOG_BYTES = const(3_000)

_BLINKS = const(20)
_BLINK_MS = const(250)


class Control:
    def __init__(self, app, config, clock):
        self._app = app
        self._config = config  # the one in force
        self._clock = clock
        self._kept = dict(app.shadow.local)
        self._blinks = 0
        self._blinked = clock.now()
        self.commander = None

    def step(self):
        self._keep_local()
        if self._blinks and self._clock.diff(self._clock.now(), self._blinked) >= _BLINK_MS:
            self._blinked = self._clock.now()
            self._blinks -= 1
            board.led(self._blinks % 2 == 1)

    def _keep_local(self):
        # A change by command outlives a restart that comes before AWS has heard of it.
        local = self._app.shadow.local
        if local != self._kept:
            self._kept = dict(local)
            self._app.settings.note("local", self._kept or None)

    def joined(self, topics):
        # Only now: had the power gone before SUBACK, the next start would trust a session of
        # AWS's that has no subscriptions.
        self._app.settings.note("filters", list(subscribes(topics)))

    def busy(self):
        return self._blinks > 0

    def apply(self, key, value):
        # In force, then on flash. None, or why not: then all is as it was.
        app = self._app
        old = self._config[key]
        try:
            self._force(key, value)
            app.settings.set(key, value)
        except (StoreError, ValueError, OSError) as e:
            self._force(key, old)
            return "not done: {}".format(e)
        if app.safe:
            board.log("app: changed in safe mode, trying again")
            app.restart()
        return None

    def _force(self, key, value):
        app = self._app
        self._config[key] = value
        if key == "interval_s":
            app.sampler.set_interval(value)
        elif key == "sensor":
            app.sampler.set_sensor(value)
        elif key == "i2c":
            app.sampler.rebuild(board.i2c(value))
        elif key == "drain_per_s" and app.sender:
            app.sender.drain_per_s = value
        elif key == "offline_reboot_s":
            app.link.offline_reboot_s = value

    def act(self, command):
        # None when done, a text when it cannot be done, or a callable that answers the same
        # later, and False until then.
        from firmware.core import commands

        if command.action == commands.SET_INTERVAL:
            return self._set_interval(command)
        if command.action == commands.READ_NOW:
            return self._read_now()
        if command.action == commands.IDENTIFY:
            return self._identify()
        if command.action == commands.GET_LOG:
            self.commander.log(self._app.crash.read(LOG_BYTES))
        return None

    def _set_interval(self, command):
        problem = self.apply("interval_s", command.interval_s)
        if not problem:
            self._app.shadow.changed("interval_s", command.interval_s)
            board.log("command: interval_s is now {}".format(command.interval_s))
        return problem

    def _identify(self):
        # On small boards (ESP-01) the LED shares its pin with the sensor: better dark than deaf.
        i2c = self._config["i2c"]
        if board.LED_PIN in (i2c["sda"], i2c["scl"]):
            return "the LED's pin is one of the sensor's"
        self._blinks = _BLINKS
        return None

    def _read_now(self):
        if self._app.safe:
            return "safe mode"
        sampler = self._app.sampler
        readings, errors = sampler.readings, sampler.errors
        sampler.read_now()

        def outcome():
            if sampler.readings > readings:
                return None
            return sampler.last_error if sampler.errors > errors else False

        return outcome
