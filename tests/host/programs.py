"""Small Python programs that tests write, change and run, in CPython."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def output(files: Mapping[str, str], folder: Path, main: str = "start.py") -> str:
    """What ``main`` prints when ``files``, path -> text, lie in ``folder``; it must end well."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    command = [sys.executable, "-B", main]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
