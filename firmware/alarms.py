# What becomes of the alarms that sampling.py has found, as functions on the App. On demand, and
# without sampling.py: there is no room for both beside a session.

from micropython import const

from firmware.core import several, telemetry

_TAG = const(-3)  # of an alarm in the session


def send(app):
    # True: the reading that the outbox hands out next may be sent. It has the blocks of
    # core/several.py; alarms among them go first, on a topic of their own. app.alarmed: the seq
    # whose alarm AWS has; below zero, does not have yet.
    from firmware.core import topics
    from firmware.net import packets

    outbox, session = app.outbox, app.session
    seq = outbox.read
    if app.alarmed == seq:
        return True
    if _TAG in session.waiting:
        return False
    frame = outbox.get(seq)
    text = several.text(frame, outbox.at, True)
    if not text:
        return True
    starts, thing = app.settings.state.get("start"), session.client_id
    buf = bytearray(telemetry.TEXT_BYTES + len(thing) + len(text))
    end = telemetry.write_json(buf, 0, frame, outbox.at, thing, starts)
    end = several.add(buf, end, text)
    packets.document(session, topics.alarms(session.lw_topic), buf[:end], _TAG)
    app.alarmed, app.connection.alarm_sessions = -seq, app.connection.sessions + 1
    return False


def keep(app):
    # On flash, as they change: what has begun before a restart must end after it. They stay there
    # once there was one: it may wait in the outbox when nothing asks for alarms any more.
    extra, settings = app.sampler.extra, app.settings
    if extra.alarms:
        if any(extra.alarms) or "alarms" in settings.state:
            settings.note("alarms", list(extra.alarms))
    elif len(settings.state.get("alarms", ())) == len(telemetry.SIZES):
        extra.alarms = bytearray(settings.state["alarms"])
