# heap: 48wk
# Code that is needed now and then leaves the heap, all of it and as often as one likes; what was
# there when keep() was called stays.

import gc
import sys

import harness
from firmware import loading
from firmware.core import timing

_TIMES = 12
PARTS = ("firmware.core.schema", "firmware.core.text")


def check(key, value):
    from firmware.core.schema import check

    return check(key, value, {})


def loaded():
    return [name for name in PARTS if name in sys.modules]


def test_works_and_is_gone_again():
    harness.equal(check("interval_s", 5), (5, None))
    harness.equal(loaded(), list(PARTS))
    loading.unload()
    harness.equal(loaded(), [])
    core = sys.modules["firmware.core"]
    assert not hasattr(core, "schema") and not hasattr(core, "text")
    harness.no_heap(loading.unload)  # nothing new costs nothing


def test_again_and_again_without_growth():
    after = [0] * _TIMES
    for i in range(_TIMES):
        assert check("interval_s", 0)[1] == "must be a whole number from 1 to 86400"
        assert check("sensor", "dht22")[1]
        loading.unload()
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
    loading.unload()
    gc.collect()
    assert taken > 2000 and gc.mem_alloc() - before < 256, (taken, gc.mem_alloc() - before)


def test_objects_go_on_working():
    from firmware.core import schema
    from firmware.net import failure

    check, why = schema.check, failure.why
    del schema, failure
    loading.unload()
    gc.collect()
    assert "firmware.core.schema" not in sys.modules and "firmware.net.failure" not in sys.modules
    assert "interval_s" in check("intervals", 1, {})[1]
    harness.equal(why(OSError(-12), False), ("memory", "tls"))


def test_what_was_loaded_by_half_goes_too():
    # No memory in the middle of an import: MicroPython leaves the module without its parent
    # knowing it, and the next import would be given the half of it.
    loading.unload()
    sys.modules["firmware.core.text"] = sys
    loading.unload()
    harness.equal(loaded(), [])
    harness.equal(check("interval_s", 5), (5, None))


def test_a_package_that_was_not_there_goes_with_what_is_in_it():
    loading.unload()
    assert "firmware.net" not in sys.modules
    from firmware.net import packets

    harness.equal(len(packets.packet(0x30, [bytes(4)])), 6)
    loading.unload()
    assert "firmware.net" not in sys.modules and "firmware.net.packets" not in sys.modules
    assert not hasattr(sys.modules["firmware"], "net")


def test_what_is_needed_all_the_time_stays():
    check("interval_s", 5)
    loading.unload()
    for name in ("firmware", "firmware.core", "firmware.core.timing", "firmware.loading"):
        assert name in sys.modules, name
    assert sys.modules["firmware.core"].timing is timing


def test_one_may_be_spared():
    check("interval_s", 5)
    loading.unload("firmware.core.schema")
    harness.equal(loaded(), ["firmware.core.schema"])
    loading.unload("firmware.core.schema")
    harness.no_heap(spared)
    harness.equal(loaded(), ["firmware.core.schema"])
    loading.unload()
    harness.equal(loaded(), [])
    harness.no_heap(spared)  # it need not be there


def spared():
    loading.unload("firmware.core.schema")


def test_keep_again_keeps_what_came_since():
    before = loading._kept
    check("interval_s", 5)
    loading.keep()
    loading.unload()
    harness.equal(loaded(), list(PARTS))
    loading._kept = before
    loading.unload()
    harness.equal(loaded(), [])


loading.keep()


class Interrupted:
    # config.py, and then board.py: whoever stops the program presses Ctrl-C three times. And
    # machine, after another reset than that of a deep sleep.
    DEEPSLEEP_RESET = 4

    def reset_cause(self):
        return 1

    def __init__(self):
        self.calls = []
        self.watchdog = self.note

    def prepare(self):
        raise KeyboardInterrupt

    def note(self, stopped):
        self.calls.append(stopped)
        if len(self.calls) < 3:
            raise KeyboardInterrupt


def test_the_repl_has_the_board_however_often_it_is_stopped():
    # Else the next reset would count as a crash.
    import firmware

    stand_in = Interrupted()
    before = sys.modules.copy(), loading._kept
    sys.modules["machine"] = stand_in
    for name in ("config", "board"):
        sys.modules["firmware." + name] = stand_in
        setattr(firmware, name, stand_in)
    try:
        harness.raises(KeyboardInterrupt, loading.run)
    finally:
        for name in ("config", "board"):
            delattr(firmware, name)
        sys.modules.clear()
        sys.modules.update(before[0])
        loading._kept = before[1]
    harness.equal(stand_in.calls, [True] * 3)
