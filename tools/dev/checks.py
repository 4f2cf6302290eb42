"""Runs the linter, the type checker and the tests as programs and counts what passed.

The tests run in pytest: device tests (inside MicroPython), host tests and end-to-end tests. The
measurements of bench/, one file a figure, are programs of their own.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import toolchain
from tools.dev import changed
from tools.errors import ToolError
from tools.toolchain import ROOT

_WORKERS = 6  # most tests wait for a board, on the two cores of CI as well
_DEVICE_WORKERS = 2  # these do not, and a worker takes as long to start as some of them

# Runs a program; Ctrl-C ends it without a traceback.
_QUIET = """
import runpy, sys
del sys.argv[0]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except KeyboardInterrupt:
    sys.exit(130)
"""
_HEAP = "96wk"  # of a measurement: the firmware is compiled from source, beside a flash in memory

_DEVICE = ROOT / "tests" / "device"
_IN_MICROPYTHON = "tests/host/test_device.py"

Echo = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What one check came to. A linter counts as one test."""

    name: str
    passed: int
    failed: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether something was checked and nothing failed."""
        return self.passed > 0 and not self.failed


def lint(echo: Echo) -> list[Outcome]:
    """Run ruff (rules and layout) and mypy over the whole tree; ``echo`` gets what they say."""
    programs = {
        "rules": ["ruff", "check"],
        "layout": ["ruff", "format", "--check"],
        "types": ["mypy"],
    }
    return [_program(name, argv, echo) for name, argv in programs.items()]


def _with_bytecode() -> dict[str, str]:
    # Else each worker, and each `python -m tools` of a test, would compile all of its modules.
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def compiled(folder: Path = ROOT) -> Iterator[None]:
    """Have pytest compile the tests of ``folder`` meanwhile: each worker at once would, too."""
    argv = [sys.executable, "-m", "pytest", "-q", "--collect-only"]
    with subprocess.Popen(
        argv, cwd=folder, env=_with_bytecode(), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    ) as process:
        try:
            yield
        except BaseException:
            process.kill()
            raise


def tests(echo: Echo, chosen: Sequence[str], umqtt: Path | None) -> Outcome:
    """Run pytest with the arguments ``chosen``; ``umqtt`` is what the boards get."""
    env = _with_bytecode()
    if umqtt:
        env["UMQTT"] = str(umqtt.resolve())
    device = all(name.startswith(_IN_MICROPYTHON) for name in chosen or [""])
    workers = _DEVICE_WORKERS if device else _WORKERS
    argv = ["pytest", "-q", "-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]
    argv += chosen
    began = time.monotonic()
    code, said = _run(argv, echo, env)
    passed, failed = counted(said[-1] if said else "")
    if code and not failed:
        failed = 1  # a worker that died, an option pytest does not know
    return Outcome("tests", passed, failed, time.monotonic() - began)


def quick(echo: Echo) -> list[Outcome]:
    """Run the linters, the house rules, and the device tests about what differs from main."""
    names = changed.device_tests(changed.files())
    echo(f"device tests: {', '.join(names) or 'none'}")
    device = [test for name in names for test in _on_board(name)]
    cores = ["-n", str(_DEVICE_WORKERS)]
    return [*lint(echo), tests(echo, [*cores, "tests/host/test_layout.py", *device], None)]


def named(paths: Sequence[str]) -> list[str]:
    """What pytest is to run for files and folders of tests; ToolError for one that is not there.

    Device tests run in MicroPython, on both word sizes: tests/host/test_device.py does that. A
    pytest id (FILE::TEST) stays what it is.
    """
    found: list[str] = []
    for given in paths:
        file = given.split("::")[0]
        path = next((p for p in (Path(file).resolve(), ROOT / file) if p.exists()), None)
        if path is None:
            raise ToolError(f"there is no test {file}", "tests/host, tests/e2e or tests/device")
        if path == _DEVICE:
            found.append(_IN_MICROPYTHON)
        elif path.parent == _DEVICE:
            if not path.name.startswith("test_"):
                raise ToolError(f"{file} has no tests, it helps them", "tests/device/test_….py")
            found += _on_board(path.stem)
        else:
            found.append(given.replace(file, str(path), 1))
    return found


def benches(folder: Path = ROOT / "bench") -> dict[str, Path]:
    """Return the measurements of ``folder`` by name."""
    found = sorted(folder.glob("bench_*.py"))
    return {path.stem.removeprefix("bench_"): path for path in found}


def bench(name: str, folder: Path = ROOT / "bench") -> int:
    """Run one measurement, its output to ours; return its exit code.

    Options may follow the name: "link --markdown". Raises ToolError when there is none of it.
    """
    name, *options = shlex.split(name) or [name]
    known = benches(folder)
    if name not in known:
        raise ToolError(f"no measurement is called {name}", " or ".join(sorted(known)))
    path = known[name]
    if path.read_text().startswith("#"):  # board code opens with a comment, not with a docstring
        search = f"{ROOT}:{ROOT / 'tests' / 'device'}"
        argv = [*toolchain.micropython(32), "-X", f"heapsize={_HEAP}", str(path), *options]
        return subprocess.call(argv, env={**os.environ, "MICROPYPATH": search})
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.call([sys.executable, "-c", _QUIET, str(path), *options], cwd=ROOT, env=env)


def _on_board(name: str) -> list[str]:
    return [f"{_IN_MICROPYTHON}::test_device[{name}-{bits}]" for bits in (64, 32)]


def counted(closing: str) -> tuple[int, int]:
    """Return (passed, failed) of pytest's closing line; an error in a fixture is a failure."""
    found = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|errors?)", closing)}
    return found.pop("passed", 0), sum(found.values())


def _program(name: str, argv: list[str], echo: Echo) -> Outcome:
    said: list[str] = []
    began = time.monotonic()
    code, _ = _run(argv, said.append, os.environ)
    if code:
        for line in said:
            echo(line)
    return Outcome(name, int(not code), int(bool(code)), time.monotonic() - began)


def _run(
    argv: list[str], echo: Echo, env: os._Environ[str] | dict[str, str]
) -> tuple[int, list[str]]:
    toolchain.need(argv[0])
    said = []
    with subprocess.Popen(
        [sys.executable, "-m", *argv],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as ran:
        assert ran.stdout is not None
        for line in ran.stdout:
            said.append(line.rstrip("\n"))
            echo(said[-1])
    return ran.returncode, [line for line in said if line.strip()]
