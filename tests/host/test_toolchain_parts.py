"""Stamped folders: whole, stale, half made, damaged; and setup as a program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tools.errors import ToolError
from tools.setup import __main__ as gate
from tools.setup import process, python, steps
from tools.setup.parts import STAMP, Part, fault, make
from tools.toolchain import ROOT


def fill(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "lib").mkdir()
    (folder / "lib/a.txt").write_text("abc")
    (folder / "link").symlink_to("lib/a.txt")


@pytest.fixture(params=[False, True], ids=["renamed", "in place"])
def part(request: pytest.FixtureRequest, tmp_path: Path) -> Part:
    return Part("it", tmp_path / "deep/it", {"recipe": "1"}, fill, in_place=request.param)


def test_a_part_is_made_once(part: Part, tmp_path: Path) -> None:
    assert fault(part) == "not there yet"
    make(part, tmp_path / "scratch")
    assert fault(part) == ""
    assert not (tmp_path / "scratch").exists()


def lose_file(folder: Path) -> None:
    (folder / "lib/a.txt").unlink()


def shorten_file(folder: Path) -> None:
    (folder / "lib/a.txt").write_text("ab")


def break_link(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("nowhere")


def lose_stamp(folder: Path) -> None:
    (folder / STAMP).unlink()


def cut_stamp(folder: Path) -> None:
    (folder / STAMP).write_text((folder / STAMP).read_text()[:10])


def junk_stamp(folder: Path) -> None:
    (folder / STAMP).write_text('["files"]')


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lose_file, "damaged: "),
        (shorten_file, "damaged: lib/a.txt"),
        (break_link, "damaged: link"),
        (lose_stamp, "half made"),
        (cut_stamp, "half made"),
        (junk_stamp, "half made"),
    ],
)
def test_harm_is_seen_and_mended(
    part: Part, tmp_path: Path, harm: Callable[[Path], None], says: str
) -> None:
    make(part, tmp_path / "scratch")
    harm(part.folder)
    assert fault(part).startswith(says)
    make(part, tmp_path / "scratch")
    assert fault(part) == ""


def test_other_inputs_make_it_stale(part: Part, tmp_path: Path) -> None:
    make(part, tmp_path / "scratch")
    assert fault(replace(part, inputs={"recipe": "2"})) == "stale: another recipe"
    assert fault(replace(part, inputs={"recipe": "1", "place": "x"})) == "stale: another place"


def test_its_own_check_has_the_last_word(part: Part, tmp_path: Path) -> None:
    make(part, tmp_path / "scratch")
    assert fault(replace(part, check=lambda folder: f"{folder.name} is odd")) == "it is odd"


def test_a_build_that_fails_leaves_nothing_that_passes_for_whole(
    part: Part, tmp_path: Path
) -> None:
    def dies(folder: Path) -> None:
        fill(folder)
        raise ToolError("no network")

    with pytest.raises(ToolError):
        make(replace(part, build=dies), tmp_path / "scratch")
    assert fault(part) != ""
    make(part, tmp_path / "scratch")
    assert fault(part) == ""


def test_compiled_files_may_come_and_go(part: Part, tmp_path: Path) -> None:
    def with_cache(folder: Path) -> None:
        fill(folder)
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__/x.pyc").touch()

    compiled = replace(part, build=with_cache)
    make(compiled, tmp_path / "scratch")
    shutil.rmtree(part.folder / "__pycache__")
    assert fault(compiled) == ""


def test_pip_without_a_network_is_told_as_that() -> None:
    said = [
        "Ignoring tomli: markers 'python_version < \"3.11\"' don't match your environment",
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError("
        "'<x>: Failed to establish a new connection: [Errno -3] No name')': /simple/boto3/",
        "ERROR: No matching distribution found for boto3==1",
    ]
    assert process.told(said) == [
        "ERROR: No matching distribution found for boto3==1",
        "Failed to establish a new connection: [Errno -3] No name",
    ]


def test_a_failing_program_is_quoted_and_a_missing_one_named() -> None:
    failing = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done; exit 3"]
    with pytest.raises(ToolError) as caught:
        process.run(failing, "the step", "the hint")
    assert caught.value.message.splitlines()[0] == "the step failed:"
    assert caught.value.message.splitlines()[1:] == [f"  line {i}" for i in range(4, 10)]
    assert caught.value.hint == "the hint"
    with pytest.raises(ToolError, match="cannot run no-such-program"):
        process.run(["no-such-program"], "the step", "the hint")
    with pytest.raises(ToolError, match="exit code 7, no output"):
        process.run(["sh", "-c", "exit 7"], "the step", "the hint")


def test_pip_is_not_led_astray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_USER", "1")
    said = process.run(["env"], "env", "")
    assert "PIP_USER" not in said
    assert "PYTHONPATH" not in said


def test_an_old_python_looks_for_a_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "python3.12"  # pyenv's: there, but only to say that it is not installed
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    (tmp_path / "python3.11").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gate.newer(["python3.13", "python3.12"]) is None
    assert gate.newer(["python3.12", "python3.11"]) == str(tmp_path / "python3.11")


def test_too_old_and_nothing_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    assert gate.main() == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "error: Python 3.10 or newer is needed, this one is 3.9.2"
    assert said[1].startswith("  try: ")


def test_umqtt_must_be_the_very_file(tmp_path: Path) -> None:
    part = replace(python.umqtt(), folder=tmp_path)
    (tmp_path / "umqtt").mkdir()
    (tmp_path / "umqtt/simple.py").write_text("class MQTTClient: pass\n")
    assert part.check(tmp_path) == "umqtt/simple.py is not the file it should be"


def test_an_environment_whose_python_is_gone(tmp_path: Path) -> None:
    part = python.environment("it", tmp_path, "requirements.txt")
    assert part.check(tmp_path).startswith("its Python does not start")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    assert part.check(tmp_path) == "its Python has moved or changed"
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (tmp_path / "lib" / version).mkdir(parents=True)
    assert part.check(tmp_path) == ""


def setup_in_this_checkout(**env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.setup", "--quiet"],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )


def test_when_all_is_there_setup_says_nothing_and_asks_no_network() -> None:
    nowhere = "http://127.0.0.1:9"
    ran = setup_in_this_checkout(
        PIP_INDEX_URL=nowhere, http_proxy=nowhere, https_proxy=nowhere, DEBIAN_MIRROR=nowhere
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_setup_refuses_a_wrong_interpreter_in_two_lines(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho 1 19 64\n")
    old.chmod(0o755)
    ran = setup_in_this_checkout(MICROPYTHON=str(old))
    assert ran.returncode == 2
    assert ran.stderr == (
        f"error: MICROPYTHON={old} is 1.19, older than 1.26\n  try: unset MICROPYTHON\n"
    )


def test_a_disk_that_cannot_be_written_is_an_error_not_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> bool:
        raise OSError(28, "No space left on device", "it")

    monkeypatch.setattr(steps, "setup", full)
    assert steps.main([]) == 2
    assert capsys.readouterr().err.startswith("error: it: No space left on device\n  try: ")


def test_ctrl_c_says_that_it_goes_on_later(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped() -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "setup", stopped)
    assert steps.main([]) == 130
    assert "make setup goes on" in capsys.readouterr().err
