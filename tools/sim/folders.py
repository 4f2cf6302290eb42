"""The folders of runs, `.sim/run-*`: devices, certificates of the local AWS, logs."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tools.aws import local

_OWNER = "owner.pid"  # in a folder that its run removes


@contextlib.contextmanager
def scratch(keep: bool) -> Iterator[Path]:
    """A new folder for one run, removed at the end unless ``keep``."""
    base = local.ROOT / ".sim"
    base.mkdir(exist_ok=True)
    (base / ".gitignore").write_text("*\n")
    sweep(base)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=base))
    if keep:
        yield folder
        return
    (folder / _OWNER).write_text(str(os.getpid()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(base: Path) -> None:
    """Remove what runs have left that were killed before they could do it themselves."""
    for owner in base.glob(f"run-*/{_OWNER}"):
        try:
            os.kill(int(owner.read_text()), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(owner.parent, ignore_errors=True)
        except OSError:
            continue  # somebody else's process, so it runs; or the folder has just gone
