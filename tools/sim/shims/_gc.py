# `gc` as the firmware sees it: the ballast of _memory.py is neither free nor in use.

import gc as _gc
from gc import collect, disable, enable, isenabled, threshold  # noqa: F401

import _sim

_heap = _sim.get("heap", 0)
if _sim.ESP8266:

    def _idf():
        return 0

else:
    # An ESP32 counts the largest piece of ESP-IDF's heap as free, because it would take that next
    # (MICROPY_GC_SPLIT_HEAP_AUTO in py/modgc.c). Here it never gets it.
    from esp32 import largest as _idf


def mem_free():
    return _gc.mem_free() + _idf()


def mem_alloc():
    return _heap - _gc.mem_free()
