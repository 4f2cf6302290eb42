# What happens once, before there is a loop. On demand: it is loaded twice and leaves twice, for
# prepare() before all other code, and for build().
#
# prepare(): the TLS context first, while there is a large piece of memory, then the crash log,
# config.json and the saved settings. config.json is complete: `python -m tools stage` has checked
# it and filled in the defaults. Here it is only looked at whether it is whole; the values that the
# cloud may change are checked like a change. One of those that is wrong costs itself; without any
# other key there is nothing to run.
#
# build(): every object of the firmware, in the order it is read. Here the configuration ends.

import json
import os

from micropython import const

from firmware import board, chip, version

_PATH = "config.json"
_MAX_BYTES = const(8192)
_PARKED_MS = const(10_000)
_LAST_BYTES = const(300)  # enough for the last line of the crash log


def prepare():
    # [config, settings in force, settings as saved, state, problems, TLS context, (reset cause,
    # safe mode, crashes are counted, last line of the crash log)]
    from firmware import crash, files
    from firmware.core.errors import LinkError
    from firmware.net import tls

    context = None
    try:
        if tls.VERIFIED:
            context = tls.context()
        else:
            chip.log("tls: server NOT verified, this port cannot; see docs/security.md")
    except LinkError as e:  # each connect tries again
        chip.log("tls: {}".format(e))
    cause = board.reset_cause()
    chip.log("app: fieldmouse {}, reset by {}".format(version.VERSION, cause))
    safe, counted = crash.boot(cause, chip.log)
    if safe:
        chip.log("app: SAFE MODE after repeated crashes, see get_log")
    problems = []
    config = _config(problems)
    found = files.load_settings()
    if found is None:
        problems.append("settings: file damaged, config.json alone counts")
    saved, state = found or ({}, {})
    values = _values(config, saved, problems)
    for problem in problems:
        chip.log("config: PROBLEM " + problem)
    if config is None:
        _park()
    lines = [line for line in crash.read(_LAST_BYTES).split("\n") if line]
    before = cause, safe, counted, lines[-1] if lines else None
    return [config, values, saved, state, problems, context, before]


def _config(problems):
    from firmware.core.schema import KEYS

    try:
        if os.stat(_PATH)[6] > _MAX_BYTES:
            problems.append("config.json: is larger than {} bytes".format(_MAX_BYTES))
            return None
        with open(_PATH) as f:
            config = json.load(f)
        missing = [key for key in KEYS.split() if not config.get(key)]
        if not missing:
            return config
        problems.append("config.json: missing: " + ", ".join(missing))
    except OSError:
        problems.append("config.json: is missing")
    except (ValueError, AttributeError):  # UnicodeError is a ValueError
        problems.append("config.json: is no JSON object")
    return None


def _values(config, saved, problems):
    # What the cloud has changed counts more than config.json, as long as it is sound.
    from firmware.core import schema

    values = dict(schema.DEFAULTS)
    for found, where in ((config or {}, ""), (saved, "settings: ")):
        for key in schema.SETTABLE:
            if key in found:
                value, problem = schema.check(key, found[key], values)
                if problem:
                    problems.append("{}{}: {}".format(where, key, problem))
                else:
                    values[key] = value
    return values


def _park():
    # Wait for a person at the serial port, who stops this with Ctrl-C, or for a new config.json.
    # No watchdog runs yet.
    before = None
    while True:
        try:
            stamp = os.stat(_PATH)[6:9]
        except OSError:
            stamp = ()
        if before not in (None, stamp):
            board.reset()
        before = stamp
        chip.log("config: cannot start; send a good config.json with `make deploy`")
        chip.sleep_ms(_PARKED_MS)


def build(app, config, values, saved, state, problems, context, before):
    from firmware import device_info
    from firmware.core.timing import Clock
    from firmware.net.clock import take_rtc
    from firmware.outbox import Outbox
    from firmware.sampler import Sampler
    from firmware.settings import Settings
    from firmware.shadow_sync import ShadowSync

    log = chip.log
    app.cause, app.safe, app.counted_s, app.last_crash = before
    app.problems = problems
    clock = app.clock = Clock(chip.ticks_ms, chip.ticks_diff)
    settings = app.settings = Settings(values, saved, state, log)
    settings.apply = app.apply
    app.servers, app.floor = config["ntp"], version.BUILD_S2000
    take_rtc(clock, board.rtc_s2000(), settings, app.floor, log)
    app.wlan, app.networks = board.wlan(), config["wifi"]
    # In safe mode, after repeated crashes: connected, but no sensor and no outbox.
    app.outbox = None if app.safe else Outbox("data/outbox", config["outbox_bytes"], log)
    put = app.outbox and app.outbox.put
    app.sampler = Sampler(app.open_bus, app.recover, values, clock, put, log)
    topic, prefix = _session(app, config, context)
    token, facts = "{:06x}".format(chip.random(1 << 24)), app.facts
    sync = ShadowSync(settings, app.sampler, app.session, prefix, topic, clock, facts, log, token)
    app.shadow = sync
    app.connection.on_up = sync.connected
    app.heap_bytes = device_info.heap_bytes()
    log("config: {} at {}".format(config["thing_name"], config["endpoint"]))
    # One of each is made: what made it need not stay.
    for made in (Settings, Outbox, Sampler, ShadowSync):
        del made.__init__


def _session(app, config, context):
    # The session and what keeps it; (topic of the birth message, prefix of the shadow's).
    from firmware.core import telemetry, topics
    from firmware.net.connection import Connection
    from firmware.net.session import Session

    thing = config["thing_name"]
    names = topics.of(thing, config["telemetry_topic"], config["command_topic"])
    data, app.commands, app.result, status, app.prefix = [name.encode() for name in names]
    app.thing = thing.encode()
    app.window, app.slots = config["window"], config["window_max"]
    where = config["endpoint"], config["port"], config["keepalive_s"]
    text_bytes = telemetry.text_bytes(app.thing)
    session = Session(app.thing, *where, app.clock, app.slots, data, text_bytes, app.encode)
    session.set_last_will(status, b'{"online": false}', True, 1)
    session.set_callback(app.on_message)
    session.on_ack = app.on_ack
    session.filters = app.filters
    # Of the filters only the topic of commands may be another one than when AWS made the session.
    session.doubt = app.settings.state.get("filters") != names[1]
    app.session = session
    args = app.clock, chip.random, chip.log, context, config["message_bytes"]
    app.connection = Connection(session, *args)
    del Session.__init__, Connection.__init__
    return status, app.prefix
