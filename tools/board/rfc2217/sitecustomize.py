"""Loaded by Python at the start of esptool and mpremote when the port is an rfc2217:// one.

pyserial 3.5 renegotiates the whole port (two waits of 50 ms at least) whenever the read timeout
changes, although the timeout is a matter of this side only; esptool changes it twice a command and
so takes 20 s instead of 2 s to identify a chip. Here a new timeout is only noted.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from serial import rfc2217, serialutil


def _set_timeout(self: Any, timeout: float | None) -> None:
    if timeout is not None and timeout < 0:
        raise ValueError(f"Not a valid timeout: {timeout!r}")
    self._timeout = timeout


def _next() -> None:
    """Load the sitecustomize that this one hides, if there is one."""
    here = Path(__file__).parent
    others = [folder for folder in sys.path if Path(folder) != here]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


_base: Any = serialutil.SerialBase
setattr(rfc2217.Serial, "timeout", property(_base.timeout.fget, _set_timeout))  # noqa: B010
_next()
