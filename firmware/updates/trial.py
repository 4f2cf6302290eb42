# A new firmware or certificate is on trial, or was (docs/updates.md). On demand.

import os
from micropython import const

from firmware import chip, files
from firmware.updates import slots

_REFUSED_S = const(900)
_LASTS_S = const(60)  # a session: what the policy forbids has ended it by then
_WHY = {
    "starts": "gone back: three starts, and no reading with the shadow accepted in any of them",
    "day": "gone back: no reading with the shadow accepted within a day",
    "refused": "gone back: no session that lasts with the new certificate",
}


def check(app):
    # Now and then, while it is. Should `slot` not be written the session, which makes room, stays.
    try:
        _check(app)
    except OSError as e:
        app.check_s = app.clock.s + _LASTS_S
        chip.log("update: slot not written, error {}".format(e))


def _check(app):
    link = app.connection
    now, other, left = slots.read()
    if not slots.on_trial():
        return app.upkeep("update")
    if slots.running() != now[0]:  # boot.py could not count: tried again, but readings go on
        return app.clock.s >= _REFUSED_S and app.upkeep("update")
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
    elif now[1] != other[1] and _refused(app, link):
        slots.back("refused")
        app.upkeep("update")


def _refused(app, link):
    # Only the time counts in which AWS could have let it in: network there, date known. Sessions
    # that are ended at the first message are none.
    s = app.clock.s
    total_s, last_s = getattr(app, "rejected", (0, s))
    if link.up:
        total_s *= s - link.since_s < _LASTS_S
    elif app.joining is None and app.clock.offset is not None:
        total_s += s - last_s
    app.rejected = total_s, s
    return total_s >= _REFUSED_S


def failed(why):
    # Details for the job: with what has crashed, if anything has.
    from firmware import crash

    text = files.read("data/import.log", 700) or crash.read(700)
    files.attempt(os.remove, "data/import.log")
    return {"reason": _WHY.get(why, why), "crash": text}
