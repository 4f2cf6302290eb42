"""What `make setup` does, in order: look at every part, make those that are not whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools import errors, toolchain
from tools.errors import ToolError
from tools.setup import builds, python
from tools.setup.parts import Part, fault, make

_SCRATCH = toolchain.CACHE / "scratch"
# Targets that need no more than requirements.txt, and no more than requirements-board.txt besides;
# every other one gets all.
_AWS = {"sim", "provision", "watch", "things", "rotate", "revoke", "deprovision", "doctor"}
_AWS |= {"battery"}
_BOARD = {"ports", "flash", "bench-flash", "try-flash", "deploy", "logs", "repl", "crashlog"}
_BOARD |= {"config", "erase"}
_TRY_DISK = "is the checkout writable, the disk not full? then make setup"


def main(argv: list[str]) -> int:
    """Install what is missing; return the exit code.

    ``argv``: the Make targets to install for, none for all; ``--quiet``: silent when all is there.
    """
    try:
        made = setup([word for word in argv if word != "--quiet"])
    except ToolError as e:
        print(errors.lines(e), file=sys.stderr)
        return 2
    except OSError as e:
        wrong = ToolError(f"{e.filename or toolchain.ROOT}: {e.strerror}", _TRY_DISK)
        print(errors.lines(wrong), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; make setup goes on from here", file=sys.stderr)
        return 130
    if made or "--quiet" not in argv:
        print("setup: everything is installed", file=sys.stderr)
    return 0


def setup(targets: Sequence[str] = ()) -> bool:
    """Make every part that these Make targets need and that is not whole; whether there was any.

    Raises ToolError.
    """
    needed, extra = _needed(targets), builds.part(32)
    wanted = _is_all(targets) and _wanted(extra)
    if not any(fault(part) for part in needed) and not wanted:
        return False
    with _locked():
        for part in needed:
            _ensure(part)
        if wanted:
            _try(extra)
    return True


def _is_all(targets: Sequence[str]) -> bool:
    return not targets or not (_AWS | _BOARD).issuperset(targets)


def _needed(targets: Sequence[str]) -> list[Part]:
    needed = [python.environment(toolchain.VENV), python.umqtt()]
    if not targets or not _AWS.issuperset(targets):
        needed.insert(1, python.addition("tools for boards", "board", toolchain.VENV))
    if _is_all(targets):
        needed.insert(2, python.addition("tools for tests", "test", toolchain.VENV))
    given = os.environ.get("MICROPYTHON")
    if given:
        wrong = toolchain.micropython_fault(toolchain.named_micropython(given))
        if wrong:
            raise ToolError(f"MICROPYTHON={given} {wrong}", "unset MICROPYTHON")
    elif not toolchain.path_micropython():
        needed.append(builds.part(64))
    return needed


def _ensure(part: Part) -> None:
    # Asked again under the lock: another make setup may have made it meanwhile.
    why = fault(part)
    if why:
        print(f"setup: {part.name}: {why}", file=sys.stderr)
        make(part, _SCRATCH)
        why = fault(part)
        if why:
            raise ToolError(f"{part.name}: {why}", f"rm -rf {part.folder}, then make setup")


def _wanted(extra: Part) -> bool:
    return bool(fault(extra)) and not _refusal(extra).exists()


def _try(extra: Part) -> None:
    # The 32-bit build measures heaps as the chips have them; everything else works without it.
    # That it cannot be had here is remembered, so that the next setup needs no network.
    try:
        _ensure(extra)
    except ToolError as e:
        note = _refusal(extra)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{e}\n")
        print(f"setup: note: no 32-bit MicroPython here, 64-bit only ({e})", file=sys.stderr)
        print(f"  try: rm {note.relative_to(toolchain.ROOT)}, then make setup", file=sys.stderr)


def _refusal(extra: Part) -> Path:
    return extra.folder.with_name(extra.folder.name + "-not-here")


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    toolchain.CACHE.mkdir(exist_ok=True)
    with open(toolchain.CACHE / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: another make setup is running, waiting for it", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(_SCRATCH, ignore_errors=True)  # of a setup that was killed
        yield
