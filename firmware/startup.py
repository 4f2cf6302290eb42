# What happens once, before there is a loop (docs/memory.md, "Phases"). `python -m tools stage` has
# checked and completed config.json: only the values that the cloud may change are checked here,
# and one that is wrong costs itself. Without any other key there is nothing to run.

import json
import sys

from firmware import board, chip, version


def prepare():
    # What build() takes; then what is known of the last run.
    from firmware import crash, files
    from firmware.net import tls

    context = False if tls.VERIFIED else None  # False: each connect tries again
    try:
        if tls.VERIFIED:
            context = tls.context()
        else:
            chip.log("tls: server NOT verified, this port cannot; see docs/security.md")
    except Exception as e:
        from firmware.net import failure

        chip.log("tls: no context, {} {}".format(*failure.why(e, False)))
    cause = board.reset_cause()
    chip.log("app: fieldmouse {}, reset by {}".format(version.VERSION, cause))
    crashed = crash.ended(cause)
    safe, counted = crash.boot(cause, chip.log)
    if safe:
        chip.log("app: SAFE MODE after repeated crashes, see get_log")
        if safe == 2:
            chip.log("app: sensor and outbox are left alone")
    config = _config()
    values, saved, state, problems = _values(config, files.load_settings(), crashed)
    last = crash.read(300).strip().split("\n")[-1] or None
    return [config, values, saved, state, problems, context, (cause, safe, counted, last)]


def _config():
    from firmware.core.schema import KEYS

    try:
        with open("config.json") as f:
            config = json.load(f)
        missing = [key for key in KEYS.split() if not config.get(key)]
        if not missing:
            return config
        problem = "missing: {}".format(", ".join(missing))
    except (OSError, ValueError, AttributeError):  # UnicodeError is a ValueError
        problem = "is missing, or no JSON object"
    chip.log("config: PROBLEM config.json: " + problem)
    chip.log("config: cannot start; send a good config.json with `make deploy`")
    chip.sleep_ms(10_000)  # there may be a good one then; Ctrl-C gives the REPL
    board.reset()


def _values(config, found, crashed):
    # What the cloud has changed counts more than config.json, as long as it is sound.
    from firmware.core import schema

    problems = [] if found else ["settings: file damaged, config.json alone counts"]
    values, given = dict(schema.DEFAULTS), {}
    _apply(values, config, given, "{}: {}", problems)
    saved, state = _good(found or ({}, {}), given, crashed)
    valid = {}
    _apply(values, saved, valid, "settings: {}: {}", problems)
    for key in valid:
        texts = json.dumps(values[key]), json.dumps(given.get(key, schema.DEFAULTS[key]))
        chip.log("config: {} {} from the cloud, config.json has {}".format(key, *texts))
    for problem in problems:
        chip.log("config: PROBLEM " + problem)
    return values, saved, state, problems


def _apply(values, source, sound, text, problems):
    # sound: gets what of it is sound.
    from firmware.core import schema

    for key in schema.DEFAULTS:
        if key in source:
            value, problem = schema.check(key, source[key], values, sys.implementation[2])
            if problem:
                problems.append(text.format(key, problem))
            else:
                values[key] = sound[key] = value


def _good(found, given, crashed):
    # (overrides, state) to begin with. A crash takes back what was on trial. What has changed in
    # config.json, given, since the last start came over the cable: a change made at the device.
    from firmware import files
    from firmware.core.schema import DEFAULTS

    saved, state = _section(found[0]), dict(found[1])
    local = state["local"] = _section(state.get("local"))
    trial = state["trial"] = _section(state.get("trial"), bool)
    state["rejected"] = _section(state.get("rejected"), str)
    before, now = _section(state.get("config")), {}
    for key in DEFAULTS:
        if crashed and key in trial:
            why = "restored: the board crashed with it"
            chip.log("config: {} {}".format(key, why))
            saved, state = files.change(saved, state, key, trial[key][0], None, why)
        old = before.get(key, DEFAULTS[key])
        value = given.get(key, old)
        if value != old and "config" in state:
            chip.log("config: {} has changed in config.json".format(key))
            local[key] = saved.get(key, old) if local.get(key) is None else local[key]
            saved, state = files.change(saved, state, key, None)
        if value != DEFAULTS[key]:
            now[key] = value
    return saved, _store(files, found, saved, state, now)


def _section(entries, kind=None):
    # Without what is no setting any more, or not what this firmware writes: pairs with a `kind`.
    from firmware.core.schema import DEFAULTS

    known = {}
    for key in DEFAULTS if isinstance(entries, dict) else ():
        entry = entries.get(key)
        pair = isinstance(entry, list) and len(entry) == 2
        if (pair and isinstance(entry[1], kind)) if kind else key in entries:
            known[key] = entry
    return known


def _store(files, found, saved, state, now):
    if not isinstance(state.get("clock", 0), int):
        del state["clock"]
    state = {name: state[name] for name in state if state[name] != {}}
    state["config"] = now
    if (saved, state) != found:
        try:
            files.save_settings(saved, state)
        except (OSError, MemoryError) as e:
            chip.log("settings: not saved, {}".format(e))
    return state


def build(app, config, values, saved, state, problems, context):
    # Gives what feeds the watchdog.
    from firmware import device_info, outbox, sampler, settings, shadow_sync
    from firmware.core.timing import Clock
    from firmware.net.clock import take_rtc

    log = chip.log
    app.safe_s = 3600  # to try again: a full disk, a bus that was shorted may have been the cause
    app.saved, app.problems = saved, problems
    app.check_s = app.wifi_drops = 0  # check_s: of the next upkeep.check()
    app.offline_s = 0  # clock.s; None: as soon as the session ends
    app.since_s = app.sent = 0  # readings sent in this second
    app.runner = app.joining = None  # while there are commands to be done; or no network
    app.ssid = None  # joined, or lost last
    app.wlan, app.networks, app.servers = board.wlan(), config["wifi"], config["ntp"]
    clock = app.clock = Clock(chip.ticks_ms, chip.ticks_diff)
    app.settings = settings.Settings(values, saved, state, log)
    take_rtc(clock, board.rtc_s2000(), app.settings, version.BUILD_S2000, log)
    # In safe mode, after repeated crashes: connected, and no sensor and no outbox if it was these.
    app.fault = True
    size = config["outbox_bytes"]
    app.outbox = outbox.Outbox("data/outbox", size, log) if app.safe < 2 else None
    app.sampler = sampler.Sampler(values, clock, app.outbox, app.upkeep, log)
    app.fault = False
    app.settings.apply = app.sampler.apply
    _session(app, config, context)
    args = app.prefix, app.facts, "{:06x}".format(chip.random(1 << 24))
    app.shadow = shadow_sync.ShadowSync(app.connection, app.settings, app.sampler, *args)
    app.connection.on_up = app.shadow.connected
    app.connection.make_room = app.make_room
    app.connection.keep_room()
    app.heap_bytes = device_info.heap_bytes()
    log("config: {} at {}".format(config["thing_name"], config["endpoint"]))
    # One of each is made: what made it need not stay.
    for made in (settings.Settings, outbox.Outbox, sampler.Sampler, shadow_sync.ShadowSync):
        del made.__init__
    return board.watchdog()


def _session(app, config, context):
    from firmware.core import telemetry, topics
    from firmware.net.connection import Connection
    from firmware.net.session import Session

    thing = config["thing_name"].encode()
    names = topics.of(config["thing_name"], config["telemetry_topic"], config["command_topic"])
    data, app.commands, app.topic, status, app.prefix = [name.encode() for name in names]
    app.window, app.slots = config["window"], config["window_max"]
    where = config["endpoint"], config["port"], config["keepalive_s"]
    args = app.clock, app.slots, data, telemetry.TEXT_BYTES + len(thing), app.encode
    session = app.session = Session(thing, *where, *args)
    session.set_last_will(status, b'{"online": false}', True, 1)
    session.set_callback(app.on_message)
    session.on_ack, session.filters = app.on_ack, app.filters
    # Of the filters only the topic of commands may be another one than when AWS made the session.
    session.doubt = app.settings.state.get("filters") != names[1]
    args = app.clock, chip.random, chip.log, context, config["message_bytes"]
    app.connection = Connection(session, *args)
    del Session.__init__, Connection.__init__
