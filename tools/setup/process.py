"""Runs the programs that setup needs, and turns what goes wrong into a ToolError."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from tools.errors import ToolError

OnLine = Callable[[str], None]

_TAIL = 6  # lines of a failed program's output that are shown
# What would make pip or venv install somewhere else than they are told to.
_STRANGERS = ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER")
# pip repeats these for every package where a configured folder of wheels is not there.
_NOISE = ("is ignored: it is neither", "[notice]", "Ignoring ", "Looking in ", "Retrying (")
_WIDEST = 200  # characters of one such line


def run(
    argv: Sequence[str],
    what: str,
    hint: str,
    on_line: OnLine | None = None,
    extra_env: Mapping[str, str] | None = None,
) -> str:
    """Run ``argv`` and return its output (both streams); ``on_line`` sees each line as it comes.

    Raises ToolError "``what`` failed" with the last lines of the output when it cannot be
    started or does not exit with 0.
    """
    env = {k: v for k, v in os.environ.items() if k not in _STRANGERS} | dict(extra_env or {})
    try:
        ran = subprocess.Popen(
            list(argv),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as e:
        raise ToolError(f"{what} failed: cannot run {argv[0]} ({e.strerror})", hint) from None
    with ran:
        out = _read(ran, on_line)
    if ran.returncode:
        tail = told(out) or [f"exit code {ran.returncode}, no output"]
        raise ToolError("\n  ".join([f"{what} failed:", *tail]), hint)
    return "\n".join(out)


def told(out: Sequence[str]) -> list[str]:
    """Return the few lines of a failed program's output that say what went wrong."""
    lines = [line.strip() for line in out if line.strip()]
    shown = [line[:_WIDEST] for line in lines if not any(n in line for n in _NOISE)][-_TAIL:]
    # pip says "no matching version" when it means "no network"; the reason is in the noise.
    broken = re.search(
        r"(?:Failed to establish|Name or service|timed out)[^'\")]*", "\n".join(lines)
    )
    if broken and not any(broken[0] in line for line in shown):
        shown.append(broken[0])
    return shown


def _read(ran: subprocess.Popen[str], on_line: OnLine | None) -> list[str]:
    assert ran.stdout is not None
    out = []
    try:
        for line in ran.stdout:
            out.append(line.rstrip("\n"))
            if on_line:
                on_line(out[-1])
    except BaseException:
        ran.terminate()
        raise
    return out


class Progress:
    """Lines about a long step: one that is rewritten on a terminal, else one every 10 s."""

    _EVERY_S = 10.0

    def __init__(self, text: str) -> None:
        self._text = text
        self._live = sys.stderr.isatty()
        self._began = self._shown = time.monotonic()
        self._write(f"{text} ...")

    def note(self, detail: str) -> None:
        """Say how far the step has come."""
        now = time.monotonic()
        if self._live or now - self._shown >= self._EVERY_S:
            self._shown = now
            self._write(f"{self._text} ... {detail}")

    def done(self) -> None:
        """Say that the step is over and how long it took."""
        self._write(f"{self._text}: done in {time.monotonic() - self._began:.0f} s")
        if self._live:
            sys.stderr.write("\n")

    def _write(self, line: str) -> None:
        sys.stderr.write(f"\r\x1b[K{line[:99]}" if self._live else f"{line}\n")
        sys.stderr.flush()
