# Does what the cloud commands, one at a time. receive() runs inside the MQTT callback and only
# parses; step() acts, waits for the outcome, and publishes it. On demand: made at the first
# command, dropped when no longer busy().

from micropython import const

from firmware.core.timing import Deadline

_WAITING = const(4)  # further commands are answered with "busy", and beyond twice that dropped
_TAG = const(-2)  # of our documents in the session
_OUTCOME_MS = const(10_000)
_GOODBYE_MS = const(5_000)  # how long a restart waits for the PUBACK of its result
_BLINKS = const(20)
_BLINK_MS = const(250)
_LOG_BYTES = const(3_000)


class CommandRunner:
    def __init__(self, settings, sampler, session, topic, clock, shadow, restart, log):
        # sampler: None in safe mode. topic: of the results.
        self._settings = settings
        self.sampler = sampler
        self._session = session
        self._topic = topic
        self.shadow = shadow
        self.restart = restart
        self._log = log
        self.waiting = []
        self._current = None  # the reading that is waited for: (command, readings, errors)
        self._result = None  # document that is not with the session yet
        self._wait = Deadline(clock)
        self._leaving = False
        self._blinks = 0
        self._blink = Deadline(clock)

    def receive(self, payload):
        if len(self.waiting) >= 2 * _WAITING:
            return
        from firmware.core import commands

        command = commands.parse(payload, self._settings.state.get("seen"), _check)
        if command is None:
            return
        ident, action, value, problem = command
        for other in self.waiting:
            # AWS may deliver a command twice before the first copy is done, and remembered.
            if ident is not None and ident == other[0] and not other[3]:
                return
        if len(self.waiting) >= _WAITING and not problem:
            command = ident, action, value, "busy: {} commands are waiting".format(_WAITING)
        self.waiting.append(command)

    def busy(self):
        return bool(self.waiting or self._current or self._result or self._leaving or self._blinks)

    def ack(self):
        # Our document has arrived. That of a reboot did after the command's own PUBACK was out.
        if self._leaving:
            self.restart()

    def step(self, up):
        # up: there is a session.
        if self._blinks and not self._blink.left_ms():
            self._blink.start(_BLINK_MS)
            self._blinks -= 1
            from firmware import board

            board.led(self._blinks % 2 == 1)
        if self._leaving and not self._wait.left_ms():
            self.restart()
        if not up:
            return
        if self._result:
            if self._session.document(self._topic, self._result, _TAG):
                self._result = None
        elif self._current:
            self._look()
        elif self.waiting and not self._leaving and not self._session.waiting(_TAG):
            self.begin(self.waiting.pop(0))

    def begin(self, command):
        from firmware.core import commands

        ident, action, value, problem = command
        text = None
        if not problem:
            if ident is not None:
                seen = self._settings.state.get("seen")
                self._settings.note("seen", commands.remember(seen, ident))
            if action == "read_now" and self.sampler:
                self._current = command, self.sampler.readings, self.sampler.errors
                self._wait.start(_OUTCOME_MS)
                self.sampler.read_now()
                return
            if action == "get_log":
                from firmware import crash

                text = crash.read(_LOG_BYTES)
            else:
                problem = self._act(action, value)
        self._result = commands.result(command, problem, text)

    def _act(self, action, value):
        # None, or why it was not done.
        values = self._settings.values
        if action == "read_now":
            return "safe mode"
        if action == "reboot":
            self._leaving = True
            self._wait.start(_GOODBYE_MS)
        elif action == "identify":
            from firmware.board import LED_PIN

            # On small boards (ESP-01) the LED has a pin of the sensor: better dark than deaf.
            if LED_PIN in (values["i2c"]["sda"], values["i2c"]["scl"]):
                return "the LED's pin is one of the sensor's"
            self._blinks = _BLINKS
        else:
            old = values["interval_s"]
            problem = self._settings.set("interval_s", value)
            if problem:
                return problem
            self._log("command: interval_s is now {}".format(value))
            self.shadow.changed("interval_s", old)
        return None

    def _look(self):
        command, readings, errors = self._current
        sampler = self.sampler
        problem = None
        if sampler.readings == readings:
            if sampler.errors != errors:
                problem = sampler.last_error
            elif self._wait.left_ms():
                return
            else:
                problem = "nothing happened within {} s".format(_OUTCOME_MS // 1000)
        from firmware.core.commands import result

        self._result = result(command, problem)
        self._current = None


def _check(key, value, values):
    from firmware.core import schema

    return schema.check(key, value, values)
