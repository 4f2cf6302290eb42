# Does what the cloud commands, one at a time. receive() runs inside the MQTT callback and only
# parses; step() acts, waits for the outcome, and publishes it. On demand: made at the first
# command, dropped when no longer busy().

from micropython import const

from firmware.chip import LED_PIN
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
        self.settings = settings
        self.sampler = sampler
        self.session = session
        self.topic = topic
        self.shadow = shadow
        self.restart = restart
        self.log = log
        self.waiting = []
        self.reading = None  # the one that is waited for: (command, readings, errors)
        self.result = None  # document that is not with the session yet
        self.leaving = False
        self.wait = Deadline(clock)  # for the reading, or the PUBACK
        self.blinks = 0
        self.blink = Deadline(clock)

    def receive(self, payload):
        if len(self.waiting) >= 2 * _WAITING:
            return
        from firmware.core import commands

        command = commands.parse(payload, self.settings.state.get("seen"))
        if command is None:
            return
        ident, action, value, problem = command
        # AWS may deliver a command twice before the first copy is done, and remembered.
        if ident is not None and any(ident == c[0] and not c[3] for c in self.waiting):
            return
        if len(self.waiting) >= _WAITING and not problem:
            command = ident, action, value, "busy: 4 commands are waiting"
        self.waiting.append(command)

    def busy(self):
        return bool(self.waiting or self.reading or self.result or self.leaving or self.blinks)

    def ack(self):
        # Our document has arrived. That of a reboot did after the command's own PUBACK was out.
        if self.leaving:
            self.restart()

    def step(self, up):
        # up: there is a session.
        if self.blinks and not self.blink.left_ms():
            self.blink.start(_BLINK_MS)
            self.blinks -= 1
            from firmware import board

            board.led(self.blinks % 2 == 1)
        if self.leaving and not self.wait.left_ms():
            self.restart()
        if not up:
            return
        if self.result:
            if self.session.document(self.topic, self.result, _TAG):
                self.result = None
        elif self.reading:
            self._look()
        elif self.waiting and not self.leaving and _TAG not in self.session.waiting:
            command = self.waiting.pop(0)
            try:
                self._begin(command)
            except MemoryError:
                self.waiting.insert(0, command[:3] + ("no memory",))
                raise

    def _begin(self, command):
        from firmware.core import commands

        ident, action, value, problem = command
        text = None
        if not problem:
            if ident is not None:
                seen = self.settings.state.get("seen")
                self.settings.note("seen", commands.remember(seen, ident))
            if action == "get_log":
                from firmware import crash

                text = crash.read(_LOG_BYTES)
            elif action == "identify":
                # On small boards (ESP-01) the LED has a pin of the sensor: better dark than deaf.
                i2c = self.settings.values["i2c"]
                if LED_PIN in (i2c["sda"], i2c["scl"]):
                    problem = "the LED's pin is one of the sensor's"
                else:
                    self.blinks = _BLINKS
            elif action == "reboot":
                self.leaving = True
                self.wait.start(_GOODBYE_MS)
            elif action == "set_reporting_interval":
                old = self.settings.values["interval_s"]
                problem = self.settings.set("interval_s", value)
                if not problem:
                    self.log("command: interval_s is now {}".format(value))
                    self.shadow.changed("interval_s", old)
            elif self.sampler:
                self.reading = command, self.sampler.readings, self.sampler.errors
                self.wait.start(_OUTCOME_MS)
                self.sampler.read_now()
                return
            else:
                problem = "safe mode"
        self.result = commands.result(command, problem, text)

    def _look(self):
        command, readings, errors = self.reading
        sampler = self.sampler
        problem = None
        if sampler.readings == readings:
            problem = sampler.last_error
            if sampler.errors == errors:
                if self.wait.left_ms():
                    return
                problem = "nothing happened within 10 s"
        from firmware.core.commands import result

        self.result = result(command, problem)
        self.reading = None
