# One step of a job that can be done (jobs.py has the states). On demand, so that a board without
# one has no names of what would do it.

from micropython import const

from firmware import chip

_ENOSPC = const(28)
_SHORT_S = const(60)  # the longest wait for memory
_TURN_MS = const(100)


def step(app, job, state):
    # True: at once again; or a request to the stream.
    try:
        worker, began_ms = _worker(state), chip.ticks_ms()
        done = worker.step(app, job)
        # Several at once: what they need is loaded anew for each pass of the loop.
        while done is True and job["state"] == state and not app.sampler.due:
            if chip.ticks_diff(chip.ticks_ms(), began_ms) >= _TURN_MS:
                break
            done = worker.step(app, job)
    except (OSError, ValueError) as e:
        text = "flash: error {}" if isinstance(e, OSError) else "{}"
        if e.args[:1] == (_ENOSPC,):
            from firmware.updates import clean

            clean.empty()
            text = "no room: the flash is full"
        done = "FAILED", {"reason": text.format(str(e) or type(e).__name__)}
    except MemoryError:
        # Put off: what it has done is on flash, and by then there may be more.
        if not app.sampler.due:
            app.sampler.release()
        job["delay"] = min(job.get("delay", 0) + 1, _SHORT_S)
        app.job_s = app.clock.s + job["delay"]
        return False
    job["delay"] = 0
    if isinstance(done, dict):
        return done
    if done == "trial":
        job["state"] = done
    if job["state"] != state or isinstance(done, tuple):
        from firmware.updates import resumed

        resumed.ended(job, done)
    more = done in (None, True, "trial")
    app.job_s = app.clock.s if more else app.job_s
    return more


def _worker(state):
    if state in ("manifest", "fetch"):
        from firmware.updates import fetch as worker
    elif state == "signature":
        from firmware.updates import signature as worker
    elif state == "clean":
        from firmware.updates import clean as worker
    elif state == "check":
        from firmware.updates import check as worker
    else:
        from firmware.updates import rotate as worker
    return worker
