"""For the tests: pyserial looks for an answer every 2 ms instead of every 50.

Its RFC 2217 client sleeps 50 ms before each look, some forty times for one run of esptool. The
virtual board answers at once, so nothing but waiting is left out.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

from serial import rfc2217

rfc2217.time = SimpleNamespace(sleep=lambda s: time.sleep(min(s, 0.002)), time=time.time)
