"""Folders that setup makes, each with a stamp that says what it was made from.

A part is whole when its stamp names today's inputs, every file the stamp lists is there at its
size, and its own check finds nothing. The stamp is written last: a part that was killed half-way
has none and is made again. A part that need not know its own path is made beside and renamed
into place.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STAMP = ".fieldmouse.json"

_LINK = -1  # "size" of a symbolic link: it need only lead somewhere


@dataclass(frozen=True)
class Part:
    """One folder: ``build`` fills the folder it is given, ``check`` says what is wrong with it.

    ``inputs`` are what the folder depends on, name to value; a change of one makes it stale.
    ``in_place`` is for a virtual environment, which has its own path written into its files.
    ``added`` is a name for what is put into a folder that another part has made, and goes with it.
    """

    name: str
    folder: Path
    inputs: dict[str, str]
    build: Callable[[Path], None]
    check: Callable[[Path], str] = lambda folder: ""
    in_place: bool = False
    added: str = ""

    @property
    def stamp(self) -> Path:
        """Says what the part was made from."""
        return self.folder / (f".fieldmouse-{self.added}.json" if self.added else STAMP)


def fault(part: Part) -> str:
    """Return why ``part`` has to be made, or "" when it is whole."""
    if not part.folder.is_dir() or (part.added and not part.stamp.exists()):
        return "not there yet"
    try:
        stamp = json.loads(part.stamp.read_text())
        inputs, files = dict(stamp["inputs"]), dict(stamp["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return "half made"
    for name in sorted(part.inputs.keys() | inputs.keys()):
        if part.inputs.get(name) != inputs.get(name):
            return f"stale: another {name}"
    for name, size in files.items():
        if _size(part.folder / name) != size:
            return f"damaged: {name}"
    return part.check(part.folder)


def make(part: Part, scratch: Path) -> None:
    """Build ``part`` anew, by way of the folder ``scratch``; the caller holds the lock."""
    if part.added:
        part.stamp.unlink(missing_ok=True)
        part.build(part.folder)
        _write_stamp(part, part.folder)
        return
    if part.in_place:
        _remove(part.folder)
        part.folder.parent.mkdir(parents=True, exist_ok=True)
        part.build(part.folder)
        _write_stamp(part, part.folder)
        return
    _remove(scratch)
    scratch.mkdir(parents=True)
    part.build(scratch)
    _write_stamp(part, scratch)
    _remove(part.folder)
    part.folder.parent.mkdir(parents=True, exist_ok=True)
    scratch.rename(part.folder)


def _write_stamp(part: Part, folder: Path) -> None:
    files = {}
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for path in (Path(top) / name for name in names):
            files[path.relative_to(folder).as_posix()] = _size(path)
    new = folder / (part.stamp.name + ".new")
    new.write_text(json.dumps({"inputs": part.inputs, "files": files}))
    new.replace(folder / part.stamp.name)


def _size(path: Path | str) -> int | None:
    try:
        if os.path.islink(path):
            return _LINK if os.path.exists(path) else None
        return os.stat(path).st_size
    except OSError:
        return None


def _remove(folder: Path) -> None:
    # The stamp goes first: killed in the middle of this, the folder must not pass for whole.
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
        return
    (folder / STAMP).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
