"""Which programs the tools run: $MICROPYTHON, PATH, what setup unpacked; and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.host.programs import script as program
from tools import toolchain
from tools.errors import ToolError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty .tools, an empty PATH but for `sh`'s own folder, and no $MICROPYTHON."""
    monkeypatch.setattr(toolchain, "CACHE", tmp_path / ".tools")
    monkeypatch.setattr(toolchain, "VENV", tmp_path / ".venv")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("MICROPYTHON", raising=False)
    monkeypatch.delenv("MICROPYTHON32", raising=False)
    return tmp_path


def answers(version: str, bits: int = 64) -> str:
    return f"echo {version} {bits}"


def test_a_named_interpreter_comes_first(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = program(cache / "mine", answers("1 20"))
    program(cache / "bin/micropython", answers("1 28"))
    monkeypatch.setenv("MICROPYTHON", str(named))
    assert toolchain.micropython(64) == [str(named)]


def test_the_name_of_nothing_is_an_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROPYTHON", str(cache / "nothing"))
    with pytest.raises(ToolError, match="no such program") as caught:
        toolchain.micropython(64)
    assert caught.value.hint == "unset MICROPYTHON"


def test_the_one_on_path_serves_when_new_enough(cache: Path) -> None:
    found = program(cache / "bin/micropython", answers("1 26"))
    program(cache / ".tools/micropython/64/micropython", answers("1 26"))
    assert toolchain.micropython(64) == [str(found)]


@pytest.mark.parametrize(
    "script",
    [
        answers("1 25"),
        "echo 'ImportError: no module named tls' >&2; exit 1",
        "echo Hello",
        "exit 0",
        "kill -SEGV $$",
    ],
)
def test_the_one_on_path_is_passed_over(cache: Path, script: str) -> None:
    program(cache / "bin/micropython", script)
    unpacked = program(cache / ".tools/micropython/64/micropython", answers("1 26"))
    assert toolchain.micropython(64) == [str(unpacked)]


def test_each_word_size_has_its_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(cache / "bin/micropython", answers("1 26"))
    narrow = program(cache / ".tools/micropython/32/micropython", answers("1 26", 32))
    assert toolchain.micropython(32) == [str(narrow)]
    mine = program(cache / "mine32", answers("1 26", 32))
    monkeypatch.setenv("MICROPYTHON32", str(mine))
    assert toolchain.micropython(32) == [str(mine)]


@pytest.mark.parametrize(
    "ask",
    [
        toolchain.micropython,
        lambda: toolchain.micropython(32),
        toolchain.umqtt_dir,
        toolchain.venv_python,
        lambda: toolchain.need("no_such_package"),
    ],
)
def test_what_is_not_installed_names_the_remedy(cache: Path, ask) -> None:
    with pytest.raises(ToolError, match="not installed") as caught:
        ask()
    assert caught.value.hint == "make setup"


def test_installed_things_are_found(cache: Path) -> None:
    folder = cache / ".tools/umqtt/1.3.4"
    (folder / "umqtt").mkdir(parents=True)
    (folder / "umqtt/simple.py").touch()
    python = program(cache / ".venv/bin/python", "")
    assert toolchain.umqtt_dir() == folder
    assert toolchain.venv_python() == python
    toolchain.need("pytest")


def test_a_probe_says_what_is_wrong(cache: Path) -> None:
    old = program(cache / "old", answers("1 25"))
    narrow = program(cache / "narrow", answers("1 27", 32))
    absent = cache / "absent"
    assert toolchain.micropython_fault(old) == "is 1.25, older than 1.26"
    assert toolchain.micropython_fault(narrow, 64) == "is a 32-bit build"
    assert toolchain.micropython_fault(narrow, 32) == ""
    assert toolchain.micropython_fault(absent).startswith("does not start")


def test_the_probe_does_not_see_the_callers_modules(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROPYPATH", str(cache))
    seen = program(cache / "seen", 'test -z "$MICROPYPATH" && echo 1 26 64')
    assert toolchain.micropython_fault(seen) == ""


@pytest.mark.parametrize("bits", [64, 32])
def test_the_installed_builds_are_what_they_say(bits: int) -> None:
    if bits == 32 and toolchain.micropython_folder(32).with_name("32-not-here").exists():
        assert not os.path.exists(toolchain.micropython_folder(32))
        return
    assert toolchain.micropython_fault(toolchain.micropython(bits)[0], bits) == ""
