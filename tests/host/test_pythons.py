"""`tools test-pythons`: which Pythons it finds, and what it says of a copy that does not run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.host.programs import script as program
from tests.host.test_sim_board import gone
from tools.dev import pythons
from tools.errors import ToolError
from tools.setup import __main__ as setup


def says(path: Path, version: str) -> Path:
    """A Python that answers the question for its version."""
    return program(path, f"echo '[\"{path}\", [{version}]]'")


def test_it_finds_those_on_path_and_in_pyenvs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    old = says(tmp_path / ".pyenv/versions/3.10.1/bin/python3.10", "3, 10, 1")
    new = says(tmp_path / "bin/python3.13", "3, 13, 0")
    (tmp_path / "bin/python3").symlink_to(new)
    says(tmp_path / "bin/python3.9", "3, 9, 0")
    program(tmp_path / "bin/python3.12", "exit 127")  # pyenv's shim of one that is not there
    program(tmp_path / "bin/python3.11", "true")  # a virtual environment, a release candidate
    says(tmp_path / "bin/python3-config", "3, 14, 0")
    assert pythons.found() == {new: (3, 13, 0), old: (3, 10, 1)}


def test_the_promise_is_that_of_setup() -> None:
    assert pythons._OLDEST == setup.OLDEST


def test_the_real_one_that_runs_this_is_found() -> None:
    assert pythons.found()[Path(sys._base_executable).resolve()] == sys.version_info[:3]


def test_it_chooses_the_systems_the_oldest_and_the_newest_but_not_its_own() -> None:
    own, system = Path(sys._base_executable).resolve(), Path("/usr/bin/python3.11x")
    there = {Path(f"/p/3.{n}"): (3, n, 0) for n in (14, 13, 10, 12)} | {system: (3, 11, 2)}
    wanted = {Path("/p/3.10"), Path("/p/3.14"), system}
    assert set(pythons.chosen(there | {own: (3, 12, 1)})) == wanted
    assert pythons.chosen({own: (3, 12, 1)}) == {}
    assert pythons.chosen({}) == {}


def checkout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout whose `make sim` does what PYTHON holds."""
    folder.mkdir()
    (folder / "Makefile").write_text("sim:\n\t@sh $(PYTHON)\n")
    (folder / ".gitignore").write_text("secret\n")
    (folder / "secret").touch()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    monkeypatch.setattr(pythons, "ROOT", folder)
    monkeypatch.setattr(pythons, "CACHE", folder / ".tools")
    monkeypatch.setenv("FIELDMOUSE_CLOUD", "/elsewhere")


def test_a_reading_is_what_counts_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path / "here", monkeypatch)
    pid = tmp_path / "pid"
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(
        f'test -z "$FIELDMOUSE_CLOUD" -a ! -e secret && echo $$ > {pid} && pwd >> {pid}\n'
        'echo "12:00:00  demo-1  21.00 °C  45.0 %RH  1013.2 hPa  seq 1"; exec sleep 60\n'
    )
    bad.write_text("echo error: it does not; exit 2\n")
    lines: list[str] = []
    came = pythons.run({good: (3, 10, 1), bad: (3, 13, 0)}, lines.append)
    assert (came.passed, came.failed, came.ok) == (1, 1, False)
    assert lines[0].startswith(f"Python 3.10.1 ({good}): a reading after ")
    assert lines[1].startswith(f"Python 3.13.0 ({bad}): no reading; make sim said:")
    assert "error: it does not" in lines[1]
    number, where = pid.read_text().split()
    assert gone(int(number))
    assert not os.path.exists(where)


def test_one_that_never_reads_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout(tmp_path / "here", monkeypatch)
    monkeypatch.setattr(pythons, "_LIMIT_S", 1.0)
    (tmp_path / "slow").write_text("echo installing; exec sleep 60\n")
    lines: list[str] = []
    began = time.monotonic()
    assert pythons.run({tmp_path / "slow": (3, 10, 1)}, lines.append).failed == 1
    assert time.monotonic() - began < 30
    assert "installing" in lines[0]


def test_outside_of_git_it_says_what_it_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pythons, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ToolError, match="git ls-files failed"):
        pythons.run({tmp_path / "x": (3, 10, 1)}, print)
