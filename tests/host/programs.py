"""Small programs that tests write: Python ones that run in CPython, and shell scripts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tools.board.image import write_files


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
