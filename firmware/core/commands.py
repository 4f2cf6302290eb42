# Commands from the cloud: parsed, checked, and acted on once.
#
#   command = commands.receive(payload)     None: one that has been done already
#   command.problem                         not None: do not act, send the result
#   commands.remember(command)              then persist commands.seen, and only then act
#   result(command)  result(command, why)   the document for the result topic
#
# AWS delivers at least once, with another packet id and no DUP flag (aws-facts 1.2): only the
# id inside the payload tells a repetition. It is remembered before the act, so that a reboot
# in the middle cannot be repeated; a command without id acts each time it comes.

import json

from firmware.core import documents, words

SET_INTERVAL = "set_reporting_interval"
READ_NOW = "read_now"
IDENTIFY = "identify"
REBOOT = "reboot"
GET_LOG = "get_log"
ACTIONS = (SET_INTERVAL, READ_NOW, IDENTIFY, REBOOT, GET_LOG)

MAX_BYTES = 1024
KEPT = 16  # ids remembered, fewer when they are long: the settings share their file
_KEPT_BYTES = 1088

_DEPTH = 4
_ID_CHARS = 64
_ID_LIMIT = 9007199254740991  # 2^53 - 1: further up, readers of JSON disagree
_ACTION_CHARS = 40
_REASON_CHARS = 120
_LOG_CHARS = 1200  # a traceback; the document is copied thrice on its way out


class Command:
    def __init__(self, ident=None, action=None, problem=None):
        self.ident = ident  # text, whole number, or None
        self.action = action  # one of ACTIONS when problem is None
        self.interval_s = None  # for SET_INTERVAL
        self.problem = problem  # why it must not be done


class Commands:
    def __init__(self, check, seen=()):
        self._check = check  # check(key, value) -> (value, problem), as for the shadow
        self.seen = recall(seen)  # ids done, oldest first: to be persisted
        self.junk = 0  # payloads that were no command
        self.repeated = 0

    def receive(self, payload):
        document = documents.load(payload, MAX_BYTES, _DEPTH)
        if document is None:
            self.junk += 1
            return Command(None, None, "must be a JSON object of at most 1024 bytes")
        ident = document.get("id")
        action = document.get("action")
        if ident is not None and not is_id(ident):
            problem = "id: must be text of 1 to 64 characters or a whole number"
            return Command(None, _shown(action), problem)
        if ident in self.seen:
            self.repeated += 1
            return None
        command = Command(ident, _shown(action), _action_problem(document, action))
        if action == SET_INTERVAL:
            self._interval(command, document)
        return command

    def remember(self, command):
        # True when there is something to persist before acting.
        if command.ident is None:
            return False
        self.seen.append(command.ident)
        del self.seen[:-KEPT]
        while sum(len(json.dumps(ident).encode()) + 2 for ident in self.seen) > _KEPT_BYTES:
            self.seen.pop(0)
        return True

    def _interval(self, command, document):
        if "interval_seconds" not in document:
            command.problem = "interval_seconds: is missing"
            return
        command.interval_s, problem = self._check("interval_s", document["interval_seconds"])
        if problem:
            command.problem = "interval_seconds: " + problem


def result(command, problem=None, log=None):
    # One document for every outcome; problem says why it was not done. log: the text asked for.
    problem = command.problem or problem
    text = '{{"id": {}, "action": {}, "ok": {}, "reason": {}'.format(
        json.dumps(command.ident),
        json.dumps(command.action),
        json.dumps(problem is None),
        json.dumps(problem and problem[:_REASON_CHARS]),
    )
    if log is not None:
        text += ', "log": ' + json.dumps(log[-_LOG_CHARS:])
    return (text + "}").encode()


def is_id(value):
    if isinstance(value, str):
        return 1 <= len(value) <= _ID_CHARS and words.utf8_len(value) is not None
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return -_ID_LIMIT <= value <= _ID_LIMIT


def recall(saved):
    # What was persisted may be anything after a bad write.
    if not isinstance(saved, (list, tuple)):
        return []
    return [ident for ident in saved[-KEPT:] if is_id(ident)]


def _shown(action):
    return words.printable(action, _ACTION_CHARS) if isinstance(action, str) else None


def _action_problem(document, action):
    if "action" not in document:
        return "action: is missing"
    if not isinstance(action, str):
        return "action: must be text"
    if action not in ACTIONS:
        return "unknown action" + words.did_you_mean(action, ACTIONS)
    return None
