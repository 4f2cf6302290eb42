# What the messages of the shadow service mean to the board, and what it sends: functions on the
# state `s`, a ShadowSync (firmware/shadow_sync.py has its attributes). No I/O. On demand.
#
#   event                          effect
#   get/accepted                   the whole document: apply what is desired, report what differs
#   get/rejected 404               no shadow yet: report everything
#   get/rejected, other            get again, later
#   update/delta, not seen yet     apply; its keys are all that differ
#   update/accepted, ours          AWS has it
#   update/accepted, another's     perhaps a value we rejected is gone: get
#   update/rejected 409            get, then update
#   update/rejected 413            the same, without the facts
#   update/rejected 429, 5xx       the same, later
#   update/rejected, other         the update was bad: logged, not repeated
#
# A desired value is put in force and saved by settings.set(); only then it is reported. One that
# is not is named in reported.rejected with the reason, until it goes away.

import json

from firmware.core.documents import load


def receive(s, kind, payload):
    # Inside the MQTT callback: only notes. kind: bytes, the topic after ".../shadow/"; AWS may
    # send what nobody has subscribed to.
    if kind not in (
        b"update/delta",
        b"update/accepted",
        b"update/rejected",
        b"get/accepted",
        b"get/rejected",
    ):
        return
    message = load(payload, 12)
    try:
        if message is None:
            raise ValueError
        token = message.get("clientToken")
        if kind == b"update/delta":
            version = _version(message)
            desired = _section(message, "state")
            if 2 * version + 1 > s.seen:
                s.seen = 2 * version + 1
                # One that answers an update of ours is no news of what AWS has as reported.
                ours = isinstance(token, str) and token.startswith(s.token)
                s.desired = desired, not ours
        elif kind == b"update/accepted":
            _accepted(s, message, token)
        elif kind == b"update/rejected":
            if s.pending and token in (None, s.pending[0]):  # AWS leaves it out of some
                _rejected(s, message.get("code"))
        elif s.asked and token in (None, s.asked):  # others' answers come on the same topics
            _answered(s, message, token, kind == b"get/accepted")
    except (ValueError, TypeError):
        s.junk += 1


def _version(message):
    version = message.get("version")
    if not isinstance(version, int) or version < 0:
        raise ValueError
    return version


def _section(message, key):
    # An object; {} where there is none.
    section = message.get(key)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise TypeError
    return section


def _answered(s, message, token, accepted):
    desired = reported = {}
    version = -1
    if accepted:
        state = _section(message, "state")
        desired = _section(state, "desired")
        reported = _section(state, "reported")
        version = _version(message)
        if token is None and 2 * version + 1 < s.seen:
            return
    elif message.get("code") != 404:
        s.asked = None
        s.get_due = True
        s.wait.start(30_000)
        return
    # Even a lower version: a shadow that was deleted may count from 0 again.
    s.seen = 2 * version + 1
    s.asked = None
    s.unanswered = 0
    s.wait.start(0)
    values = s.settings.values
    for key in values:
        if reported.get(key) != values[key]:
            s.update_due = True
    rejected = reported.get("rejected", {})
    s.rejected = rejected if isinstance(rejected, dict) else {"?": True}  # to be put right
    # An unknown key that stands in reported as well is not open; the AWS console makes new
    # shadows with one.
    s.desired = (
        {k: desired[k] for k in desired if k in values or reported.get(k) != desired[k]},
        False,
    )


def _accepted(s, message, token):
    ours = s.pending and token == s.pending[0]
    if ours:
        _landed(s)
    version = _version(message)
    if 2 * version > s.seen:
        s.seen = 2 * version
        # A rejected value that is taken back brings no delta when nothing else differs.
        # MiniStack leaves a section set to null out of its answer, AWS does not.
        state = message.get("state")
        if not ours and (s.rejected or s.desired):
            if not isinstance(state, dict) or "desired" in state or "reported" not in state:
                s.get_due = True
    elif ours and 2 * version + 1 < s.seen:
        s.get_due = True  # overtaken on the way, or the count has started again


def _rejected(s, code):
    if code in (400, 401, 403, 404, 415) or (code == 413 and s.bare):
        s.log("shadow: update refused, {}".format(code))
        _landed(s)
        return
    s.bare = s.bare or code == 413
    s.pending = None
    s.get_due = s.update_due = True
    s.wait.start(0 if code in (409, 413) else 30_000)


def _landed(s):
    values = s.settings.values
    desired = s.pending[1]
    s.pending = None
    s.bare = False
    s.unanswered = 0
    s.wait.start(0)
    for key in desired:
        if values[key] == desired[key]:
            s.local.pop(key, None)
            s.settings.note("local", dict(s.local) or None)


def desire(s):
    # Outside the callback: applies what was noted. What was rejected and is not desired any more
    # is to be taken out of reported: None.
    desired, named = s.desired
    s.desired = None
    values = s.settings.values
    rejected = {}
    failed = {}
    # The known keys first, so that no flood of others can hide them.
    keys = sorted(key for key in values if key in desired)
    keys += sorted(key for key in desired if isinstance(key, str) and key not in values)
    for key in keys:
        if len(rejected) == 8 and key not in values:
            rejected["..."] = "and more"
            break
        old = values.get(key)
        why = _apply(s, key, desired[key], failed)
        if why:
            if key not in values:
                from firmware.core.text import printable

                key = printable(key, 40)
            rejected[key] = why[:96]
            if s.rejected.get(key) != rejected[key]:
                s.log("shadow: {} rejected: {}".format(key, rejected[key]))
        elif named or values.get(key) != old:
            s.update_due = True  # AWS's reported value is not ours
    s.failed = failed
    for key in s.rejected:
        if key not in rejected:
            rejected[key] = None
    if rejected != s.rejected:
        s.rejected = rejected
        s.update_due = True


def _apply(s, key, value, failed):
    # None, or why it was not done. What failed is not tried again until the value changes.
    values = s.settings.values
    if value is None:
        return None
    if key in s.local:
        if value == s.local[key]:
            return None  # what a command has replaced; the next update says so
        s.local.pop(key)  # desired since then
        s.settings.note("local", dict(s.local) or None)
    if key not in values:
        return s.settings.set(key, value)
    text = json.dumps(value)
    why = s.failed.get(key)
    if why is None or why[0] != text:
        old = values[key]
        why = text, s.settings.set(key, value)
        if values[key] != old:
            s.log("shadow: {} is now {}".format(key, json.dumps(values[key])))
    if why[1] and len(text) <= 96:
        failed[key] = why
    return why[1]


def _token(s):
    s.serial += 1
    return "{}-{}".format(s.token, s.serial)


def get(s):
    s.get_due = False
    s.asked = _token(s)
    return json.dumps({"clientToken": s.asked}).encode()


def update(s, facts):
    # All settings, `rejected` and the facts; facts: a dict that is ours from now on.
    values = s.settings.values
    rejected = s.rejected
    s.rejected = {key: rejected[key] for key in rejected if rejected[key]}
    s.update_due = False
    if not s.rejected or len(rejected) > 40:
        # An object is emptied by deleting it whole. So is one full of other names: ours then
        # follow in another update.
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
    s.pending = _token(s), desired
    return json.dumps({"state": state, "clientToken": s.pending[0]}).encode()
