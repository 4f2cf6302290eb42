# Makes the objects of the firmware from the configuration; app.py calls each function once. Here
# the configuration ends: every object gets the values it needs, and its hardware, clock and luck.

from firmware import board, version
from firmware.commander import Commander
from firmware.core.shadow import Shadow
from firmware.core.topics import Topics, subscribes
from firmware.files import Number
from firmware.net.clock import WallClock
from firmware.net.link import Link
from firmware.net.mqtt import Session
from firmware.net.wifi import Wifi
from firmware.outbox import Outbox
from firmware.reporter import Reporter
from firmware.sampler import Sampler
from firmware.sender import Sender

_OFFLINE = b'{"online": false}'


def wifi(config, clock):
    return Wifi(board.wlan(), config["wifi"], clock, board.random, board.log)


def wall(config, clock):
    saved = Number("data/clock")
    servers = config["ntp"]
    time = (board.ntp_s2000, board.rtc_s2000, board.set_rtc)
    return WallClock(*time, saved, servers, version.BUILD_S2000, clock, board.random, board.log)


def topics(config):
    return Topics(config["thing_name"], config["telemetry_topic"], config["command_topic"])


def session(config, clock, tls, topics, on_message, on_ack):
    made = Session(
        config["thing_name"],
        config["endpoint"],
        config["port"],
        config["keepalive_s"],
        tls,
        clock,
        config["window"],
        board.MESSAGE_BYTES,
        on_message,
        on_ack,
    )
    made.will(topics.status, _OFFLINE, True)
    return made


def link(config, clock, session, topics, settings, online):
    filters = subscribes(topics)
    reboot_s = config["offline_reboot_s"]
    made = Link(session, clock, board.random, board.log, online, filters, reboot_s)
    if settings.state.get("filters") != list(filters):
        made.resubscribe()  # the session AWS may still hold is for other topics
    return made


def outbox(config):
    return Outbox("data/outbox", config["outbox_bytes"], board.log)


def sampler(config, clock, wall, put):
    wanted, interval_s = config["sensor"], config["interval_s"]
    return Sampler(board.i2c(config["i2c"]), wanted, interval_s, clock, wall, put, board.log)


def sender(config, clock, outbox, session, topics):
    thing = config["thing_name"].encode()
    return Sender(outbox, session, topics.data, thing, clock, config["drain_per_s"])


def shadow(true, check, settings):
    token = "{:06x}".format(board.random(1 << 24))
    local = settings.state.get("local")
    local = local if isinstance(local, dict) else None
    return Shadow(check, true, token, local, board.MESSAGE_BYTES)


def reporter(shadow, session, topics, clock, apply):
    return Reporter(shadow, session, topics, clock, apply, board.log)


def commander(check, settings, session, topics, clock, act, restart):
    def persist(seen):
        settings.note("seen", list(seen))

    seen = settings.state.get("seen", ())
    return Commander(check, seen, session, topics.result, clock, persist, act, restart)
