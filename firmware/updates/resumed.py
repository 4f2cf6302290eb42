# A job as the last run has left it, and how one ends. On demand.

import json
import os
from micropython import const

from firmware import chip, files
from firmware.updates import slots

_PATH = const("data/job.json")
_BYTES = const(6_144)  # of data/job.json, with a certificate


def job():
    # With what boot.py has done meanwhile.
    try:
        found = json.loads(files.read(_PATH, _BYTES) or b"{}")
        if not (found.get("id") and isinstance(found["document"], dict)):
            found = {}
    except (ValueError, KeyError, TypeError, AttributeError):
        found = {}
    found.update({"get": False, "tries": 0, "session": None})
    found.setdefault("state", None)
    _, other, why = slots.read()
    under_way = found["state"] not in (None, "result")
    if slots.on_trial():  # the power may have gone before that was noted
        if under_way and found["state"] != "trial":
            found["state"] = "trial"
            save(found)
    elif other:
        if under_way:  # and so there: else it would be tried twice
            from firmware.updates import trial

            finish(found, "FAILED", trial.failed(why))
        files.attempt(lambda _: slots.good(), None)  # it was said; again, should it not be noted
    elif found["state"] == "trial":
        _ended(found)
    return found


def _ended(job):
    # Well, if it is what runs: by cable the slot may have been set back meanwhile. Of certificates
    # rotate.py says that: the host switches the old one off then.
    from firmware import version

    runs = version.VERSION
    if job["document"].get("fieldmouse") == "certificate":
        job["state"] = "key"
        return
    try:
        with open("data/release", "rb") as f:
            f.readline()
            tried = f.readline()
    except OSError:
        tried = "version {}\n".format(job["document"].get("version")).encode()
    if tried == "version {}\n".format(runs).encode():
        finish(job, "SUCCEEDED", {"version": runs})
    else:
        finish(job, "FAILED", {"reason": "not tried: {} runs".format(runs)})


def finish(job, status, details):
    details = {key: _plain(details[key]) for key in details if details[key]}
    text = details.get("reason") or details.get("info") or ""
    chip.log("update: {} {}".format(status, text))
    job["update"] = "{} {}".format(status.lower(), text)[:120].strip()
    for key in ("file", "work", "line", "own"):
        job.pop(key, None)
    job["state"], job["status"], job["details"], job["tries"] = "result", status, details, 0
    save(job)


def _plain(value):
    # aws-facts 5.4, and the API reference: up to 1,024 characters, [^\p{C}]+. A new line in the
    # text of a crash would have every result rejected.
    value = memoryview(value if isinstance(value, bytes) else str(value))[:1000]
    return bytes(32 if byte < 32 else byte if byte < 127 else 63 for byte in value).decode()


def ended(job, done):
    # A step of it; done: as step() of the state has it.
    if isinstance(done, tuple):
        finish(job, *done)
    else:
        save(job)


def save(job):
    # What could not be is done again after a power cut. It must not end the session: readings go
    # on, and make room.
    kept = ("id", "document", "state", "status", "details")
    try:
        files.replace(_PATH, json.dumps({key: job[key] for key in kept if key in job}))
    except OSError as e:
        chip.log("update: not noted on flash, error {}".format(e))


def dropped(app):
    # It is over, or no longer there: on to the next, which must not find the release of this one.
    files.attempt(os.remove, "data/release")
    files.attempt(os.remove, _PATH)
    ended, session = app.job.get("update"), app.job["session"]
    app.job = {"state": None, "update": ended, "get": True, "tries": 0, "session": session}
    app.job_s = 1
