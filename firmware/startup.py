# Makes the objects of the App, once (docs/memory.md, "Phases").

import gc
from micropython import const

from firmware import board, chip

_NEVER_S = const(0x3FFFFFFF)


def build(app, config, values, saved, state, problems, context):
    # Gives what feeds the watchdog; None where power.py does.
    if config["claim"]:  # flashed with one
        from firmware.updates import claim

        feed = claim.start(app, config, context)
        if feed:
            return feed
    app.safe_s = 3600  # to try again: a full disk, a bus that was shorted may have been the cause
    app.saved, app.problems = saved, problems
    # clock.s: offline since (None: as soon as the session ends); of the last pass without an error
    app.offline_s = app.good_s = app.since_s = app.sent = 0  # sent: readings in second since_s
    app.check_s = app.alarmed = 0  # of the next upkeep.check(); alarms.send()
    # runner, joining: while there are commands to be done; or no network. ssid: joined, lost last.
    app.runner = app.joining = app.ssid = None
    app.wlan, app.networks, app.servers = board.wlan(), config["wifi"], config["ntp"]
    _readings(app, config, values, saved, state)
    app.unload()  # what has read them leaves before the rest comes
    app.settings.apply, app.settings.unload = app.sampler.apply, app.unload
    _session(app, config, context)
    _shadow(app)
    app.connection.make_room, app.connection.short = app.make_room, app.sampler.release
    app.connection.keep_room()
    from firmware import device_info

    app.connection.heap_bytes = device_info.heap_bytes()
    del device_info
    app.unload()
    chip.log("config: {} at {}".format(config["thing_name"], config["endpoint"]))
    app.settings.note("boots", state.get("boots", 0) + (app.cause != "deepsleep"))
    if app.job is None:
        del type(app).jobs
    gc.threshold(1024)
    return None if config.get("power") == "battery" else board.watchdog()


def _readings(app, config, values, saved, state):
    from firmware import outbox, sampler, settings
    from firmware.core.timing import Clock

    log = chip.log
    clock = app.clock = Clock(chip.ticks_ms, chip.ticks_diff)
    app.settings = settings.Settings(values, saved, state, log)
    app.rtc_s2000 = board.rtc_s2000()  # before watchdog() writes to the RTC's memory
    # In safe mode, after repeated crashes: connected, and no sensor and no outbox if it was these.
    app.fault = True
    size = config["outbox_bytes"]
    app.outbox = outbox.Outbox("data/outbox", size, log) if app.safe < 2 else None
    app.sampler = sampler.Sampler(values, clock, app.outbox, app.upkeep, log)
    _battery(app.sampler, config.get("battery"))
    app.fault = False
    # One of each is made: what made it need not stay.
    for one in (settings.Settings, outbox.Outbox, sampler.Sampler):
        del one.__init__


def _battery(sampler, given):
    # Measured here for the first reading: by the time that is taken the radio is on.
    if given:
        divider = given["pin"], int(given["ratio"] * 1000 + 0.5)
        sampler.divider = divider + ((board.battery_mv(*divider),) if sampler.outbox else ())
        sampler.apply("battery")


def _session(app, config, context):
    from firmware.core import telemetry, topics
    from firmware.net.connection import Connection
    from firmware.net.session import Session

    # job_s: of the next updates/jobs.step(). job: None where jobs are not heard.
    app.job, app.job_s = ({}, 0) if config.get("updates") and chip.VERIFIED else (None, _NEVER_S)
    thing = config["thing_name"].encode()
    names = topics.of(config["thing_name"], config["telemetry_topic"], config["command_topic"])
    data, app.commands, app.topic, status, app.prefix = [name.encode() for name in names]
    app.window, app.window_max = config["window"], config["window_max"]
    where = config["endpoint"], config["port"], config["keepalive_s"]
    args = app.clock, app.window_max, data, telemetry.USUAL_BYTES + len(thing), app.encode
    session = app.session = Session(thing, *where, *args)
    session.set_last_will(status, b'{"online": false}', True, 1)
    session.set_callback(app.on_message)
    session.on_ack, session.filters = app.on_ack, app.filters
    # Of the filters only the topic of commands may be another one than when AWS made the session.
    known = names[1] + "*" * (app.job is not None)
    session.doubt = app.settings.state.get("filters") != known
    args = app.clock, chip.random, chip.log, context, config["message_bytes"]
    app.connection = Connection(session, *args)
    del Session.__init__, Connection.__init__


def _shadow(app):
    from firmware.shadow_sync import ShadowSync

    args = app.prefix, app.facts, hex(chip.random(1 << 24))[2:]
    app.shadow = ShadowSync(app.connection, app.settings, app.sampler, *args)
    app.connection.on_up = app.shadow.connected
    del ShadowSync.__init__
