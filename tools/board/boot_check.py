"""Does a freshly booted board reach AWS? Read off its log: config, sensor, Wi-Fi, time, AWS.

The lines are those of the firmware (`[uptime] module: text`). A step that fails is not the end:
the board tries again by itself, so only time ends the wait, and then the last complaint counts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tools.board import serial_log
from tools.board.serial_log import SerialLog

TIMEOUT_S = 90.0
_FIRST = "app"  # the module of the log's first line; another means that we came late


@dataclass(frozen=True)
class Step:
    """``module`` of the log line, what a good one looks like, and what to do about a bad one."""

    name: str
    module: str
    good: re.Pattern[str]
    remedy: str


STEPS = (
    Step(
        "config",
        "config",
        re.compile(r"\S+ at \S+$"),
        "mend config.json: python -m tools config THING key=value",
    ),
    Step(
        "sensor",
        "sensor",
        re.compile(r"[a-z0-9]+@0x[0-9a-f]+$"),
        "check the wiring (docs/boards.md) and the pins: python -m tools config THING i2c.sda=N",
    ),
    Step(
        "Wi-Fi",
        "wifi",
        re.compile(r"up \d"),
        "name, password and 2.4 GHz: python -m tools config THING wifi.0.ssid=… wifi.0.password=…",
    ),
    Step(
        "time",
        "clock",
        re.compile(r"\d{4}-\d\d-\d\d |rtc kept"),
        "neither an NTP server nor AWS has told it: open UDP port 123, or: python -m tools config"
        " THING ntp=SERVER; and TCP port 8883 to AWS",
    ),
    Step("AWS", "link", re.compile(r"up\b"), "python -m tools doctor THING"),
)
# What a board says that will never get better by waiting, and what it takes.
FATAL = (
    ("config: cannot start", STEPS[0].remedy),
    ("app: SAFE MODE", "make crashlog says why; mend it, then make deploy"),
    ("invalid header", "there is no firmware on the board: make flash"),
    ("esp_image:", "the firmware on the board is damaged: make flash"),
    ("filesystem appears to be corrupted", "the file system is damaged: make flash"),
    ("filesystem starting at sector", "the file system is damaged: make flash"),
)


@dataclass
class Outcome:
    """How far the board came: ``passed`` (step, its text), and for the first missing step why."""

    passed: list[tuple[str, str]] = field(default_factory=list)
    failed: str = ""  # "" when every step was passed
    why: str = ""
    remedy: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """The board reports to AWS."""
        return not self.failed


OnStep = Callable[[str, str, bool], None]  # step, text, whether it is passed


def watch(
    log: SerialLog, on_step: OnStep, timeout_s: float = TIMEOUT_S, until: str = ""
) -> Outcome:
    """Follow the log until every step (up to ``until``) is passed, or ``timeout_s`` are over.

    ``on_step`` gets each line of interest as it happens, complaints included.
    """
    start = time.monotonic()
    count = [step.name for step in STEPS].index(until) + 1 if until else len(STEPS)
    waiting = {step.name: step for step in STEPS[:count]}
    said: dict[str, str] = {}
    outcome = Outcome()
    first = ""
    for line in log.lines(start + timeout_s):
        if not first and (parsed := serial_log.parse(line)):
            first = parsed[1]
        if fatal := next((hint for text, hint in FATAL if text in line), ""):
            return _failed(outcome, "boot", said.get("config", line.strip()), fatal, start)
        _one(line, waiting, said, outcome, on_step)
        if first not in ("", _FIRST) and count == len(STEPS) and STEPS[-1].name not in waiting:
            waiting = {}  # a chip on USB by itself speaks before anyone listens: AWS is proof
        if not waiting:
            outcome.seconds = time.monotonic() - start
            return outcome
    missing = next(iter(waiting.values()))
    silent = "no log from the board" if not said and not outcome.passed else "nothing about it"
    why = said.get("") or said.get(missing.name) or silent
    return _failed(outcome, missing.name, why, missing.remedy, start)


def _one(
    line: str, waiting: dict[str, Step], said: dict[str, str], outcome: Outcome, on_step: OnStep
) -> None:
    parsed = serial_log.parse(line)
    if parsed is None:
        if line.startswith(("Traceback", "ImportError", "MemoryError", "OSError", "SyntaxError")):
            said[""] = line
        return
    _, module, text = parsed
    if module == "crash":
        said[""] = f"the firmware crashed: {text}"
    if module == "claim":  # until it has a certificate there is no word of its configuration
        said["config"] = text
    for step in [s for s in waiting.values() if s.module == module]:
        if step.good.match(text):
            del waiting[step.name]
            outcome.passed.append((step.name, text))
            on_step(step.name, text, True)
        else:
            said[step.name] = text
            on_step(step.name, text, False)


def _failed(outcome: Outcome, step: str, why: str, remedy: str, start: float) -> Outcome:
    outcome.failed, outcome.why, outcome.remedy = step, why, remedy
    outcome.seconds = time.monotonic() - start
    return outcome
