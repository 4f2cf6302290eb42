# A new firmware or certificate is on trial, or was (docs/updates.md). On demand.

import os
from micropython import const

from firmware import chip, files
from firmware.updates import slots

_REFUSED_S = const(900)
_WHY = {
    "starts": "gone back: three starts, and no reading with the shadow accepted in any of them",
    "day": "gone back: no reading with the shadow accepted within a day",
    "refused": "gone back: no session with the new certificate",
}


def check(app):
    # Now and then, while it is.
    link = app.connection
    now, other, left = slots.read()
    if not slots.on_trial():
        return app.upkeep("restart_for_trial")
    if slots.running() != now[0]:  # boot.py could not count: tried again, but readings go on
        return app.clock.s >= _REFUSED_S and app.upkeep("restart_for_trial")
    # A get is answered with accepted; seen: the version in it.
    heard = app.shadow.seen >= 0 and not app.shadow.pending and not app.shadow.get_due
    # {}: that the slot has moved may not be noted yet, and then good looks like not tried.
    if app.trial == 2 and heard and app.job != {}:
        slots.good()
        chip.log("update: good, {} stays".format(now))
        app.trial = False
        if app.job is not None:
            app.job, app.job_s = {}, 0
        if now[1] != other[1] and files.read("certs/claim.json", 1):
            from firmware.updates import claim

            claim.wipe()
    elif now[1] != other[1] and not link.up and app.joining is None:
        if app.clock.offset is not None and app.clock.s - link.since_s >= _REFUSED_S:
            slots.back("refused")
            app.upkeep("restart_for_trial")


def failed(why):
    # Details for the job: with what has crashed, if anything has.
    from firmware import crash

    text = files.read("data/import.log", 700) or crash.read(700)
    files.attempt(os.remove, "data/import.log")
    return {"reason": _WHY.get(why, why), "crash": text}
