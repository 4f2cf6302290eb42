# The settings that count instead of those in config.json, and what a change does to them. On
# demand. files.py says what is saved.

import sys

from firmware import files
from firmware.core.errors import SensorError
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
    if key == "sensor" and settings.apply(None):
        problem = _missing(settings.values["i2c"], value)
        settings.unload()  # the drivers: to put it in force takes memory, too
    return problem or put(settings, key, value, value)


def _missing(i2c, sensor):
    # None, or what is there instead: asked only while another sensor works, which goes on then.
    from firmware import board, drivers

    each = [sensor]
    if isinstance(sensor, list):
        from firmware import sensors

        each = [one.wanted for one in sensors.listed(sensor)]
    try:
        for wanted in each:
            drivers.find(board.i2c(i2c, 0), wanted)
    except (SensorError, OSError) as e:
        return str(e)
    except MemoryError:  # the trial will show it
        pass


def put(settings, key, value, override, why=None):
    # In force, and on flash. None, or why it was not done: then all is as it was.
    old = settings.values.get(key)
    try:
        _place(settings.values, key, value)
        found = settings.apply(key) and key in ("i2c", "sensor")
        trial = None if why or override is None or key == "log_level" else bool(found)
        saved, state = change(settings.saved, settings.state, key, override, trial, why)
        files.save_settings(saved, state)
    except (OSError, ValueError, MemoryError) as e:
        _place(settings.values, key, old)
        settings.apply(key)
        return "not done: {}".format(str(e) or "no memory")
    settings.saved, settings.state = saved, state


def _place(values, key, value):
    # None: of the settings that most boards do not have.
    values[key] = value
    if value is None:
        del values[key]


def release(settings, key, override=None, why=None):
    # To an override that was good; None: to config.json. why: what was wrong with the value.
    value = override
    if value is None:
        value = settings.state.get("config", {}).get(key, DEFAULTS.get(key))
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
