# A job as the last run has left it, and how one ends. On demand.

import json
import os
from micropython import const

from firmware import chip, files
from firmware.updates import slots

_PATH = "data/job.json"
_BYTES = const(6_144)  # of data/job.json, with a certificate


def job():
    # With what boot.py has done meanwhile.
    try:
        found = json.loads(files.read(_PATH, _BYTES) or b"{}")
        if not (found.get("id") and isinstance(found["document"], dict)):
            found = {}
    except (ValueError, KeyError, TypeError, AttributeError):
        found = {}
    found.update(ask=False, tries=0, session=None)
    found.setdefault("state", None)
    _, other, why = slots.read()
    if slots.on_trial():  # the power may have gone before that was noted
        if found["state"] not in (None, "trial"):
            found["state"] = "trial"
            save(found)
    elif other:
        if found["state"] == "trial":
            from firmware.updates import trial

            finish(found, "FAILED", trial.failed(why))
        slots.good()  # it was said
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
    elif job["document"].get("version", runs) == runs:
        finish(job, "SUCCEEDED", {"version": runs})
    else:
        finish(job, "FAILED", {"reason": "not tried: {} runs".format(runs)})


def finish(job, status, details):
    text = details.get("reason") or details.get("note") or ""
    chip.log("update: {} {}".format(status, text))
    job["said"] = "{} {}".format(status.lower(), text)[:120]
    for key in ("file", "work", "line", "own", "looked"):
        job.pop(key, None)
    # aws-facts 5.4: values are text of up to 1,024 characters.
    details = {key: str(details[key])[:1000] for key in details if details[key]}
    job["state"], job["status"], job["details"], job["tries"] = "result", status, details, 0
    save(job)


def ended(job, done):
    # A step of it; done: as step() of the state has it.
    finish(job, *done) if isinstance(done, tuple) else save(job)


def save(job):
    kept = ("id", "document", "state", "status", "details")
    files.replace(_PATH, json.dumps({key: job[key] for key in kept if key in job}))


def dropped(app):
    # It is over, or no longer there: on to the next.
    files.attempt(os.remove, _PATH)
    files.attempt(os.remove, "data/release")
    said, session = app.job.get("said"), app.job["session"]
    app.job = {"state": None, "said": said, "ask": True, "tries": 0, "session": session}
    app.job_s = 1
