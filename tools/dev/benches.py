"""Runs the measurements of bench/: one file a figure, bench_NAME.py."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from tools import toolchain
from tools.errors import ToolError

_HEAP = "96wk"  # the firmware is compiled from source there, beside a flash in memory


def names(folder: Path) -> dict[str, Path]:
    """Return the measurements of ``folder`` by name."""
    found = sorted(folder.glob("bench_*.py"))
    return {path.stem.removeprefix("bench_"): path for path in found}


def run(name: str, folder: Path = toolchain.ROOT / "bench") -> int:
    """Run one measurement, its output to ours; return its exit code.

    Options may follow the name: "link --markdown". Raises ToolError when there is none of it.
    """
    name, *options = shlex.split(name) or [name]
    known = names(folder)
    if name not in known:
        raise ToolError(f"no measurement is called {name}", " or ".join(sorted(known)))
    path = known[name]
    if on_board(path):
        search = f"{toolchain.ROOT}:{toolchain.ROOT / 'tests' / 'device'}"
        argv = [*toolchain.micropython(32), "-X", f"heapsize={_HEAP}", str(path), *options]
        return subprocess.call(argv, env={**os.environ, "MICROPYPATH": search})
    env = {**os.environ, "PYTHONPATH": str(toolchain.ROOT)}
    return subprocess.call([sys.executable, str(path), *options], cwd=toolchain.ROOT, env=env)


def on_board(path: Path) -> bool:
    """Whether it runs in MicroPython: board code opens with a comment, not with a docstring."""
    return path.read_text().startswith("#")
