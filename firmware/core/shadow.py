# What the messages of the shadow service mean to the board, and what it sends: functions on the
# state `s`, a ShadowSync (firmware/shadow_sync.py has its attributes). No I/O. On demand.
#
#   event                          effect
#   get/accepted                   the whole document: note what is desired, report what differs
#   get/rejected 404               no shadow yet: report everything
#   get/rejected, other            get again, later
#   update/delta, not seen yet     note what is desired; its keys are all that differ
#   update/accepted, ours          AWS has it
#   update/accepted, another's     perhaps a value we rejected is gone: get
#   update/rejected 409, 413       get, then update; after 413 without the facts
#   update/rejected 429, 5xx       the same, later
#   update/rejected, other         the update was bad: logged, not repeated

import json

from firmware.core.text import load, printable


def receive(s, kind, payload):
    # Inside the MQTT callback: only notes. kind: bytes, the topic after ".../shadow/"; AWS may
    # send what nobody has subscribed to.
    if (
        kind
        not in b"update/delta update/accepted update/rejected get/accepted get/rejected".split()
    ):
        return
    try:
        message = load(payload, 12)
        token = message.get("clientToken")
        if kind == b"update/delta":
            seen = _seen(message)
            desired = _section(message, "state")
            if seen > s.seen:
                s.seen = seen
                # One that answers an update of ours is no news of what AWS has as reported.
                _note(s, desired, {}, not str(token).startswith(s.token))
        elif kind == b"update/accepted":
            _accepted(s, message, token)
        elif kind == b"update/rejected":
            if s.pending and token in (None, s.pending[0]):  # AWS leaves it out of some
                _rejected(s, message.get("code"))
        elif s.asked and token in (None, s.asked):  # others' answers come on the same topics
            _answered(s, message, token, kind == b"get/accepted")
    except (ValueError, TypeError):
        s.junk += 1


def _seen(message):
    version = message.get("version")
    if not isinstance(version, int) or version < 0:
        raise ValueError
    return 2 * version + 1


def _section(message, key):
    section = message.get(key)
    if not isinstance(section, dict) and section is not None:
        raise TypeError
    return section or {}


def _answered(s, message, token, accepted):
    state, seen = {}, -1
    if accepted:
        state, seen = _section(message, "state"), _seen(message)
        if token is None and seen < s.seen:
            return
    elif message.get("code") != 404:
        s.lost()
        return
    desired = _section(state, "desired")
    reported = _section(state, "reported")
    # Even a lower version: a shadow that was deleted may count from 0 again.
    s.seen = seen
    _heard(s)
    values = s.settings.values
    s.update_due = s.update_due or any(reported.get(key) != values[key] for key in values)
    rejected = reported.get("rejected", {})
    s.rejected = rejected if isinstance(rejected, dict) else {"?": True}  # to be put right
    _note(s, desired, reported, False)


def _note(s, desired, reported, stale):
    # For ShadowSync.step(): the settings, and a few of the other names, so that no flood of them
    # fills the heap. A setting that failed is tried again when its value has changed. An unknown
    # key that stands in reported as well is not open: the AWS console makes new shadows with one.
    # stale: AWS's reported values are not ours.
    values, rejected = s.settings.values, s.rejected
    s.desired = noted = {}
    for key in values:
        value = desired.get(key)
        text, why = s.failed.get(key) or (None, None)
        if value is not None and json.dumps(value) != text:
            noted[key] = value
            s.update_due = s.update_due or stale
        elif value is not None and rejected.get(key) != why:
            rejected[key] = why
            s.update_due = True
    others = [key for key in desired if isinstance(key, str) and key not in values]
    others = sorted(printable(key, 40) for key in others if desired[key] != reported.get(key))
    for name in others[:5] + ["..."] if len(others) > 5 else others:
        noted[name] = 0  # any value is wrong
    for name in rejected:
        failed = name in values and desired.get(name) is not None
        if rejected[name] and name not in noted and not failed:
            rejected[name] = None
            s.failed.pop(name, None)
            s.update_due = True


def _accepted(s, message, token):
    ours = s.pending and token == s.pending[0]
    if ours:
        _landed(s)
    seen = _seen(message)
    if seen - 1 > s.seen:
        s.seen = seen - 1
        # A rejected value that is taken back brings no delta when nothing else differs.
        # MiniStack leaves a section set to null out of its answer, AWS does not.
        state = message.get("state")
        if not ours and (s.rejected or s.desired):
            if not isinstance(state, dict) or "desired" in state or "reported" not in state:
                s.get_due = True
    elif ours and seen < s.seen:
        s.get_due = True  # overtaken on the way, or the count has started again


def _rejected(s, code):
    if code in (400, 401, 403, 404, 415) or (code == 413 and s.bare):
        s.log("shadow: update refused, {}".format(code))
        _landed(s)
        return
    s.bare = s.bare or code == 413
    s.lost()
    if code in (409, 413):
        s.wait.start(0)


def _landed(s):
    desired = s.pending[1]
    s.bare = False
    _heard(s)
    for key in desired:
        if s.settings.values[key] == desired[key]:
            s.forget(key)


def _heard(s):
    s.asked = s.pending = None
    s.unanswered = 0
    s.wait.start(0)


def document(s, facts):
    # (topic, payload, retained?) of what is due. facts: a dict that is ours from now on.
    if s.birth_due:
        s.birth_due = False
        facts["online"] = True
        return s.topic, json.dumps(facts).encode(), True
    s.serial += 1
    token = "{}-{}".format(s.token, s.serial)
    if s.get_due:
        s.get_due = False
        s.asked = token
        return s.prefix + b"get", json.dumps({"clientToken": token}).encode(), False
    # All settings, `rejected` and the facts.
    s.since_s = s.clock.s
    s.sensor = s.sampler.sensor
    s.failing = s.sampler.failing()
    values, rejected = s.settings.values, s.rejected
    s.rejected = {key: rejected[key] for key in rejected if rejected[key]}
    s.update_due = False
    if not s.rejected or len(rejected) > 40:
        # An object is emptied by deleting it whole; ours follow in another update.
        s.update_due = bool(s.rejected)
        rejected = None
    reported = {} if s.bare else facts
    reported.update(values)
    reported["rejected"] = rejected
    state = {"reported": reported}
    # Together with reported, else the old desired value would come back as a delta.
    desired = {key: values[key] for key in s.local if key in values}
    if desired:
        state["desired"] = desired
    s.pending = token, desired
    text = json.dumps({"state": state, "clientToken": token})
    facts = reported = state = rejected = None  # room for the copy
    return s.prefix + b"update", text.encode(), False
