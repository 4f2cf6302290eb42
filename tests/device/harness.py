# Runs the test_* functions of one file under MicroPython and says how many passed.
#
# Tests are plain functions that assert; tests/host/test_device.py gives run() the names of the
# file. MICROPYPATH holds the root of the tree and this folder. The last line is always "N passed,
# M failed"; the exit code is 1 when something failed or when there was nothing to run.
# FIELDMOUSE_SEED and FIELDMOUSE_FUZZ (a count) steer the tests that make up their own input.

import gc
import micropython
import sys
from os import getenv


def run(names):
    passed = failed = 0
    for name in sorted(n for n in names if n.startswith("test_")):
        gc.collect()
        try:
            names[name]()
        except Exception as e:
            failed += 1
            print("FAIL", name)
            sys.print_exception(e)
        else:
            passed += 1
            print("ok  ", name)
    print("{} passed, {} failed".format(passed, failed))
    sys.exit(1 if failed or not passed else 0)


def raises(error, call, *args, **kwargs):
    # Gives the exception back, so that the test can look at its words.
    try:
        call(*args, **kwargs)
    except error as e:
        return e
    raise AssertionError("{} was not raised".format(error))


def equal(got, wanted):
    if got != wanted:
        raise AssertionError("got {!r}, wanted {!r}".format(got, wanted))


def no_heap(call):
    # MemoryError when call() allocates even once. No arguments: passing them on would allocate.
    micropython.heap_lock()
    try:
        return call()
    finally:
        micropython.heap_unlock()


def no_heap_but_errors(call):
    # The same for what may raise, which allocates.
    try:
        return no_heap(call)
    except MemoryError:
        call()
        raise


def settled_heap():
    # Bytes in use once everything that can be freed is.
    gc.collect()
    gc.collect()
    return gc.mem_alloc()


def count(default):
    # How many made-up inputs to try: short by default, long in `make soak`.
    return int(getenv("FIELDMOUSE_FUZZ") or default)


def seed():
    # The start of every pseudo-random run; printed, so that a failure can be repeated.
    value = int(getenv("FIELDMOUSE_SEED") or 20261121)
    print("seed", value)
    return value
