"""What git knows of a checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git(source: Path, *args: str) -> str:
    """What git says in the folder ``source``; raises OSError or SubprocessError."""
    command = ["git", "-C", str(source), *args]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout


def clean_s(source: Path) -> int | None:
    """Unix seconds of the last commit that changed the firmware; None for a tree with changes.

    None, too, where there is no git or no checkout: a downloaded archive.
    """
    parts = ["--", "boot.py", "main.py", "firmware"]
    try:
        if git(source, "status", "--porcelain", *parts):
            return None
        return int(git(source, "log", "-1", "--format=%ct", *parts))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
