# Jobs of AWS IoT (docs/updates.md): asks for the next one, refuses in words what cannot be done,
# has the rest done step by step, and says how it ended until AWS has that. On demand; app.job is
# what stays of it: what data/job.json has (id, document, state, status, details), and "ask": a
# $next/get is due; "begun": AWS knows; "tries" without an answer; "said" for `reported`.
#
#   state                 event                        next state
#   None                  a job that can be done       manifest (update) or key
#   manifest, clean, fetch, key   done                 the next of them, or check
#   check, key            all is right                 trial: the slot is moved, and a restart
#   trial                 good, or gone back           result
#   any but trial         it fails; is cancelled       result; None
#   result                AWS has it                   None

import json
import os
from micropython import const

from firmware import chip, files
from firmware.core.text import load
from firmware.updates import slots

_PATH = "data/job.json"
_TAG = const(-4)
_ANSWER_S = const(10)
_LATER_S = const(60)
_MANY = const(3)  # tries; then the waits grow
_IDLE_S = const(21_600)  # whatever was missed is found without a new session
_BYTES = const(6_144)  # of data/job.json, with a certificate
# What AWS says of a job that timed out, or was cancelled or deleted (aws-facts 5.4).
_OVER = ("InvalidStateTransition", "TerminalStateReached", "ResourceNotFound")
_KEPT = ("id", "document", "state", "status", "details")


def step(app):
    # While there is a session, from app.job_s on; 0: it has just begun. True: at once again.
    s, job = app.clock.s, app.job
    if job is None:
        job = app.job = _resumed()
    if app.job_s == 0:
        job["ask"], job["tries"] = job["state"] not in ("trial", "result"), 0
    app.job_s = s + 1
    if _TAG in app.session.waiting:
        return False
    if job["ask"] or job["state"] == "result" or (job["state"] and not job.get("begun")):
        job["tries"] += 1
        wait_s = _ANSWER_S if job["tries"] <= _MANY else _LATER_S * job["tries"]
        app.job_s = s + wait_s
        if job["ask"]:
            send(app, "jobs/$next/get", {"clientToken": "next"})
        else:
            _update(app, job)
    elif job["state"] in (None, "trial"):
        app.job_s, job["ask"] = s + _IDLE_S, not job["state"]
    else:
        return _work(app, job)


def _resumed():
    # With what boot.py has done meanwhile.
    try:
        job = json.loads(files.read(_PATH, _BYTES) or b"{}")
        job = {key: job[key] for key in _KEPT if key in job and job["id"] and job["document"]}
    except (ValueError, KeyError, TypeError):
        job = {}
    job["ask"], job["tries"] = False, 0
    job.setdefault("state", None)
    _, other, why = slots.read()
    if other and not slots.on_trial():
        if job["state"] == "trial":
            from firmware.updates import trial

            _finish(job, "FAILED", trial.failed(why))
        slots.good()  # it was said
    elif not other and job["state"] == "trial":
        _finish(job, "SUCCEEDED", {"version": job["document"].get("version")})
    return job


def _finish(job, status, details):
    text = details.get("reason") or details.get("note") or ""
    chip.log("update: {} {}".format(status, text))
    job["said"] = "{} {}".format(status.lower(), text)[:120]
    job["state"], job["status"], job["details"], job["tries"] = "result", status, details, 0
    save(job)


def save(job):
    files.replace(_PATH, json.dumps({key: job[key] for key in _KEPT if key in job}))


def _dropped(app):
    files.attempt(os.remove, _PATH)
    files.attempt(os.remove, "data/release")
    said = app.job.get("said")
    app.job = {"state": None, "said": said, "ask": True, "tries": 0}
    app.job_s = 1


def send(app, topic, document):
    # topic: what follows $aws/things/THING/.
    from firmware.net import packets

    whole = app.prefix[: -len("shadow/")] + topic.encode()
    packets.document(app.session, whole, json.dumps(document), _TAG)


def _update(app, job):
    ended = job["state"] == "result"
    details = job["details"] if ended else {"step": job["state"]}
    # aws-facts 5.4: values are text of up to 1,024 characters.
    details = {key: str(details[key])[:1000] for key in details if details[key]}
    status = job["status"] if ended else "IN_PROGRESS"
    document = {"status": status, "statusDetails": details, "clientToken": status}
    send(app, "jobs/{}/update".format(job["id"]), document)


def _work(app, job):
    update, before = job["document"]["fieldmouse"] == "update", job["state"]
    try:
        if update:
            from firmware.updates import fetch as worker
        else:
            from firmware.updates import rotate as worker
        done = worker.step(app, job)
    except (OSError, ValueError) as e:
        done = "FAILED", {"reason": "{}".format(e)}
    finally:
        worker = None
    if done == "trial":
        job["state"] = done
        save(job)
        files.attempt(os.remove, "data/import.log")
        now = slots.read()[0]
        slots.trial(slots.spare(0) + now[1] if update else now[0] + slots.spare(1))
        app.upkeep("restart_for_trial")
    elif isinstance(done, tuple):
        _finish(job, *done)
    elif isinstance(done, dict):
        send(app, "streams/{}/get/json".format(job["document"]["stream"]), done)
    elif job["state"] != before:
        save(job)
    return bool(done) and not isinstance(done, dict)


def receive(app, topic, payload):
    # Inside the MQTT callback. Nothing before the first step(): it asks for all there is.
    job, base = app.job, app.prefix[: -len("shadow/")]
    if job is None or not topic.startswith(base):
        return
    kind = topic[len(base) :].decode()
    if kind.startswith("streams/"):
        if job["state"] in ("manifest", "fetch"):
            from firmware.updates import fetch

            fetch.receive(app, job, kind, payload)
        return
    try:
        document = load(payload, 12)
    except (ValueError, TypeError):
        app.shadow.junk += 1
        return
    if kind in ("jobs/notify-next", "jobs/$next/get/accepted"):
        _next(app, job, document.get("execution"))
    elif kind == "jobs/{}/update/accepted".format(job.get("id")):
        _answered(app, job, document.get("clientToken"))
    elif kind == "jobs/{}/update/rejected".format(job.get("id")):
        chip.log("update: AWS says {}".format(str(document.get("code"))[:40]))
        if str(document.get("code")) in _OVER:
            _dropped(app)


def _answered(app, job, token):
    # Of what was said before a restart an answer may still come.
    if job["state"] == "result" and token == job["status"]:
        _dropped(app)
    elif job["state"] and token == "IN_PROGRESS":
        job["begun"], job["tries"], app.job_s = True, 0, app.clock.s


def _next(app, job, execution):
    job["ask"], job["tries"], app.job_s = False, 0, app.clock.s
    if job["state"] in ("trial", "result"):
        return
    found = isinstance(execution, dict)
    ident = execution.get("jobId") if found else None
    if job["state"]:
        if ident == job["id"]:
            return
        chip.log("update: the job is no longer there")
        _dropped(app)
        job = app.job
        job["ask"], app.job_s = False, app.clock.s
    if not found or not isinstance(ident, str) or not 1 <= len(ident) <= 64:
        return
    document = execution.get("jobDocument")
    job["id"], job["document"] = ident, document if isinstance(document, dict) else {}
    kind = job["document"].get("fieldmouse")
    chip.log("update: job {}, {}".format(ident, kind))
    job["state"] = "manifest" if kind == "update" else "key"
    why = _refusal(kind)
    if why:
        job["document"] = {"fieldmouse": None}
        _finish(job, "FAILED", {"reason": why})
    else:
        save(job)


def _refusal(kind):
    if kind not in ("update", "csr", "certificate"):
        return "not a job of Fieldmouse: no known kind in the job document"
    if b'"power":"battery"' in (files.read("config.json", 4096) or b""):  # as tools/ write it
        return "power mode: a board that sleeps takes no updates"
