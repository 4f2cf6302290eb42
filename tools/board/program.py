"""Runs esptool and mpremote as programs, with the output as it comes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tools import toolchain

_PLAIN = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "120", "PYTHONUTF8": "1"}
_CHUNK = 4096
_running: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Ran:
    """What a program did: exit code (None: it took too long) and everything it said."""

    code: int | None
    text: str

    @property
    def ok(self) -> bool:
        """It ended in time and with 0."""
        return self.code == 0


def kill_all() -> None:
    """End every program that other threads are running; their run() then returns."""
    for process in list(_running):
        process.kill()


def run(
    module: str,
    args: list[str],
    timeout_s: float,
    on_text: Callable[[str], None] = lambda text: None,
) -> Ran:
    """Run `python -m module args` to its end; ``on_text`` gets each piece of output at once.

    Whatever happens, Ctrl-C included, no process is left behind.
    """
    toolchain.need(module)
    process = subprocess.Popen(
        [sys.executable, "-m", module, *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | _PLAIN,
    )
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    clock = threading.Timer(timeout_s, stop)
    clock.start()
    _running.add(process)
    try:
        text = _follow(process, on_text)
        code = process.wait()
    finally:
        clock.cancel()
        _running.discard(process)
        with contextlib.suppress(OSError):
            process.kill()
        process.wait()
    return Ran(None if late.is_set() else code, text)


def _follow(process: subprocess.Popen[bytes], on_text: Callable[[str], None]) -> str:
    """Everything that ``process`` says, to its end."""
    assert process.stdout is not None
    said: list[str] = []
    with process.stdout as pipe:
        while chunk := os.read(pipe.fileno(), _CHUNK):
            said.append(chunk.decode("utf-8", "replace"))
            on_text(said[-1])
    return "".join(said)
