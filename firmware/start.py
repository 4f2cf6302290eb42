# What happens once, before there is a loop. Loaded for that (seldom.py).

from micropython import const

from firmware import board, profile
from firmware.core.errors import LinkError
from firmware.core.settable import SETTABLE, check_setting
from firmware.net.tls import Tls

_PARKED_MS = const(10_000)


def prepare(settings):
    # (config in force, problems of it, what of it the shadow may change, TLS)
    tls = _tls()
    config, problems = _config()
    true = _overlay(config, settings.values, problems)
    return config, problems, true, tls


def _tls():
    # Before the rest, while there is a large piece of memory: the certificates need it.
    made = Tls(board.read_file)
    if not made.verified:
        board.log("tls: server NOT verified, this port cannot; see docs/security.md")
    try:
        made.load()
    except LinkError:
        pass  # tried again, and told, by each connect
    return made


def _config():
    found, problems = profile.load()
    for problem in problems:
        board.log("config: PROBLEM " + problem)
    if found is None:
        _park()
    return found, problems


def _overlay(config, saved, problems):
    # What the cloud has changed counts more than config.json, as long as it is sound. Gives the
    # settings that it may change, as they are in force.
    for key in saved:
        value, problem = check_setting(key, saved[key], config)
        if problem:
            problems.append("settings: {}: {}".format(key, problem))
        else:
            config[key] = value
    return {key: config[key] for key in SETTABLE}


def _park():
    # Nothing to run: wait for a person at the serial port, who stops this with Ctrl-C, or for a
    # new config.json. No watchdog runs yet.
    stamp = profile.stamp()
    while profile.stamp() == stamp:
        board.log("config: cannot start; send a good {} over the serial port".format(profile.PATH))
        board.sleep_ms(_PARKED_MS)
    board.reset()
