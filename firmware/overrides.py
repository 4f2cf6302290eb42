# The settings that count instead of those in config.json: what a start makes of them, and what a
# change does. On demand. files.py says what is saved.

import json
import sys

from firmware import files
from firmware.core.schema import DEFAULTS, check


def accept(settings, key, value):
    # What Settings.set() does.
    if value is None:
        return release(settings, key)
    value, problem = check(key, value, settings.values, sys.implementation[2])
    # A value that the board has come back from is not tried again, until another one is.
    bad, why = settings.state.get("rejected", {}).get(key, (None, None))
    problem = problem or (value == bad and why) or None
    if problem or value == settings.values.get(key):
        return problem
    return put(settings, key, value, value)


def put(settings, key, value, override, why=None):
    # In force, and on flash. None, or why it was not done: then all is as it was.
    old = settings.values.get(key)
    try:
        settings.values[key] = value
        found = settings.apply(key)
        trial = None if why or override is None else bool(found)
        saved, state = change(settings.saved, settings.state, key, override, trial, why)
        files.save_settings(saved, state)
    except (OSError, ValueError, MemoryError) as e:
        settings.values[key] = old
        settings.apply(key)
        return "not done: " + (str(e) or "no memory")
    settings.saved, settings.state = saved, state


def release(settings, key, override=None, why=None):
    # To an override that was good; None: to config.json. why: what was wrong with the value.
    value = override
    if value is None:
        value = settings.state.get("config", {}).get(key, DEFAULTS[key])
    return put(settings, key, value, override, why)


def change(saved, state, key, value, trial=None, why=None):
    # Both anew, with another override; None takes it out. trial: it is on trial, and whether a
    # sensor was found before; the oldest good value stays beside it. why: the one so far was bad.
    saved, tries, bad = dict(saved), dict(state.get("trial", ())), dict(state.get("rejected", ()))
    old = saved.pop(key, None)
    if value is not None:
        saved[key] = value
    before = tries.pop(key, [old])[0]
    bad.pop(key, None)
    if trial is not None:
        tries[key] = [before, trial or any([entry[1] for entry in tries.values()])]
    elif why and old is not None:
        bad[key] = [old, why]
    state = dict(state)
    for name, entries in (("trial", tries), ("rejected", bad)):
        state[name] = entries
        if not entries:
            del state[name]
    return saved, state


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
        texts = json.dumps(values[key]), json.dumps(given.get(key, DEFAULTS[key]))
        log("config: {} {} from the cloud, config.json has {}".format(key, *texts))
    for problem in problems:
        log("config: PROBLEM " + problem)
    return values, saved, state, problems


def _apply(values, source, sound, text, problems):
    # sound: gets what of it is sound.
    for key in DEFAULTS:
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
    for key in DEFAULTS:
        if crashed and key in trial:
            why = "restored: the board crashed with it"
            log("config: {} {}".format(key, why))
            saved, state = change(saved, state, key, trial[key][0], None, why)
        old = before.get(key, DEFAULTS[key])
        value = given.get(key, old)
        if value != old and "config" in state:
            log("config: {} has changed in config.json".format(key))
            # What is desired so far: the value of a command is not, one that was bad may be.
            bad = state.get("rejected", {}).get(key, [saved.get(key, old)])
            local[key] = bad[0] if local.get(key) is None else local[key]
            saved, state = change(saved, state, key, None)
        if value != DEFAULTS[key]:
            now[key] = value
    return saved, _store(found, saved, state, now, log)


def _section(entries, kind=None):
    # Without what is no setting any more, or not what this firmware writes: pairs with a `kind`.
    known = {}
    for key in DEFAULTS if isinstance(entries, dict) else ():
        entry = entries.get(key)
        pair = isinstance(entry, list) and len(entry) == 2
        if (pair and isinstance(entry[1], kind)) if kind else key in entries:
            known[key] = entry
    return known


def _store(found, saved, state, now, log):
    if not isinstance(state.get("clock", 0), int):
        del state["clock"]
    state = {name: state[name] for name in state if state[name] != {}}
    state["config"] = now
    if (saved, state) != found:
        try:
            files.save_settings(saved, state)
        except (OSError, MemoryError) as e:
            log("settings: not saved, {}".format(e))
    return state
