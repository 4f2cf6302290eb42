# `gc` as the firmware sees it: the ballast of _memory.py is neither free nor in use.

import gc as _gc
import sys
from gc import collect, disable, enable, isenabled  # noqa: F401

import _sim

_heap = _sim.get("heap", 0)
_WORDS = 2 if sys.maxsize > 1 << 32 else 1  # of 32 bits: all is larger by so much
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


def threshold(size=None):
    if size is None:
        return _gc.threshold() // _WORDS
    _gc.threshold(size * _WORDS if size > 0 else size)
