# Does what the cloud commands, one at a time: receive(), inside the MQTT callback, only parses.
# On demand: made at the first command, dropped when there is no more to do.

from micropython import const

from firmware.chip import LED_PIN
from firmware.core.timing import Deadline

_WAITING = const(4)  # further commands are answered with "busy", and beyond twice that dropped
_TAG = const(-2)  # of our documents in the session
_OUTCOME_MS = const(10_000)
_GOODBYE_MS = const(5_000)  # how long a restart waits for the PUBACK of its result
_BLINKS = const(20)
_BLINK_MS = const(250)
_LOG_BYTES = const(1_200)  # all that a result has room for


class CommandRunner:
    def __init__(self, shadow, sampler, topic, restart):
        # sampler: None in safe mode. topic: of the results.
        self.shadow = shadow
        self.sampler = sampler
        self.topic = topic
        self.restart = restart
        self.waiting = []
        self.reading = None  # what is waited for: (command, readings, errors before)
        self.result = None  # document that is not with the session yet
        self.leaving = False
        self.wait = Deadline(shadow.clock)  # for the reading, or the PUBACK
        self.blinks = 0
        self.blink = Deadline(shadow.clock)

    def receive(self, payload):
        if len(self.waiting) >= 2 * _WAITING:
            return
        from firmware.core import commands

        command = commands.parse(payload, self.shadow.settings.state.get("seen"))
        if not command:
            return
        # AWS may deliver a command twice before the first copy is done, and remembered.
        if command[0] is not None and any(command[0] == c[0] and not c[3] for c in self.waiting):
            return
        if len(self.waiting) >= _WAITING and not command[3]:
            command = command[:3] + ("busy: 4 commands are waiting",)
        self.waiting.append(command)

    def step(self, up):
        # up: there is a session. True while there is more to do.
        session = self.shadow.session
        if self.blinks and not self.blink.left_ms():
            self.blink.start(_BLINK_MS)
            self.blinks -= 1
            from firmware import board

            board.led(self.blinks % 2 == 1)
        # The result of a reboot has arrived, and so after the PUBACK of the command was out.
        arrived = not self.result and _TAG not in session.waiting
        if self.leaving and (arrived or not self.wait.left_ms()):
            self.restart()
        if up and self.result:
            session.document(self.topic, self.result, _TAG)
            self.result = None
        elif up and self.reading:
            self._look()
        elif up and self.waiting and not self.leaving and arrived:
            command = self.waiting[0]
            self.waiting[0] = command[:3] + (command[3] or "no memory",)  # if that is so
            self._go_on(command)
            self.waiting.pop(0)
        return bool(self.waiting or self.reading or self.result or self.leaving or self.blinks)

    def _go_on(self, command):
        from firmware.core import commands

        settings, sampler = self.shadow.settings, self.sampler
        ident, action, value, why = command
        text = None
        if not why:
            if ident is not None:
                settings.note("seen", commands.remember(settings.state.get("seen"), ident))
            if action == "get_log":
                from firmware import crash

                text = crash.read(_LOG_BYTES)
            elif action == "identify":
                # On small boards (ESP-01) the LED has a pin of the sensor: better dark than deaf.
                i2c = settings.values["i2c"]
                if LED_PIN in (i2c["sda"], i2c["scl"]):
                    why = "the LED's pin is one of the sensor's"
                else:
                    self.blinks = _BLINKS
            elif action == "reboot":
                self.leaving = True
                self.wait.start(_GOODBYE_MS)
            elif action == "set_reporting_interval":
                why = self.shadow.set("interval_s", value)
            elif sampler:
                self.reading = command, sampler.readings, sampler.errors
                self.wait.start(_OUTCOME_MS)
                sampler.read_now()
                return
            else:
                why = "safe mode"
        self.result = commands.result(command, why, text)

    def _look(self):
        command, readings, errors = self.reading
        sampler, why = self.sampler, "nothing happened within 10 s"
        if sampler.readings != readings:
            why = None
        elif sampler.errors != errors:
            why = sampler.last_error
        elif self.wait.left_ms():
            return
        from firmware.core.commands import result

        self.result = result(command, why)
        self.reading = None
