# What AWS says of jobs, inside the MQTT callback; and what cannot be done is refused in words. On
# demand.

from micropython import const

from firmware import chip, files
from firmware.core.text import load

# Said of a job that timed out, or was cancelled or deleted (aws-facts 5.4).
_OVER = ("InvalidStateTransition", "TerminalStateReached", "ResourceNotFound")
_BYTES = const(4_096)  # with a result resumed.py can still read it
_WAIT_S, _MANY = const(5), const(9)  # 10 s, doubled up to 43 minutes
_NAME = "abcdefghijklmnopqrstuvwxyz0123456789_-"


def receive(app, job, kind, payload):
    # kind: what follows $aws/things/THING/.
    try:
        document = load(payload, 12)
    except (ValueError, TypeError):
        app.shadow.junk += 1
        return
    own = "jobs/{}/update/".format(job.get("id"))
    if kind in ("jobs/notify-next", "jobs/$next/get/accepted"):
        _next(app, job, document.get("execution"), len(payload))
    elif kind == own + "accepted":
        # Of what was said before a restart an answer may still come.
        token = document.get("clientToken")
        if job["state"] == "result" and token == job["status"]:
            _dropped(app)
        elif job["state"] and token == "IN_PROGRESS":
            job["begun"], job["tries"], app.job_s = True, 0, app.clock.s
    elif kind == own + "rejected":
        code = str(document.get("code"))[:40]
        chip.log("update: AWS says {}".format(code))
        if code in _OVER:
            # Should AWS hand it out and refuse it again: not in a circle.
            count = min(job.get("over", 0) + 1, _MANY)
            _dropped(app)
            app.job["over"], app.job_s = count, app.clock.s + (_WAIT_S << count)


def _dropped(app):
    from firmware.updates import resumed

    resumed.dropped(app)


def _next(app, job, execution, length):
    job["get"], job["tries"], app.job_s = False, 0, app.clock.s
    ident = execution.get("jobId") if isinstance(execution, dict) else None
    if job["state"] in ("trial", "result") or (ident and ident == job.get("id")):
        return
    if job["state"]:
        chip.log("update: the job is no longer there")
        _dropped(app)
        job = app.job
        job["get"], app.job_s = False, app.clock.s
    if not isinstance(ident, str) or not 1 <= len(ident) <= 64:
        return
    document = execution.get("jobDocument", False)
    short = document is not False and length <= _BYTES  # without one: jobs.py
    document = document if isinstance(document, dict) else {}
    kind = document.get("fieldmouse")
    chip.log("update: job {}, {}".format(ident, kind))
    job["id"], job["document"], job["begun"] = ident, document, False
    job["state"] = "manifest" if kind == "update" else "key"
    why = "the job document is longer than this board can read"
    why = _refusal(kind, document) if short else why
    from firmware.updates import resumed

    if why:
        job["document"] = {"fieldmouse": None}
        resumed.finish(job, "FAILED", {"reason": why})
    else:
        resumed.save(job)


def _refusal(kind, document):
    if kind not in ("update", "csr", "certificate"):
        return "not a job of Fieldmouse: no known kind in the job document"
    config = b"".join((files.read("config.json", 4096) or b"").split())  # who knows who wrote it
    if b'"power":"battery"' in config:
        return "power mode: a board that sleeps takes no updates"
    if kind == "update":
        size, stream = document.get("manifest_bytes"), document.get("stream")
        if type(size) is not int or not 0 < size <= 16_384:
            return "manifest_bytes: must be 1 to 16384"
        # With a wildcard in what is asked AWS would end every session.
        sound = isinstance(stream, str) and 0 < len(stream) <= 128
        if not sound or stream.lower().strip(_NAME):
            return "stream: no name of one"
