"""The command line itself: help, version, exit codes, and how errors look."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from tools import cli
from tools.dev import checks
from tools.errors import ToolError
from tools.toolchain import ROOT


def run(*args: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-m", "tools", *args], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_version_is_the_firmwares() -> None:
    ran = run("--version")
    text = (ROOT / "firmware/version.py").read_text()
    assert ran.stdout.strip() == "fieldmouse " + re.findall(r'VERSION = "(.*)"', text)[0]
    assert ran.returncode == 0


def test_help_lists_the_commands_of_every_package_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from tools import cli; cli.main(['--help']); "
        "print(sorted({'boto3', 'botocore', 'cryptography', 'moto'} & set(sys.modules)))"
    )
    began = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert time.monotonic() - began < 10  # about 0.2 s on a quiet machine
    assert ran.stdout.rstrip().endswith("[]")
    for command in ("stage", "board", "sim", "provision", "test", "lint"):
        assert re.search(rf"^\W*{command}\s", ran.stdout, re.M), command


@pytest.mark.parametrize("args", [["no-such-command"], ["stage", "--no-such-option"], ["board"]])
def test_a_wrong_command_line_is_exit_2(args: list[str]) -> None:
    ran = run(*args)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr


def one_command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "build", lambda: app)


def test_a_known_error_is_two_lines_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one_command(monkeypatch, ToolError("it is broken", "mend it"))
    assert cli.main([]) == 2
    assert capsys.readouterr().err == "error: it is broken\n  try: mend it\n"


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    one_command(monkeypatch, KeyboardInterrupt())
    assert cli.main([]) == 130


def test_what_aws_says_is_a_known_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from botocore.exceptions import ClientError, NoCredentialsError

    for error in (
        NoCredentialsError(),
        ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "ListThings"),
    ):
        one_command(monkeypatch, error)
        assert cli.main([]) == 2
        said = capsys.readouterr().err.splitlines()
        assert said[0].startswith("error: ")
        assert said[1].startswith("  try: ")


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    one_command(monkeypatch, ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError, match="ours"):
        cli.main([])


def test_another_python_passes_the_call_on_to_the_environment() -> None:
    # -S: no site-packages, as a system Python has none of ours.
    ran = subprocess.run(
        [sys.executable, "-S", "-m", "tools", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout.split()[0]) == (0, "fieldmouse"), ran.stderr


def test_outside_the_environment_it_says_make_setup(tmp_path: Path) -> None:
    # A checkout without .venv; -S leaves site-packages out: the system's Python.
    (tmp_path / "tools").mkdir()
    for name in ("__init__.py", "__main__.py"):
        (tmp_path / "tools" / name).write_text((ROOT / "tools" / name).read_text())
    ran = subprocess.run(
        [sys.executable, "-S", "-m", "tools", "sim"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 2
    assert "try: make setup" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("closing", "counts"),
    [
        ("12 passed in 3.21s", (12, 0)),
        ("=== 2 failed, 10 passed, 1 error in 1.0s ===", (10, 3)),
        ("3 failed in 1.0s", (0, 3)),
        ("no tests ran in 0.01s", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_pytests_closing_line_is_counted(closing: str, counts: tuple[int, int]) -> None:
    assert checks.counted(closing) == counts


def test_nothing_checked_is_not_a_success() -> None:
    assert not checks.Outcome("tests", 0, 0, 1.0).ok
    assert not checks.Outcome("tests", 9, 1, 1.0).ok
    assert checks.Outcome("tests", 9, 0, 1.0).ok


def targets() -> dict[str, str]:
    text = (ROOT / "Makefile").read_text()
    return dict(re.findall(r"^([a-z-]+):.*\n\t@(.*)$", text, re.M))


def test_make_targets_are_one_line_of_the_tools() -> None:
    recipes = targets()
    assert {"setup", "test", "lint"} <= recipes.keys()
    for name, recipe in recipes.items():
        if name not in ("help", "clean"):
            assert re.match(r"\$\((TOOLS|PYTHON)\) ", recipe), name


def test_make_targets_name_commands_that_exist() -> None:
    app = cli.build()
    names = {c.name for c in app.registered_commands} | {g.name for g in app.registered_groups}
    for name, recipe in targets().items():
        if recipe.startswith("$(TOOLS) "):
            assert recipe.split()[1] in names, name


def test_make_help_lists_every_target() -> None:
    ran = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True)
    listed = re.findall(r"^make ([a-z-]+)  +\S", ran.stdout, re.M)
    assert set(listed) == targets().keys() - {"ready"}
