"""Loaded by esptool and mpremote where the port is the virtual board's: its line takes no time.

pyserial 3.5 looks for an RFC 2217 answer every 50 ms, and negotiates the whole port anew whenever
the read timeout changes, although that is a matter of this side only; esptool does so twice a
command. The virtual board answers at once, so nothing but waiting is left out.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from serial import rfc2217


def _set_timeout(self: Any, timeout: float | None) -> None:
    self._timeout = timeout


_library: Any = rfc2217
_library.time = SimpleNamespace(sleep=lambda s: time.sleep(min(s, 0.002)), time=time.time)
_library.Serial.timeout = property(lambda self: self._timeout, _set_timeout)
