"""Small programs that tests write, in Python and as shell scripts; and MicroPython for theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tools import toolchain
from tools.board.image import write_files
from tools.errors import ToolError


def micropython(bits: int = 64) -> list[str]:
    """How to run the unix port; where it is not to be had the test is skipped, or fails in CI."""
    try:
        return toolchain.micropython(bits)
    except ToolError as e:
        if os.environ.get("CI"):
            pytest.fail(f"{e}; try: {e.hint}")
        pytest.skip(f"{e}")


def output(files: Mapping[str, str], folder: Path, main: str = "start.py") -> str:
    """What ``main`` prints when ``files``, path -> text, lie in ``folder``; it must end well."""
    write_files(folder, {name: text.encode() for name, text in files.items()})
    command = [sys.executable, "-B", main]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def script(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path
