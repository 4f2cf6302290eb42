"""Runs MiniStack in its own environment, and ends with the process that started it.

A script for MiniStack's interpreter, which has none of our libraries; argument: the parent's pid.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1  # prctl(2), Linux only
_LOOK_S = 1.0


def _follow(parent: int) -> None:
    """Elsewhere than on Linux: look whether the parent is still there."""
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def main() -> None:
    """Tie this process to its parent, then become `python -m ministack`."""
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        sys.exit(1)
    # The folder of this script must not be importable: it holds modules named board and cloud.
    sys.path.pop(0)
    sys.argv = ["ministack"]
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
