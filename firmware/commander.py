# Does what the cloud commands, one at a time: receive() runs inside the MQTT callback and only
# parses; step() acts, waits for the outcome, and publishes it. What parses is loaded when needed
# (seldom.py) and must stay while busy().

from micropython import const

_WAITING = const(4)  # further commands are answered with "busy", and beyond twice that dropped
_OUTCOME_MS = const(10_000)
_GOODBYE_MS = const(5_000)  # how long a restart waits for the PUBACK of its result

TAG = -2  # of our publishes; those of readings are their seq


class Commander:
    # act(command): as Control.act().
    def __init__(self, check, seen, session, topic, clock, persist, act, restart):
        self._check = check  # check(key, value) -> (value, problem)
        self._seen = seen  # ids done, as core/commands.py wants them
        self._session = session
        self._topic = topic
        self._clock = clock
        self._persist = persist  # persist(ids done)
        self._act = act
        self._restart = restart
        self._queue = []
        self._current = None  # the command in hand, and since when
        self._outcome = None  # callable that knows how it went
        self._since = 0
        self._leaving = False
        self._log = None
        self.dropped = 0

    def receive(self, payload):
        if len(self._queue) >= 2 * _WAITING:
            self.dropped += 1
            return
        from firmware.core.commands import Commands

        command = Commands(self._check, self._seen).receive(payload)
        if command is None or self._waits(command.ident):
            return
        if len(self._queue) >= _WAITING and not command.problem:
            command.problem = "busy: {} commands are waiting".format(_WAITING)
        self._queue.append(command)

    def _waits(self, ident):
        # AWS may deliver a command twice before the first copy is done, and remembered.
        same = [c for c in self._queue if c.ident == ident and not c.problem]
        return ident is not None and bool(same)

    def step(self):
        if self._leaving:
            if self._age_ms() > _GOODBYE_MS:
                self._restart()
        elif self._outcome:
            self._finish(self._outcome())
        elif self._queue and self._session.can_send():
            self._begin(self._queue.pop(0))

    def acknowledged(self):
        # The result of a reboot has arrived; the command's own PUBACK went out before it.
        if self._leaving:
            self._restart()

    def log(self, text):
        # What get_log answers with.
        self._log = text

    def busy(self):
        return bool(self._queue or self._outcome or self._leaving)

    def _begin(self, command):
        from firmware.core import commands as core

        self._current = command
        self._since = self._clock.now()
        self._log = None
        if command.problem:
            self._finish(None)
            return
        known = core.Commands(self._check, self._seen)
        if known.remember(command):
            self._seen = known.seen
            self._persist(self._seen)
        if command.action == core.REBOOT:
            self._finish(None)
            self._leaving = True
            return
        outcome = self._act(command)
        if callable(outcome):
            self._outcome = outcome
        else:
            self._finish(outcome)

    def _finish(self, problem):
        from firmware.core.commands import result

        if problem is False:
            if self._age_ms() < _OUTCOME_MS:
                return
            problem = "nothing happened within {} s".format(_OUTCOME_MS // 1000)
        if self._session.can_send():
            document = result(self._current, problem, self._log)
            self._session.publish1(self._topic, document, TAG)
            self._outcome = self._log = self._current = None
        else:
            self._outcome = lambda: problem  # again in the next step

    def _age_ms(self):
        return self._clock.diff(self._clock.now(), self._since)
