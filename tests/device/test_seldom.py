# heap: 96wk
# Code that is needed seldom leaves the heap, all of it and as often as one likes.

import gc
import sys

import micropython

import harness
from firmware import seldom

_TIMES = 12


def check(key, value):
    from firmware.core.settable import check_setting

    return check_setting(key, value, {})


def loaded():
    return [name for name in seldom.MODULES if name in sys.modules]


def test_works_and_is_gone_again():
    seldom.forget()
    assert check("interval_s", 5) == (5, None)
    assert "firmware.core.settable" in loaded() and "firmware.core.limits" in loaded()
    seldom.forget()
    assert loaded() == []
    core = sys.modules["firmware.core"]
    assert not hasattr(core, "settable") and not hasattr(core, "limits")


def test_again_and_again_without_growth():
    after = [0] * _TIMES
    for i in range(_TIMES):
        assert check("interval_s", 0)[1] == "must be a whole number from 1 to 86400"
        assert check("sensor", "dht22")[1]
        seldom.tidy()
        assert loaded() == []
        gc.collect()
        after[i] = gc.mem_alloc()
    # The first time leaves names behind, which MicroPython keeps for good; then nothing more.
    assert max(after[1:]) <= after[1], after


def test_is_worth_it():
    gc.collect()
    before = gc.mem_alloc()
    check("interval_s", 5)
    gc.collect()
    taken = gc.mem_alloc() - before
    seldom.tidy()
    gc.collect()
    assert taken > 2000 and gc.mem_alloc() - before < 256, (taken, gc.mem_alloc() - before)


def test_nothing_new_costs_nothing():
    seldom.tidy()
    micropython.heap_lock()
    try:
        seldom.tidy()
    finally:
        micropython.heap_unlock()


def test_what_was_loaded_by_half_goes_too():
    # No memory in the middle of an import: MicroPython leaves the module without its parent
    # knowing it, and the next import would be given the half of it.
    seldom.forget()
    sys.modules["firmware.core.limits"] = sys
    seldom.forget()
    assert loaded() == []
    assert check("interval_s", 5) == (5, None)


def test_what_is_needed_all_the_time_stays():
    check("interval_s", 5)
    kept = [name for name in sys.modules if name not in seldom.MODULES]
    seldom.forget()
    assert all(name in sys.modules for name in kept)


harness.run(globals())
