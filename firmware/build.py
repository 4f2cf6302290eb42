# Makes every object of the firmware, in the order it is read. On demand, at boot: here the
# configuration ends, each object gets the values it needs.

from firmware import board, chip, version
from firmware.core import telemetry, topics
from firmware.net import ntp
from firmware.net.clock import Clock
from firmware.net.connection import Connection
from firmware.net.session import Session
from firmware.outbox import Outbox
from firmware.sampler import Sampler
from firmware.settings import Settings
from firmware.shadow_sync import ShadowSync


def build(app, config, values, saved, state, problems, context, before):
    log = chip.log
    app.cause, app.safe, app.counted_s, app.last_crash = before
    app.problems = problems
    clock = app.clock = Clock(chip.ticks_ms, chip.ticks_diff)
    settings = app.settings = Settings(values, saved, state, log)
    settings.apply = app.apply
    app.servers, app.floor = config["ntp"], version.BUILD_S2000
    ntp.take_rtc(clock, board.rtc_s2000(), settings, app.floor, log)
    app.wlan = board.wlan()
    app.networks = config["wifi"]
    # In safe mode, after repeated crashes: connected, but no sensor and no outbox.
    app.outbox = None if app.safe else Outbox("data/outbox", config["outbox_bytes"], log)
    put = app.outbox and app.outbox.put
    app.sampler = Sampler(app.open_bus, app.recover, values, clock, put, log)
    app.window, app.window_max = config["window"], config["window_max"]
    names = topics.of(config["thing_name"], config["telemetry_topic"], config["command_topic"])
    data, app.commands, app.result, status, app.prefix = [name.encode() for name in names]
    app.thing = config["thing_name"].encode()
    session = app.session = Session(
        app.thing,
        config["endpoint"],
        config["port"],
        config["keepalive_s"],
        clock,
        app.window_max,
        data,
        telemetry.text_bytes(app.thing),
        app.encode,
    )
    session.set_last_will(status, b'{"online": false}', True, 1)
    session.set_callback(app.on_message)
    session.on_ack = app.on_ack
    session.filters = list(topics.subscribes(names))
    limit = config["message_bytes"]
    app.connection = Connection(session, clock, chip.random, log, settings, context, limit)
    token = "{:06x}".format(chip.random(1 << 24))
    sampler, facts = app.sampler, app.facts
    app.shadow = ShadowSync(
        settings, sampler, session, app.prefix, status, clock, facts, log, token
    )
    app.connection.on_up = app.shadow.connected
    app.heap_bytes = board.heap_bytes()
    log("config: {} at {}".format(config["thing_name"], config["endpoint"]))
