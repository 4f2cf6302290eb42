# Jobs of AWS IoT (docs/updates.md): asks for the next one, has it done step by step, and says how
# it ended until AWS has that. On demand; app.job is what stays of it: what data/job.json has (id,
# document, state, status, details), and "session": number of the one that it has asked in; "get":
# a $next/get is due, or the messages too long before it went out; "begun": AWS knows; "tries"
# without an answer; "update": how the last ended.
#
#   state        what is done                                 next
#   None         a job comes, and can be done (answers.py)    manifest (update) or key
#   manifest     the first blocks of the release (fetch.py)   signature
#   signature    signature.py: may it run here?               clean
#   clean        clean.py: what is not in it leaves the slot  fetch
#   fetch        fetch.py: the files that are not there       check
#   check        check.py: all hashes, from flash             trial
#   key          rotate.py                                    result or trial
#   trial        the slot has moved; trial.py or boot.py      result
#   result       until AWS has it                             None

import json
from micropython import const

_TAG = const(-4)
_ANSWER_S = const(10)
_LATER_S = const(60)
_MANY = const(3)  # tries; then the waits grow
_IDLE_S = const(21_600)  # whatever was missed is found without a new session


def step(app, topic=None, payload=None):
    # From app.job_s on; True: at once again. Or, with a topic, in the MQTT callback: not before
    # the first step, which asks for all there is.
    job, s = app.job, app.clock.s
    if topic:
        return _receive(app, job, topic, payload)
    app.job_s = s + 1
    if not app.connection.up or _TAG in app.session.waiting:
        return False
    if not job:
        from firmware.updates import resumed

        job = app.job = resumed.job()
        return True
    if job["session"] != app.connection.sessions:
        job["session"], job["tries"] = app.connection.sessions, 0
        job["get"] = job["state"] not in ("trial", "result")
    state = job["state"]
    if job["get"] or state == "result" or (state not in (None, "trial") and not job.get("begun")):
        job["tries"] += 1
        app.job_s = s + (_ANSWER_S if job["tries"] <= _MANY else _LATER_S * job["tries"])
        if job["get"]:
            # After an answer that was too long for this board: who it is, to refuse it.
            asked, job["get"] = job["get"], app.session.oversized + 1
            whole = asked is True or asked == job["get"]
            _send(app, "jobs/$next/get", {"clientToken": "next", "includeJobDocument": whole})
        else:
            _update(app, job)
        return False
    if state == "trial" and not app.trial:
        app.upkeep("update")
    if state in (None, "trial"):
        app.job_s, job["get"] = s + _IDLE_S, not state
        return False
    from firmware.updates import work

    done = work.step(app, job, state)
    if isinstance(done, dict):
        _send(app, "streams/{}/get/json".format(job["document"]["stream"]), done)
    return done is True


def _send(app, topic, document):
    # topic: what follows $aws/things/THING/.
    text = json.dumps(document)
    from firmware.net import packets

    whole = app.prefix[: -len("shadow/")] + topic.encode()
    packets.document(app.session, whole, text, _TAG)


def _update(app, job):
    ended = job["state"] == "result"
    details = job["details"] if ended else {"step": job["state"]}
    status = job["status"] if ended else "IN_PROGRESS"
    document = {"status": status, "statusDetails": details, "clientToken": status}
    _send(app, "jobs/{}/update".format(job["id"]), document)


def _receive(app, job, topic, payload):
    kind, base = topic.decode(), app.prefix[: -len("shadow/")].decode()
    if not job or not kind.startswith(base):
        return
    kind = kind[len(base) :]
    if not kind.startswith("streams/"):
        from firmware.updates import answers

        answers.receive(app, job, kind, payload)
    elif job["state"] in ("manifest", "fetch"):
        from firmware.updates import block

        block.receive(app, job, kind, payload)
