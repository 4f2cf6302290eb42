# What the loop does now and then, as functions on the App. On demand.

from micropython import const

from firmware import chip, version
from firmware.core import telemetry

_CHECK_S = const(2)  # between two check()
_CHANGED_S = const(3)  # in safe mode, time to report a setting that has changed
_CRASH_S = const(60)  # after a crash: how often the length of the run is written down
_TRIAL_S = const(60)
_TAG = const(-1)  # of the shadow's documents in the session
_ALARM = const(-3)
_FAILURES = const(3)  # in a row: then a sensor is lost (sampler.py)
_FIRST_S = const(120)  # to get on line after a start: Wi-Fi, the time, an ESP8266's handshake
_NO_TIME_S = const(259_200)  # without the time: a restart costs the dates of what is stored
_SILENT = const(3)  # NTP servers that gave no time: then AWS has to
_STARTS = const(16)  # boots without a time that are told apart


def take_rtc(app):
    # Once, at boot.
    from firmware.net import clock

    clock.take_rtc(app.clock, app.rtc_s2000, app.settings, version.BUILD_S2000, chip.log)


def ask_time(app):
    from firmware import board
    from firmware.net import clock

    args = app.clock, app.settings, version.BUILD_S2000, board, chip.log, chip.VERIFIED
    known = app.clock.offset is not None
    if app.clock.heard:
        clock.heard(*args)
    else:
        clock.ask(*args, app.servers, chip.random)
    if not known and app.clock.offset is not None and app.offline_s is not None:
        app.offline_s = app.clock.s  # before that it could not send


def update(app):  # goes on with a restart
    restart(app, "update: restarting")


def step_link(app):
    # While joined, and the time is not known. Where the server has to be verified: provisionally.
    link, silent = app.connection, app.clock.failures >= _SILENT
    waits = link.up or (link.wait_in.left_ms() and not link.opening)
    if silent and chip.VERIFIED and not waits:
        from firmware import board
        from firmware.net import provisional

        provisional.step(link, app.settings, version.BUILD_S2000, board)
    else:
        link.step(silent)


def check(app):
    # While there is no session, in safe mode, after a crash, and while a setting is on trial.
    s, link = app.clock.s, app.connection
    app.check_s = s + _CHECK_S
    app.job_s *= app.job is None or link.up  # the next session asks anew
    if app.counted_s and s >= app.counted_s:
        from firmware import crash

        app.counted_s = crash.alive(s, chip.log) and s + _CRASH_S
    if app.saved is not app.settings.saved:  # what has changed may have been the cause
        app.saved, app.safe_s, app.settings.since_s = app.settings.saved, s + _CHANGED_S, s
    if app.trial:
        from firmware.updates import trial

        trial.check(app)
    if "trial" in app.settings.state:
        _trial(app, app.settings.state["trial"])
    _alarm(app, link)
    if app.safe and s >= app.safe_s and not (app.runner and link.up):
        restart(app, "safe mode ends, trying again")
    limit_s = app.settings.values["offline_reboot_s"]
    # A session counts in which AWS has acknowledged something: what fails in each must not hide.
    if app.offline_s is None and not link.up:
        app.offline_s = s
    outage_s = 0 if link.up else s - app.offline_s
    least_s = _NO_TIME_S if app.clock.offset is None else 0 if link.sessions else _FIRST_S
    # On trial a start is counted: there boot.py ends what takes too long.
    if limit_s and outage_s >= max(limit_s, least_s) and not app.trial:
        restart(app, "offline for {} s, restarting".format(outage_s))
    # Once a heap has grown into the memory of TLS it never gets small again (docs/memory.md). One
    # restart at most: it may be a lack that none cures.
    if not link.up and str(link.last_reason).startswith("memory") and app.cause != "memory":
        from firmware import device_info

        if device_info.heap_bytes() > link.heap_bytes + 1024:
            restart(app, "Python's heap has grown into the memory of TLS, restarting", b"memory")


def _alarm(app, link):
    # A policy that forbids the topic of alarms must not end every session from now on.
    if app.alarmed < 0 and not link.up and link.sessions > link.alarm_sessions:
        chip.log("app: alarm not taken in three sessions, dropped; see docs/troubleshooting.md")
        app.session.release(app.session.tags.index(_ALARM))
        link.failures[0] = 0


def start(app):
    # When this boot began, into settings.state["start"] (core/telemetry.py has the form): as a
    # bound before its first reading that has no time, and once the time is known. An older boot
    # that has only a bound gets an end then, so that an estimate stays what it is.
    settings, outbox, sampler, s2000 = app.settings, app.outbox, app.sampler, app.clock.offset
    starts, noted = list(settings.state.get("start", ())), sampler.started
    if noted is None:
        # Of a boot that has stored nothing a bound says nothing; a known start ends an estimate.
        while starts and starts[-2] + (starts[-1] < 0) > outbox.next:
            del starts[-2:]
    own = noted == 0 or starts[-1:] == [noted]
    began = -_earliest(app, starts, noted) if s2000 is None else s2000
    if own:
        starts[-1] = began
    elif s2000 is None or not starts or starts[-1] < 0:
        starts += [outbox.next, began]
    while len(starts) > 2 and (starts[2] <= outbox.low or len(starts) > 2 * _STARTS):
        del starts[:2]
    if s2000 is None:
        _save(settings, starts)
    else:
        settings.note("start", starts)
    sampler.started = s2000 or 0
    app.unload()  # storing the reading needs outbox_files.py next


def _save(settings, starts):
    # OSError when it cannot be: without it the readings would count for an earlier boot.
    from firmware import files

    state = dict(settings.state)
    state["start"] = starts
    files.save_settings(settings.saved, state)
    settings.state = state


def _earliest(app, starts, noted):
    # In mid-boot, where the time was dropped, that is now. Without clock.py: memory is short here.
    outbox = app.outbox
    frame = outbox.get(outbox.next - 1) or outbox.get(outbox.next - 2)  # one may be passed over
    newest = abs(telemetry.time_of(frame, outbox.at, starts)) if frame else 0
    now = max(newest, version.BUILD_S2000, app.settings.state.get("clock", 0))
    return now if noted is None else now - app.clock.s


def reading(app):
    # At log_level debug: the newest one, as it was made.
    from firmware.core.quantities import rows
    from firmware.core.several import decimal

    text = ""
    for one in app.sampler.probes:
        text += "" if one is app.sampler else " {}:".format(one.name)
        for value, row in zip(one.driver.values if one.driver else (), rows()):
            if value is not None:
                text += " {} {}".format(decimal(value, row[2]), row[1])
    line = "sensor:{}, kept in RAM" if app.sampler.kept else "sensor:{}, seq {}"
    chip.log(line.format(text, app.outbox.next - 1))


def alarms(app):
    from firmware import alarms

    alarms.keep(app)


def flush(app):
    # Before a restart: what waits in RAM is tried once more, and else counted.
    outbox, sampler = app.outbox, app.sampler
    if sampler.extra:
        alarms(app)  # of a wake without radio
    while sampler.kept and sampler.flush():
        pass
    if sampler.kept:
        outbox.dropped += len(sampler.kept)
        outbox.saved, sampler.kept = -1, []  # so that flush() saves the count
    outbox.flush()


def _trial(app, trial):
    # New settings are good after a minute, in a session with nothing sent and not acknowledged;
    # but not when a sensor that was found before is lost with them.
    sync, why = app.shadow, "restored: the sensor was lost"
    owes = app.clock.s >= sync.birth_s or sync.out or _TAG in app.session.waiting
    keys = [key for key in ("i2c", "sensor") if key in trial]
    if app.sampler.failures >= _FAILURES and any([trial[key][1] for key in keys]):
        from firmware import overrides

        for key in keys:
            problem = overrides.release(app.settings, key, trial[key][0], why)
            chip.log("config: {} {}".format(key, problem or why))
            sync.get_due |= not problem  # what was desired is to be named as rejected
    elif app.connection.up and not owes and app.clock.s - app.settings.since_s >= _TRIAL_S:
        app.settings.note("trial", None)


def restart(app, text="restarting, as commanded", why=b""):
    # On purpose: whatever crashed before, the next start is a normal one.
    from firmware import board, crash
    from firmware.net import packets

    chip.log("app: " + text)
    if app.counted_s:
        crash.alive(crash.STABLE_S, chip.log)
    if app.outbox:
        flush(app)
    packets.disconnect(app.session)
    if app.clock.offset is not None:
        board.set_rtc(app.clock.offset + app.clock.s)  # an ESP8266's is off by minutes
    board.reset(why)
