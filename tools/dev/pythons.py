"""Sets up fresh copies of the checkout with other Pythons of this machine, and runs `make sim`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tools.dev.checks import Outcome
from tools.errors import ToolError
from tools.toolchain import CACHE, ROOT

_HOMES = (".pyenv/versions/*/bin", ".local/share/uv/python/*/bin")  # in one's home folder
_OLDEST = (3, 10)  # that of tools/setup/__main__.py
_MOST = 60  # interpreters that are asked for their version
_ASK_S = 10.0
_ASK = """
import ctypes, json, os, ssl, sys, venv
if sys.version_info[3] == "final" and sys.prefix == sys.base_prefix:
    print(json.dumps([os.path.realpath(sys.executable), sys.version_info[:3]]))
"""
_READING = re.compile(r"^\d\d:\d\d:\d\d  demo-1  .* seq 1$", re.M)
_LIMIT_S = 400.0
_STOP_S = 15.0
_TAIL_LINES = 12
# What would lead a copy back to this checkout, or to this run of make.
_CLEARED = {"FIELDMOUSE_CLOUD", "FIELDMOUSE_THINGS", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}
_CLEARED |= {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"}

Version = tuple[int, ...]


def found() -> dict[Path, Version]:
    """The Pythons of this machine that the tools promise to run on: program -> version.

    On PATH, and where pyenv and uv put them; no virtual environments.
    """
    folders = [Path(p) for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if p]
    folders += [path for place in _HOMES for path in sorted(Path.home().glob(place))]
    programs = [p for folder in folders for p in sorted(folder.glob("python3*"))]
    real = dict.fromkeys(p.resolve() for p in programs if re.fullmatch(r"python3(\.\d+)?", p.name))
    asked = (_version(program) for program in list(real)[:_MOST])
    return {path: version for path, version in filter(None, asked) if version >= _OLDEST}


def chosen(there: dict[Path, Version]) -> dict[Path, Version]:
    """The system's own, the oldest and the newest of ``there``; not the one that runs this.

    `make test` itself is what proves that one.
    """
    ordered = sorted(there, key=lambda path: (there[path], path))
    system = [path for path in ordered if path.parent == Path("/usr/bin")][:1]
    own = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    picked = dict.fromkeys([*system, *ordered[:1], *ordered[-1:]])
    return {path: there[path] for path in picked if path != own}


def run(pythons: dict[Path, Version], echo: Callable[[str], None]) -> Outcome:
    """Run `make sim` on a fresh copy with each of ``pythons``, all at a time, up to a reading.

    The copies share pip's cache and the builds of MicroPython. Nothing of them stays.
    """
    began = time.monotonic()
    failed: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch,
        contextlib.ExitStack() as on,
    ):
        waiting: dict[Path, subprocess.Popen[bytes]] = {}
        logs = {python: Path(scratch, str(n), "log") for n, python in enumerate(pythons)}
        for python, log in logs.items():
            waiting[python] = _started(python, log)
            on.callback(_stop, waiting[python])
        while waiting:
            time.sleep(0.2)
            took_s = time.monotonic() - began
            for python, process in list(waiting.items()):
                ended = took_s > _LIMIT_S or process.poll() is not None
                name = f"Python {'.'.join(map(str, pythons[python]))} ({python})"
                said = logs[python].read_text("utf-8", "replace")
                if _READING.search(said):
                    echo(f"{name}: a reading after {took_s:.0f} s")
                    _stop(process)
                elif ended:
                    tail = "\n  ".join(said.splitlines()[-_TAIL_LINES:])
                    failed.append(f"{name}: no reading; make sim said:\n  {tail}")
                else:
                    continue
                del waiting[python]
    for text in failed:
        echo(text)
    passed = len(pythons) - len(failed)
    return Outcome("pythons", passed, len(failed), time.monotonic() - began)


def _started(python: Path, log: Path) -> subprocess.Popen[bytes]:
    """`make sim` in a fresh copy of the checkout, the folder of ``log``."""
    _copy(log.parent)
    env = {name: value for name, value in os.environ.items() if name not in _CLEARED}
    with log.open("wb") as out:
        return subprocess.Popen(
            ["make", "sim", f"PYTHON={python}"],
            cwd=log.parent,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _copy(folder: Path) -> None:
    """Copy what belongs to the checkout, and what setup has fetched that is no Python's."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        raise ToolError(f"git ls-files failed: {listed.stderr.strip()}", "run it in a git clone")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for part in ("micropython", "umqtt"):
        if (CACHE / part).is_dir():
            shutil.copytree(CACHE / part, folder / ".tools" / part, symlinks=True)


def _version(program: Path) -> tuple[Path, Version] | None:
    """(where it really is, version) of a Python that works; None for shims and the like."""
    with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
        ran = subprocess.run(
            [str(program), "-I", "-c", _ASK],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASK_S,
        )
        path, version = json.loads(ran.stdout)
        return Path(path), tuple(version)
    return None
