"""The command line itself: help, version, exit codes, and how errors look."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from tools import cli, options
from tools.dev import checks
from tools.doctor.run import Finding
from tools.errors import ToolError
from tools.options import ACCOUNT, Account, about_board, with_account
from tools.toolchain import ROOT

Ran = subprocess.CompletedProcess[str]


def run(*args: str, python: tuple[str, ...] = (), cwd: Path = ROOT) -> Ran:
    words = [sys.executable, *python, "-m", "tools", *args]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=60)


def test_version_is_the_firmwares() -> None:
    ran = run("--version")
    text = (ROOT / "firmware/version.py").read_text()
    assert ran.stdout.strip() == "fieldmouse " + re.findall(r'VERSION = "(.*)"', text)[0]
    assert ran.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_temporary_folder(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        # Short sleeps: a signal that comes just before one does not end it.
        "import sys, tempfile, time; from tools import __main__, cli\n"
        "def main():\n"
        "    with tempfile.TemporaryDirectory(dir=sys.argv[1]):\n"
        "        print('there', flush=True); [time.sleep(0.1) for _ in range(600)]\n"
        "cli.main = main; sys.exit(__main__.main())"
    )
    assert signalled(number, code, tmp_path) == (128 + number, "", "")
    assert list(tmp_path.iterdir()) == []


def signalled(number: signal.Signals, code: str, folder: Path) -> tuple[int, str, str]:
    """Run ``code`` with ``folder`` as its argument, and send the signal when it says "there".

    Its exit code, what it says after that, and its errors.
    """
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as held:
        assert held.stdout is not None and held.stdout.readline() == "there\n"
        held.send_signal(number)
        out, err = held.communicate(timeout=30)
    return held.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "term"])
def test_a_signal_ends_it_after_an_import_not_within(
    tmp_path: Path, number: signal.Signals
) -> None:
    # What is raised in an import is dropped, or becomes a RuntimeError, as it would here.
    (tmp_path / "slow.py").write_text(
        "import time\n"
        "class Slow:\n"
        "    def __set_name__(self, owner, name):\n"
        "        print('there', flush=True); [time.sleep(0.05) for _ in range(20)]\n"
        "class Module:\n"
        "    attribute = Slow()\n"
        "print('imported', flush=True)\n"
    )
    code = (
        "import sys, time; from tools import __main__, cli\n"
        "def main():\n"
        "    sys.path.append(sys.argv[1]); import slow; [time.sleep(0.1) for _ in range(600)]\n"
        "cli.main = main\n"
        "try: sys.exit(__main__.main())\n"
        "except KeyboardInterrupt: sys.exit(130)"
    )
    assert signalled(number, code, tmp_path) == (128 + number, "imported\n", "")


def test_a_ctrl_c_that_python_lost_is_not_lost() -> None:
    code = (
        # Whatever is raised in __del__ Python reports and drops.
        "import os, signal, sys, time; from tools import __main__, cli\n"
        "class Last:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT); [time.sleep(0.1) for _ in range(600)]\n"
        "def main():\n"
        "    Last(); [time.sleep(0.1) for _ in range(600)]\n"
        "cli.main = main\n"
        "try: __main__.main()\n"
        "except KeyboardInterrupt: sys.exit(130)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=30)
    assert (ran.returncode, ran.stderr) == (130, b"")


def test_another_fault_that_python_drops_is_still_reported() -> None:
    code = (
        "import sys; from tools import __main__, cli\n"
        "class Last:\n"
        "    def __del__(self): raise ValueError('seen')\n"
        "cli.main = lambda: Last() and 0\n"
        "sys.exit(__main__.main())"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "ValueError: seen" in ran.stderr


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


def test_a_known_error_is_two_lines_and_exit_2(monkeypatch: pytest.MonkeyPatch, said: Any) -> None:
    one_command(monkeypatch, ToolError("it is broken", "mend it"))
    assert said(code=2).err == "error: it is broken\n  try: mend it\n"


@pytest.mark.parametrize(
    ("name", "code", "err"),
    [
        ("watch", 0, ""),
        ("subscribe", 0, ""),
        ("logs", 0, ""),
        ("repl", 0, ""),
        ("sim", 0, ""),
        ("test", 130, "interrupted\n"),
        ("provision", 130, "interrupted; run it again: it goes on where it stopped\n"),
    ],
)
def test_ctrl_c_ends_a_view_with_0_and_work_with_130(
    monkeypatch: pytest.MonkeyPatch, said: Any, name: str, code: int, err: str
) -> None:
    app = typer.Typer(cls=cli.Commands)

    @app.command(name)
    def stopped() -> None:
        raise KeyboardInterrupt

    app.command("other")(lambda: None)
    monkeypatch.setattr(cli, "build", lambda: app)
    assert said(name, code=code).err.lstrip("\n") == err


@pytest.mark.parametrize(("name", "code"), [("watch", 0), ("things", 0), ("provision", 1)])
@pytest.mark.parametrize("shown", ["typer.echo('x')", "Console().print('x')"])
def test_a_reader_that_has_had_enough_ends_a_view_with_0(name: str, code: int, shown: str) -> None:
    program = f"""
import sys, typer
from rich.console import Console
from tools import cli
app = typer.Typer(cls=cli.Commands)
@app.command({name!r})
def lines():
    for _ in range(100_000):
        {shown}
app.command("other")(lambda: None)
cli.build = lambda: app
sys.exit(cli.main([{name!r}]))
"""
    words = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as ran:
        assert ran.stdout and ran.stderr
        assert ran.stdout.readline() == "x\n"
        ran.stdout.close()
        assert (ran.wait(30), ran.stderr.read()) == (code, "")


def account_app(monkeypatch: pytest.MonkeyPatch, hint: str) -> list[Any]:
    """A command line of one command about AWS, `things`, which says ``hint`` in its error."""
    seen: list[Any] = []
    app = typer.Typer(cls=cli.Commands)
    app.callback()(cli.options)

    @app.command("things")
    @with_account
    def things(local: bool = False) -> None:
        seen.append(ACCOUNT.get())
        raise ToolError("no", hint)

    app.command("other")(lambda: None)
    monkeypatch.setattr(cli, "build", lambda: app)
    monkeypatch.setitem(options.ABOUT_AWS, "things", True)
    return seen


@pytest.mark.parametrize(
    ("words", "account"),
    [
        (["things"], Account()),
        (["things", "--profile", "farm", "--region", "eu-west-1"], Account("farm", "eu-west-1")),
        (["--profile", "farm", "things", "--region", "x"], Account("farm", "x")),
        (["--profile", "a", "things", "--profile", "b"], Account("b")),
        (["things", "--local"], Account(local=True)),
    ],
)
def test_profile_and_region_stand_before_or_behind(
    monkeypatch: pytest.MonkeyPatch, words: list[str], account: Account
) -> None:
    seen = account_app(monkeypatch, "")
    assert cli.main(words) == 2
    assert seen == [account]


@pytest.mark.parametrize(
    "words", [["things", "--local", "--profile", "a"], ["--region", "a", "things", "--local"]]
)
def test_local_has_no_profile(
    monkeypatch: pytest.MonkeyPatch, said: Any, words: list[str]
) -> None:
    assert account_app(monkeypatch, "") == []
    assert "--local has neither profile nor region" in said(*words, code=2).err


@pytest.mark.parametrize(
    ("words", "hint", "shown"),
    [
        (["--local"], "python -m tools things", "python -m tools things --local"),
        (["--local"], "make things THING=a (or so)", "make things THING=a LOCAL=1 (or so)"),
        (
            ["--local"],
            "a; python -m tools things x, or b",
            "a; python -m tools things x --local, or b",
        ),
        (["--local"], "python -m tools things --local", "python -m tools things --local"),
        (["--local"], "make sim", "make sim"),
        (["--local"], "python -m tools stage x", "python -m tools stage x"),
        ([], "python -m tools things", "python -m tools things"),
        (["--profile", "a b"], "python -m tools things", "python -m tools things --profile 'a b'"),
        (["--region", "x"], "make things", "make things AWS_REGION=x"),
        (
            ["--region", "x"],
            "python -m tools things --region y",
            "python -m tools things --region y",
        ),
    ],
)
def test_remedies_are_for_the_same_account(
    monkeypatch: pytest.MonkeyPatch, said: Any, words: list[str], hint: str, shown: str
) -> None:
    account_app(monkeypatch, hint)
    assert said("things", *words, code=2).err == f"error: no\n  try: {shown}\n"


def test_what_is_about_a_board_gets_no_profile() -> None:
    known = list(cli.commands(cli.build()))
    local = {name for name, c in known if "local" in c.callback.__annotations__}
    board = {name for name, c in known if name in local and about_board(c.callback)}
    assert board == {"config", "deploy", "flash"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options, "ABOUT_AWS", {"config": False, "rotate": True})
        for account, words in (
            (Account("a"), ("rotate x --profile a", "config x")),
            (Account(local=True), ("rotate x --local", "config x --local")),
        ):
            ACCOUNT.set(account)
            shown = options.completed("python -m tools rotate x; python -m tools config x")
            assert shown == "; ".join(f"python -m tools {word}" for word in words)


def test_remedies_of_doctor_are_for_the_same_account(
    monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    def examine(*_: Any) -> list[Finding]:
        return [Finding("files", "failed", "gone", "python -m tools rotate g-1")]

    monkeypatch.setattr("tools.doctor.run.examine", examine)
    shown = said("doctor", "g-1", "--region", "eu-west-3", code=1).out
    assert "try: python -m tools rotate g-1 --region eu-west-3\n" in shown


def test_what_cannot_be_undone_is_spelled_as_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "terminal", lambda: False)
    for target, hint in (("", "--yes to"), ("revoke", "python -m tools revoke … --yes")):
        monkeypatch.setenv("FIELDMOUSE_TARGET", target)
        with pytest.raises(ToolError) as refused:
            options.sure("Sure?", False)
        assert refused.value.hint.startswith(hint)


def test_help_is_wrapped_to_the_terminal_whatever_its_lines_in_the_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = [
        line
        for line in run("watch", "--help").stdout.splitlines()
        if line.startswith(" ") and line.strip()
    ]
    at = next(n for n, line in enumerate(text) if "Needed in IAM" in line)
    for line, after in zip(text[at:], text[at + 1 :], strict=False):
        assert len(line.rstrip()) + 1 + len(after.split()[0]) > 79, (line, after)


def test_every_command_about_aws_has_profile_and_region(said: Any) -> None:
    for name in ("provision", "doctor", "shadow get", "rules apply", "publish", "watch"):
        shown = said(*name.split(), "--help").out
        assert "--profile" in shown, name
        assert "--local" in shown, name
    for name in ("stage", "config"):
        assert "--profile" not in said(name, "--help").out


@pytest.mark.parametrize("command", ["flash", "doctor", "rotate", "provision"])
def test_a_missing_thing_is_spelled_as_called(
    command: str, monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    monkeypatch.setenv("FIELDMOUSE_TARGET", command)
    shown = said(command, code=2).err
    assert shown.startswith(f"error: which thing?\n  try: make {command} THING=greenhouse-1")
    monkeypatch.setenv("FIELDMOUSE_TARGET", "test")
    assert "make " not in said(command, code=2).err


def test_what_aws_says_is_a_known_error(monkeypatch: pytest.MonkeyPatch, said: Any) -> None:
    from botocore.exceptions import ClientError, NoCredentialsError

    for error in (
        NoCredentialsError(),
        ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "ListThings"),
    ):
        one_command(monkeypatch, error)
        lines = said(code=2).err.splitlines()
        assert lines[0].startswith("error: ")
        assert lines[1].startswith("  try: ")


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    one_command(monkeypatch, ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError, match="ours"):
        cli.main([])


def test_another_python_passes_the_call_on_to_the_environment() -> None:
    # -S: no site-packages, as a system Python has none of ours.
    ran = run("--version", python=("-S",))
    assert (ran.returncode, ran.stdout.split()[0]) == (0, "fieldmouse"), ran.stderr


def test_outside_the_environment_it_says_make_setup(tmp_path: Path) -> None:
    # A checkout without .venv; -S leaves site-packages out: the system's Python.
    (tmp_path / "tools").mkdir()
    for name in ("__init__.py", "__main__.py"):
        (tmp_path / "tools" / name).write_text((ROOT / "tools" / name).read_text())
    ran = run("sim", python=("-S",), cwd=tmp_path)
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


def make(*words: str, **environment: str) -> Ran:
    # Also when make itself runs the tests.
    ours = ("LOCAL", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    given = {k: v for k, v in os.environ.items() if k not in ours} | environment
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, env=given)


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


def test_what_make_gives_the_command_takes(said: Any) -> None:
    for name, recipe in targets().items():
        if "$(LOCAL_)" in recipe:
            assert "--local" in said(recipe.split()[1], "--help").out, name


def test_make_help_lists_every_target() -> None:
    ran = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True)
    listed = re.findall(r"^make ([a-z-]+)  +\S", ran.stdout, re.M)
    assert set(listed) == targets().keys() - {"ready"}


def taken(target: str) -> set[str]:
    """The variables that the recipe of a target uses, those behind THING_ and so on too."""
    text = (ROOT / "Makefile").read_text()
    behind = dict(re.findall(r"^([A-Z]+)_ = .*\$\(([A-Z]+)\)", text, re.M))
    names = re.findall(
        r"\$\((?:if \$\(|filter no,\$\(|[^()]*\$\()?([A-Z]+_?)\)", targets()[target]
    )
    return {behind[n[:-1]] if n.endswith("_") else n for n in names} - {"TOOLS", "PYTHON"}


@pytest.mark.parametrize("target", sorted(targets().keys() - {"ready"}))  # which is not called
def test_a_target_takes_its_variables_and_refuses_the_others(target: str) -> None:
    mine = taken(target)
    for name in ("THING", "PORT", "BOARD", "FLEET", "N", "UMQTT", "LOCAL", "THINGS"):
        ran = make("-n", target, f"{name}=one")
        if name in mine:
            assert ran.returncode == 0, (name, ran.stderr)
            wanted = "--local" if name == "LOCAL" else "one"
            assert wanted in ran.stdout.splitlines()[-1], name
        else:
            assert ran.returncode == 2, name
            assert f"make {target} takes no {name}" in ran.stderr
    ran = make("-n", target, *(f"{name}=1" for name in mine))
    assert ran.returncode == 0, ran.stderr
    if "LOCAL" not in mine:
        assert f"make {target} takes no LOCAL" in make("-n", target, LOCAL="1").stderr
    else:
        assert "--local" in make("-n", target, LOCAL="1").stdout


def test_lan_and_local_are_no_longer_on_when_they_are_no() -> None:
    assert "--lan" in make("-n", "sim", "LAN=1").stdout
    assert "--lan" not in make("-n", "sim", "LAN=0").stdout + make("-n", "sim", LAN="eth0").stdout
    assert "--local" not in make("-n", "things", "LOCAL=0").stdout


def test_make_sim_passes_on_what_is_measured() -> None:
    given = {"SENSOR": "bme280@0x76,sht3x", "TEMPERATURE": "ramp(20, 30, 60, 120)"}
    given["SCENE"] = "unplug@30,plug@60:0x44"
    words = shlex.split(make("-n", "sim", *(f"{k}={v}" for k, v in given.items())).stdout)
    for name, value in given.items():
        assert words[words.index(f"--{name.lower()}") + 1] == value


def test_provision_takes_local() -> None:
    assert make("-n", "provision", "THING=t", "LOCAL=1").stdout.split()[-2:] == ["t", "--local"]


def test_variables_of_the_environment_are_for_the_tools() -> None:
    words = ("WIFI_SSID=a", "AWS_PROFILE=b", "MICROPYTHON=c", "FIELDMOUSE_THINGS=d")
    assert make("-n", "provision", "THING=t", *words).returncode == 0
    assert make("-n", "provision", "flash", "THING=t", "PORT=p").returncode == 0
