"""Runs MiniStack, and ends with the process that started it.

A script; arguments: the parent's pid, and the address that its MQTT port listens on.

MiniStack 1.5.33 opens its MQTT port on every interface and to clients without a certificate; and
it relies on `pause_reading()` in `connection_made()`, which CPython before 3.11.4 ignores
(gh-103607), so that there the ClientHello is lost and the client waits in vain. So the port is
opened here instead, as a TLS server of asyncio's that requires a certificate, with MiniStack's
own TLS context and sessions.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import os
import runpy
import signal
import ssl
import sys
import threading
import time
from typing import Any

_PR_SET_PDEATHSIG = 1  # prctl(2), Linux only
_LOOK_S = 1.0
# What of ministack.services.iot is replaced, called and set.
_NAMES = (
    *("_mtls_start_locked", "_mtls_build_ssl_context", "_mtls_handle_conn", "_mtls_port"),
    *("_mtls_server", "_mtls_loop"),
)


def _follow(parent: int) -> None:
    """Elsewhere than on Linux: look whether the parent is still there."""
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def _close_to_strangers(iot: Any, host: str) -> None:
    """Make ``iot`` (ministack.services.iot) listen on ``host``, for clients with a certificate.

    Ends the process when this MiniStack is made otherwise; that nothing else listens either is
    checked from outside (cloud.py).
    """
    missing = [name for name in _NAMES if not hasattr(iot, name)]
    if missing:
        sys.exit(f"this MiniStack has no {', '.join(missing)}: its MQTT port cannot be closed")

    async def listen() -> None:
        if iot._mtls_server is not None:
            return
        context = await asyncio.to_thread(iot._mtls_build_ssl_context)
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            iot._mtls_server = await asyncio.start_server(
                iot._mtls_handle_conn, host, iot._mtls_port(), ssl=context
            )
        except OSError as e:
            print(f"MQTT cannot listen on {host}: {e}", file=sys.stderr)
            return  # MiniStack then calls its MQTT side "degraded"
        iot._mtls_loop = asyncio.get_running_loop()

    iot._mtls_start_locked = listen


def main() -> None:
    """Tie this process to its parent, then become `python -m ministack`."""
    parent, host = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        sys.exit(1)
    # The folder of this script must not be importable: it holds modules named board and cloud.
    sys.path.pop(0)
    sys.argv = ["ministack"]
    _close_to_strangers(importlib.import_module("ministack.services.iot"), host)
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
