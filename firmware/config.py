# What is read before there is an App: certificates, the crash log, config.json, and the saved
# settings, which count more (docs/config.md). `python -m tools stage` has checked and completed
# config.json: only the values that the cloud may change are checked here, and one that is wrong
# costs itself. Without any other key there is nothing to run.

import json
import sys

from firmware import board, chip, files, version
from firmware.core.schema import DEFAULTS, KEYS, check
from firmware.core.text import RARE
from firmware.overrides import change

_KNOWN = list(DEFAULTS) + RARE.split()


def prepare():  # what build() takes; then what is known of the last run
    from firmware import crash
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
    crashed = crash.ended(cause)  # before boot()
    trial = 0  # 1 while on trial, 2 once a reading was acknowledged
    if files.read("slot", 1):  # else nothing was ever updated (docs/updates.md)
        from firmware.updates import slots

        trial = slots.start(chip.log)
        slots = None
        if trial is None:  # gone back: what has crashed runs no more
            crash.alive(crash.STABLE_S, chip.log)
    safe, counted = crash.boot(cause, chip.log)
    if safe:
        text = "app: SAFE MODE after repeated crashes, see get_log{}"
        chip.log(text.format(("", "; sensor and outbox are left alone")[safe - 1]))
    config = _config()
    config["claim"] = chip.VERIFIED and files.read("certs/claim.json", 1)
    made = (config,) + start(config, crashed, chip.log)
    if config.get("power") == "battery":
        check_battery(config, made[-1])
    last = crash.read(300).strip().split("\n")[-1] or None
    return list(made) + [context, (cause, safe, counted, last, trial)]


def check_battery(config, problems):
    try:
        from firmware import rtc_file  # noqa: F401  the smallest of them
    except ImportError:  # the files are from before that was set
        text = "power: the files for a battery are not on the board, it does not sleep"
        chip.log(text + "; use `make deploy`")
        problems.append(text)
        del config["power"]


def _config():
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


def start(config, crashed, log):
    # (settings in force, overrides, state, problems). What the cloud has changed counts more than
    # config.json, as long as it is sound.
    found = files.load_settings()
    problems = [] if found else ["settings: file damaged, config.json alone counts"]
    values, given = dict(DEFAULTS), {}
    _apply(values, config, given, "{}: {}", problems)
    saved, state = _good(found or ({}, {}), given, crashed, log)
    valid = {}
    _apply(values, saved, valid, "settings: {}: {}", problems)
    for key in valid:
        texts = json.dumps(values[key]), json.dumps(given.get(key, DEFAULTS.get(key)))
        log("config: {} {} from the cloud, config.json has {}".format(key, *texts))
    for problem in problems:
        log("config: PROBLEM " + problem)
    return values, saved, state, problems


def _apply(values, source, sound, text, problems):
    # sound: gets what of it is sound.
    for key in _KNOWN:
        if key in source:
            value, problem = check(key, source[key], values, sys.implementation[2])
            if problem:
                problems.append(text.format(key, problem))
            else:
                values[key] = sound[key] = value


def _good(found, given, crashed, log):
    # (overrides, state) to begin with. A crash takes back what was on trial. What has changed in
    # config.json, given, since the last start came over the cable: a change made at the device.
    saved, state = _section(found[0]), dict(found[1])
    local = state["local"] = _section(state.get("local"))
    trial = state["trial"] = _section(state.get("trial"), bool)
    state["rejected"] = _section(state.get("rejected"), str)
    before, now = _section(state.get("config")), {}
    for key in _KNOWN:
        if crashed and key in trial:
            why = "restored: the board crashed with it"
            log("config: {} {}".format(key, why))
            saved, state = change(saved, state, key, trial[key][0], None, why)
        old = before.get(key, DEFAULTS.get(key))
        value = given.get(key, old)
        over = key == "log_level" and key in saved  # holds until the restart
        if over or (value != old and "config" in state):
            log("config: {} {}".format(key, "ends" if over else "has changed in config.json"))
            # What is desired so far: the value of a command is not, one that was bad may be.
            bad = state.get("rejected", {}).get(key, [saved.get(key, old)])
            local[key] = bad[0] if local.get(key) is None else local[key]
            saved, state = change(saved, state, key, None)
        if value != DEFAULTS.get(key):
            now[key] = value
    return saved, _store(found, saved, state, now, log)


def _section(entries, kind=None):
    # Without what is no setting any more, or not what this firmware writes: pairs with a `kind`.
    known = {}
    for key in _KNOWN if isinstance(entries, dict) else ():
        entry = entries.get(key)
        pair = isinstance(entry, list) and len(entry) == 2
        if (pair and isinstance(entry[1], kind)) if kind else key in entries:
            known[key] = entry
    return known


def _store(found, saved, state, now, log):
    for name in ("boots", "clock"):  # a time is at most _LIFE_S of net/clock.py after the build
        good = state.get(name, 0)
        if type(good) is not int or good > version.BUILD_S2000 + 473_040_000:
            del state[name]
    state = {name: state[name] for name in state if state[name] != {}}
    state["config"] = now
    if (saved, state) != found:
        try:
            files.save_settings(saved, state)
        except (OSError, MemoryError) as e:
            log("settings: not saved, {}".format(e))
    return state
