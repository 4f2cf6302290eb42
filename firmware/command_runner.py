# Does what the cloud commands, one at a time. On demand: made at the first command, dropped when
# there is no more to do. AWS delivers at least once, without a DUP flag (aws-facts 1.2): only the
# id shows a repetition. It is remembered before the act, so that no reboot is repeated.

import json
from micropython import const

from firmware.chip import LED_PIN
from firmware.core.timing import Deadline

_WAITING = const(4)  # further commands are answered with "busy", and beyond twice that dropped
_TAG = const(-2)  # of our documents in the session
_OUTCOME_MS = const(10_000)
_GOODBYE_MS = const(5_000)  # how long a restart waits for the PUBACKs of results
_AGAIN_S = const(60)  # without an id nobody knows whether it is the reboot that has just been done
_BLINKS = const(20)
_BLINK_MS = const(250)


class CommandRunner:
    def __init__(self, shadow, sampler, topic, restart):
        # sampler: None in safe mode. topic: of the results.
        self.shadow, self.sampler = shadow, sampler
        self.topic, self.restart = topic, restart
        self.waiting = []  # the first of them until its result is sent
        self.doing = None  # the generator that does it
        self.blinks = 0
        self.blink = Deadline(shadow.clock)
        self.wait = None  # until the restart: others are answered meanwhile

    def receive(self, payload, retained=0):  # inside the MQTT callback: nothing is done yet
        if len(self.waiting) >= 2 * _WAITING:
            return
        from firmware.core.commands import parse

        settings = self.shadow.settings
        command = parse(payload, settings.state.get("seen"))
        ident, action, value, why = command
        # AWS may deliver a command twice, also before the first copy is done, and remembered.
        held = settings.seen + [c[0] for c in self.waiting if not c[3]]
        if ident is not None and ident in held:
            return
        if why is True:  # before a power cut, say, that came before its result; answered once
            settings.seen = remember(settings.seen, ident)
            # Of these it is known that they were done; another one may be what crashed.
            if action != "reboot" and value != settings.values["interval_s"]:
                why = "restarted before its result"
        elif retained:
            why = "retained commands are refused"  # AWS gives them in each new session
        elif ident is None and action == "reboot" and self.shadow.clock.s < _AGAIN_S:
            why = "without an id not in the first minute after a start"
        elif len(self.waiting) >= _WAITING and not why:
            why = "busy: 4 commands are waiting"
        self.waiting.append((ident, action, value, why))

    def step(self, up):
        # up: there is a session. True while there is more to do.
        self.up = up
        if self.blinks and not self.blink.left_ms():
            self.blink.start(_BLINK_MS)
            self.blinks -= 1
            from firmware import board

            board.led(self.blinks % 2 == 1)
        sent = _TAG not in self.shadow.session.waiting
        if self.wait and not (self.wait.left_ms() and (self.waiting or not sent)):
            # When the last result has arrived, the PUBACKs of the commands were out.
            self.restart()
            return True
        if not self.doing and self.waiting and up and sent:
            command = self.waiting[0]
            if self.wait and not command[3]:
                command = command[:3] + ("restarting",)
            self.waiting[0] = command[:3] + (command[3] or "no memory",)  # if that is so
            self.doing = self._do(*command)
        for _ in self.doing or ():
            return True
        self.doing = None
        return bool(self.waiting or self.blinks or self.wait)

    def _do(self, ident, action, value, why):
        # A generator. When it yields it holds nothing that was loaded.
        session, sampler, wait = self.shadow.session, self.sampler, Deadline(self.shadow.clock)
        why, log = (why, None) if why else self._act(ident, action, value)
        if not why and action == "read_now":
            read_now(sampler)
            readings, errors = sampler.readings, sampler.errors
            wait.start(_OUTCOME_MS)
            while sampler.readings == readings and sampler.errors == errors and wait.left_ms():
                yield
            if sampler.readings == readings:
                failed = sampler.errors != errors
                why = sampler.last_error if failed else "nothing happened within 10 s"
        text, log = result(ident, action, why, log), None
        wait.start(_GOODBYE_MS)
        if action == "reboot" and not why:
            self.wait = Deadline(self.shadow.clock)
            self.wait.start(_GOODBYE_MS)
        while text:
            yield
            if not self.up:
                wait.start(_GOODBYE_MS)
            else:
                try:
                    from firmware.net import packets

                    packets.document(session, self.topic, text, _TAG)
                except MemoryError:  # there may be, a moment later
                    if wait.left_ms():
                        continue
                    raise
                finally:
                    packets = None
                text = None
                self.waiting.pop(0)

    def _act(self, ident, action, value):
        # (why it was not done, the result with the logs if they were asked for)
        settings = self.shadow.settings
        if ident is not None:
            settings.note("seen", remember(settings.state.get("seen"), ident))
            settings.seen = remember(settings.seen, ident)
        if action == "get_log":
            from firmware import crash

            return None, crash.logs(ident)
        if action == "set_reporting_interval":
            return change(self.shadow, "interval_s", value), None
        if action == "identify":
            # On small boards (ESP-01) the LED has a pin of the sensor: better dark than deaf.
            i2c = settings.values["i2c"]
            if LED_PIN in (i2c["sda"], i2c["scl"]):
                return "the LED's pin is one of the sensor's", None
            self.blinks = _BLINKS
        return "safe mode" if action == "read_now" and not self.sampler else None, None


def change(shadow, key, value):
    # At the device; a desired value for the same key is older. None, or why it was not done.
    settings = shadow.settings
    old, state = settings.values[key], settings.state
    settings.state = dict(state)  # one write of both: power may go between two
    settings.state["local"] = {key: old}
    settings.state["local"].update(shadow.local)
    why = settings.set(key, value)
    if settings.values[key] == old:
        settings.state = state
    else:
        shadow.settings.log("command: {} is now {}".format(key, value))
        shadow.local.setdefault(key, old)
        shadow.update_due = True
        for older in (shadow.wrong, shadow.tried, shadow.desired or {}):
            older.pop(key, None)
    return why


def remember(seen, value):
    # The ids to be saved before the command is done, oldest first: 16, or fewer when they are
    # long, because the settings share their file.
    seen = (seen if isinstance(seen, list) else []) + [value]
    while len(seen) > 16 or len(json.dumps(seen).encode()) > 1088:
        seen.pop(0)
    return seen


def result(ident, action, why=None, log=None):
    # One document for every outcome, as text; why it was not done, True: done already. log: what
    # was asked for (crash.py).
    good, why = why in (None, True), "done before the last restart" if why is True else why
    document = {"id": ident, "action": action, "ok": good, "reason": why and why[:120]}
    return json.dumps(log or document)


def read_now(sampler):
    # One extra reading. Whoever asks may just have plugged the sensor in: look at once.
    sampler.due = True
    if sampler.extra:
        sampler.extra.stored = None  # whatever the deadband
    if not sampler.sensor:
        sampler.wait.start(0)
