"""A virtual board: a staged folder booted in MicroPython's unix port, with simulated hardware.

One process is one life between two resets. `VirtualBoard` starts the next one as the chip would:
after `machine.reset()`, a watchdog, a deep sleep or a crash, with the right reset cause.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from tools.endings import on_endings
from tools.sim import folders, launch
from tools.sim.boardlog import Log
from tools.sim.control import Control

_TRIES, _STOPS_S = 50, 0.002  # to stop a process where it is not writing

# What shims/_sim.py exits with -> (cause as shims/machine.py knows it, as the log says it).
_CAUSES = {
    71: ("hard", "machine.reset"),
    72: ("soft", "soft reset"),
    73: ("deepsleep", "deep sleep"),
    75: ("fault", "crash, an exception in C"),
    -signal.SIGALRM: ("watchdog", "watchdog"),
}
_MAIN_ENDED = 74
_REBOOT_S = 0.3  # an ESP32 takes about that long from reset to boot.py
_LOOK_S = 0.1  # how often the file of --world is looked at


class VirtualBoard:
    """One board, with the memory of a real one (shims/_memory.py).

    ``heap`` is "esp32", "esp8266" or a number (launch.heap_of); ``settings`` are the keys of
    tools/sim/world.py, and ``world`` a file of them that is read again whenever it changes.
    ``on_line`` is called with every line of the log, from the board's own thread. Raises ToolError
    for a folder that is not staged, a missing interpreter or a setting that cannot be.
    """

    def __init__(
        self,
        folder: Path,
        *,
        heap: str = "esp32",
        bits: int = 64,
        umqtt: Path | None = None,
        micropython: Path | None = None,
        on_line: Callable[[str], None] | None = None,
        world: Path | None = None,
        **settings: Any,
    ) -> None:
        self.folder = launch.staged(folder)
        self._log = Log(lambda: self.running, on_line)
        self._stirred = threading.Condition()  # what may end a sleep has changed
        self._control = Control(self.folder, settings, world, self._log.add, self._stir)
        self._launch = launch.prepare(micropython, bits, umqtt, heap)
        self._scratch = folders.temporary("fieldmouse-board")
        self._env = self._launch.env | {"FIELDMOUSE_SIM": str(self._control.begin(self._scratch))}
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._off = threading.Event()
        self._told: dict[str, Any] = {}
        self.asleep = False  # in deep sleep, without a process
        self.boots = 0  # processes started since power-on
        self.cause = "power_on"  # why the current one was started

    def __enter__(self) -> VirtualBoard:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process of the current life; None between two lives."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def running(self) -> bool:
        """True from start() to kill(), resets included."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def log(self) -> list[str]:
        """Every line so far (the oldest go after 20,000)."""
        return self._log.kept()

    @property
    def world_s(self) -> float:
        """Unix seconds in the board's world; they go on while it sleeps or has no power."""
        return self._control.world_s()

    def set(self, **settings: Any) -> None:
        """Change settings of the board's world while it runs; None takes one back."""
        self._control.set(settings)

    def start(self) -> None:
        if self.running:
            return
        self._off = threading.Event()
        self._control.power_on()
        self._told = dict(self._launch.told)
        if self._told["profile"] == "esp8266":
            image = launch.rom(self.folder, self._scratch)
            self._told["rom"] = str(image) if image else ""
        self.boots, self.cause = 0, "power_on"
        # PR_SET_PDEATHSIG counts the thread that starts the process as its parent: so it is
        # this one, which lives as long as the board.
        self._thread = threading.Thread(target=self._live, name="board", daemon=True)
        self._thread.start()
        threading.Thread(target=self._watch, args=(self._off,), name="world", daemon=True).start()

    def kill(self) -> None:
        """Cut the power (SIGKILL, at any instruction) and return once the board is dark."""
        self._off.set()
        self._stir()
        self._end_process()
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Power off and remove the scratch files; the folder of the device stays."""
        self.kill()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def wait_for(self, pattern: str, timeout: float = 10.0, after: int = 0) -> re.Match[str]:
        """Wait for a line that matches ``pattern``, from line number ``after`` on.

        Raises TimeoutError with the end of the log.
        """
        return self._log.wait_for(pattern, timeout, after)

    def _live(self) -> None:
        try:
            while not self._off.is_set():
                code = self._one_life()
                if not self._off.is_set():
                    self._between_lives(code)
        finally:
            self._end_process()

    def _between_lives(self, code: int) -> None:
        if code == _MAIN_ENDED:
            self._log.add(
                "board: main.py has ended; a real board is at its REPL now (Ctrl-C ends this)"
            )
            self._off.wait()
            return
        crash = f"crash, signal {-code}" if code < 0 else f"crash, exit code {code}"
        self.cause, said = _CAUSES.get(code, ("fault", crash))
        if self.cause == "deepsleep":
            self._sleep(f"board: reset ({said})")
        else:
            self._log.add(f"board: reset ({said})")
            self._off.wait(_REBOOT_S)

    def _sleep(self, said: str) -> None:
        chip = self._told["profile"]
        wired = chip != "esp8266" or self._control.get("wake_wired", True)
        called = self._control.get("wake")
        wait_s = self._control.fall_asleep(wired)
        self.asleep = True
        self._log.add(said)
        if wait_s is None:
            why = "" if wired else " (GPIO16 is not wired to RST)"
            self._log.add(f"board: asleep for good{why}; a wake pin, RST or its power ends this")
        with self._stirred:
            stirred = self._stirred.wait_for(
                lambda: self._off.is_set() or self._control.get("wake") != called, wait_s
            )
        self._told["woken_by"] = "pin" if stirred else "timer"
        self.asleep = False
        self._control.wake_up(rtc_counts=chip != "esp8266")

    def _stir(self) -> None:
        with self._stirred:
            self._stirred.notify_all()

    def _one_life(self) -> int:
        self._control.boot(self._told | {"reset_cause": self.cause})
        try:
            process = subprocess.Popen(
                self._launch.argv,
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as e:
            self._log.add(f"board: cannot start {self._launch.argv[0]}: {e}")
            self._off.set()
            return 1
        self._process = process
        self.boots += 1
        if self._off.is_set():  # the power went while it was being started
            self._end_process()
        assert process.stdout is not None
        for line in process.stdout:
            self._log.add(line.decode("utf-8", "replace").rstrip("\r\n"))
        process.stdout.close()
        return process.wait()

    def _end_process(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._stop_between_writes(process.pid)
                os.killpg(process.pid, signal.SIGKILL)

    def _stop_between_writes(self, group: int) -> None:
        # LittleFS keeps a file's old content until close(); here open() has emptied it by then.
        for _ in range(_TRIES):
            os.killpg(group, signal.SIGSTOP)
            time.sleep(_STOPS_S)
            files = (self.folder / "data" / "outbox").glob("[ab]")
            if all(path.stat().st_size for path in files):
                return
            os.killpg(group, signal.SIGCONT)
            time.sleep(_STOPS_S)

    def _watch(self, off: threading.Event) -> None:
        while not off.wait(_LOOK_S):
            self._control.look()


def run(make: Callable[[Callable[[str], None]], VirtualBoard], out: TextIO) -> None:
    """Run a board, its log going to ``out``, until Ctrl-C, SIGTERM or the end of ``out``'s reader.

    ``make`` is given the callable that takes each line of the log.
    """
    end = threading.Event()

    def echo(line: str) -> None:
        try:
            print(line, file=out, flush=True)
        except OSError:  # the reader of the pipe has gone
            end.set()

    with on_endings(lambda *_: end.set()), make(echo):
        end.wait()
