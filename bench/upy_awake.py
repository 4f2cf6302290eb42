# boot.py of the virtual board in bench_awake.py: as deep sleep begins it says, as JSON, what the
# wake has taken since here. What is loaded twice counts twice.

import builtins
import gc
import json
import machine
import os
import sys
import time

import ffi
import utime

_loads, _writes = [], []
_import, _open, _deepsleep, _sleep_ms = __import__, open, machine.deepsleep, time.sleep_ms
_clock = ffi.open(None).func("l", "clock", "")  # CPU time, in µs
_slept_ms = 0


def _loading(name, *rest):
    there = name in sys.modules
    module = _import(name, *rest)
    if not there and name in sys.modules:
        _loads.append(name)
    return module


class _Written:
    # A file that is written: one change of the file system, as it is closed.
    def __init__(self, file, path):
        self._file, self._path, self._bytes = file, path, 0

    def write(self, data, *part):
        count = self._file.write(data, *part)
        self._bytes += count or 0
        return count

    def close(self):
        self._file.close()
        _writes.append((self._path, self._bytes))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __getattr__(self, name):
        return getattr(self._file, name)


def _opening(path, mode="r", *rest):
    file = _open(path, mode, *rest)
    ours = "r" in mode or str(path).startswith("/")  # the simulator's own lie elsewhere
    return file if ours else _Written(file, path)


class _Os:
    # `os`, whose changes of the file system are noted.
    def __getattr__(self, name):
        call = getattr(os, name)
        if name not in ("rename", "remove", "mkdir", "rmdir", "unlink"):
            return call

        def noted(*args):
            call(*args)
            _writes.append((name + " " + args[-1], 0))

        return noted


def _waiting(ms):
    global _slept_ms
    before = utime.ticks_us()
    _sleep_ms(ms)
    _slept_ms += utime.ticks_diff(utime.ticks_us(), before) / 1000


def _sleeping(*args):
    ms, cpu_ms = utime.ticks_diff(utime.ticks_us(), _began) / 1000, (_clock() - _cpu) / 1000
    gc.threshold(-1)
    said = {"ms": ms, "cpu_ms": cpu_ms, "slept_ms": _slept_ms, "loads": _loads, "writes": _writes}
    print("bench:", json.dumps(said))
    _deepsleep(*args)


builtins.__import__, builtins.open = _loading, _opening
sys.modules["os"] = _Os()
machine.deepsleep, time.sleep_ms = _sleeping, _waiting
gc.collect()
gc.threshold(4096)
_began, _cpu = utime.ticks_us(), _clock()
