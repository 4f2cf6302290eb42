"""Runs the long tests, tests/soak, as a program of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from tools.errors import ToolError
from tools.toolchain import ROOT

PARTS = ("publishes", "reconnects", "cuts", "faults", "scenarios", "fuzz")


def run(parts: Sequence[str], seed: int, short: bool) -> int:
    """Run some parts, or all, their output to ours; return the exit code.

    Raises ToolError for a part there is none of.
    """
    for part in parts:
        if part not in PARTS:
            raise ToolError(f"soak: there is no part {part}", " or ".join(PARTS))
    argv = [sys.executable, "-m", "tests.soak", *parts, "--seed", str(seed)]
    return subprocess.call([*argv, *(["--short"] if short else [])], cwd=ROOT)
