"""`make check`: which device tests a change is about, and what is run; and `tools bench`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import conftest
from tools.board.image import write_files
from tools.dev import changed, checks
from tools.errors import ToolError
from tools.toolchain import ROOT

FILES = {
    "firmware/__init__.py": "",
    "firmware/core/__init__.py": "",
    "firmware/core/low.py": "A = 1\n",
    "firmware/core/hidden.py": "B = 1\n",
    "firmware/core/lost.py": "C = 1\n",
    "firmware/high.py": "def f():\n    from firmware.core.hidden import B\n\n    return B\n",
    "tests/device/fakes.py": "from firmware.core import low\n",
    "tests/device/more.py": "import fakes\n",
    "tests/device/test_low.py": "from firmware.core.low import A\n",
    "tests/device/test_high.py": "import more\nfrom firmware import high\n",
    "tests/device/test_other.py": "import sys\n",
    "tests/device/test_board.py": "import firmware.core\n",
    "tools/x.py": "from firmware.core import low\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_files(tmp_path, {name: text.encode() for name, text in FILES.items()})
    return tmp_path


@pytest.mark.parametrize(
    ("path", "tests"),
    [
        ("tests/device/test_other.py", ["test_other"]),
        ("firmware/core/low.py", ["test_high", "test_low"]),  # by itself and through helpers
        ("firmware/core/hidden.py", ["test_high"]),  # no test imports it, but what uses it
        ("firmware/core/__init__.py", ["test_board", "test_high"]),
        ("firmware/high.py", ["test_high"]),
        ("firmware/core/lost.py", []),
        ("tests/device/fakes.py", ["test_high"]),
        ("firmware/gone.py", []),
        ("tests/device/test_gone.py", []),
        ("tools/x.py", []),
        ("docs/memory.md", []),
    ],
)
def test_a_change_and_its_tests(tree: Path, path: str, tests: list[str]) -> None:
    assert changed.device_tests([path], tree) == tests


def test_a_module_that_is_gone_is_about_those_who_still_import_it(tree: Path) -> None:
    (tree / "firmware/core/low.py").unlink()
    assert changed.device_tests(["firmware/core/low.py"], tree) == ["test_high", "test_low"]


def git(folder: Path, *args: str) -> None:
    who = {f"GIT_{a}_{b}": "t@t" for a in ("AUTHOR", "COMMITTER") for b in ("NAME", "EMAIL")}
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", "-C", str(folder), *args]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **who, **quiet})


def test_what_differs_from_main(tree: Path) -> None:
    git(tree, "init", "-q", "-b", "main")
    (tree / ".gitignore").write_text("ignored\n")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "first")
    assert changed.files(tree) == []
    git(tree, "checkout", "-qb", "branch")
    (tree / "tools/x.py").write_text("committed on the branch\n")
    git(tree, "commit", "-qam", "second")
    (tree / "firmware/high.py").write_text("X = 1\n")
    (tree / "firmware/core/lost.py").unlink()
    (tree / "firmware/new.py").write_text("X = 1\n")
    (tree / "ignored").write_text("")
    git(tree, "add", "firmware/high.py")
    wanted = ["firmware/core/lost.py", "firmware/high.py", "firmware/new.py", "tools/x.py"]
    assert changed.files(tree) == wanted


def test_no_checkout_is_an_error_that_says_what_to_do(tree: Path) -> None:
    with pytest.raises(ToolError) as e:
        changed.files(tree)
    assert e.value.hint == "make test"


def test_check_runs_lint_layout_and_both_word_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []
    lint = checks.Outcome("rules", 1, 0, 0.1)
    monkeypatch.setattr(checks, "lint", lambda echo: [lint])
    monkeypatch.setattr(changed, "files", lambda: ["tests/device/test_core_text.py"])

    def run(echo: Any, chosen: list[str], umqtt: Any) -> checks.Outcome:
        ran.extend(chosen)
        return checks.Outcome("tests", 3, 0, 0.1)

    monkeypatch.setattr(checks, "tests", run)
    assert [o.name for o in checks.quick(lambda text: None)] == ["rules", "tests"]
    assert ran[2:] == [
        "tests/host/test_layout.py",
        "tests/host/test_device.py::test_device[test_core_text-64]",
        "tests/host/test_device.py::test_device[test_core_text-32]",
    ]


def test_paths_of_any_kind_of_test(monkeypatch: pytest.MonkeyPatch) -> None:
    device = "tests/host/test_device.py"
    assert checks.named(["tests/device/test_core_schema.py"]) == [
        f"{device}::test_device[test_core_schema-{bits}]" for bits in (64, 32)
    ]
    assert checks.named(["tests/device/"]) == [device]
    host = f"{ROOT}/tests/host/test_wire.py"
    assert checks.named(["tests/host", f"{host}::test_x"]) == [
        f"{ROOT}/tests/host",
        f"{host}::test_x",
    ]
    monkeypatch.chdir(ROOT / "tests" / "device")
    assert len(checks.named(["test_core_schema.py"])) == 2
    for wrong in ("tests/device/none.py", "tests/device/harness.py"):
        with pytest.raises(ToolError, match=wrong):
            checks.named([wrong])


def test_a_device_test_runs_in_micropython() -> None:
    argv = [sys.executable, "-m", "tools", "test", "tests/device/test_core_schema.py"]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.endswith("2 passed, 0 failed\n")


# bench: which file, which interpreter, which exit code.


def measure(folder: Path, name: str, text: str) -> None:
    (folder / f"bench_{name}.py").write_text(text)


def test_host_and_board_measurements_run_where_they_belong(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    say = "import sys\nprint(sys.implementation.name)\n"
    measure(tmp_path, "here", f'"""On the host."""\n{say}import tools\n')
    measure(tmp_path, "there", f"# On the board.\n{say}import harness, firmware.core\n")
    assert list(checks.benches(tmp_path)) == ["here", "there"]
    assert [checks.bench(name, tmp_path) for name in ("here", "there")] == [0, 0]
    assert capfd.readouterr().out.split() == ["cpython", "micropython"]


def test_options_follow_the_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    measure(tmp_path, "here", '"""On the host."""\nimport sys\nprint(sys.argv[1:])\n')
    measure(tmp_path, "there", "# On the board.\nimport sys\nprint(sys.argv[1:])\n")
    for name in ("here", "there"):
        assert checks.bench(f"{name} --markdown --of 'a b'", tmp_path) == 0
    assert capfd.readouterr().out.splitlines() == 2 * ["['--markdown', '--of', 'a b']"]


def test_a_failing_measurement_fails(tmp_path: Path) -> None:
    measure(tmp_path, "bad", '"""Fails."""\nraise SystemExit(3)\n')
    assert checks.bench("bad", tmp_path) == 3


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ToolError, match="no measurement is called nothing") as caught:
        checks.bench("nothing")
    assert caught.value.hint == " or ".join(sorted(checks.benches()))


def test_tests_are_compiled_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (tmp_path / "test_x.py").write_text("def test_x():\n    assert True\n")
    with checks.compiled(tmp_path):
        pass
    assert list((tmp_path / "__pycache__").glob("test_x.*pytest*.pyc"))
    with pytest.raises(KeyboardInterrupt), checks.compiled(tmp_path):
        raise KeyboardInterrupt


def test_the_order_loses_no_test_and_keeps_files_whole() -> None:
    files = [f"tests/{kind}/test_{n}.py" for kind in ("e2e", "host") for n in range(6)]
    given = [f"{file}::test_{n}" for file in files for n in range(4)]
    spread = [f"tests/host/test_device.py::test_device[{n}]" for n in range(12)]
    long = ["tests/e2e/test_link.py::test_a", "tests/e2e/test_try_flash.py::test_b"]
    ordered = conftest.in_order([*given, *spread, *long])
    assert ordered[:2] == long[::-1]
    assert sorted(ordered) == sorted([*given, *spread, *long])
    at = {nodeid: n for n, nodeid in enumerate(n for n in ordered if n in given)}
    for file in files:
        own = [at[f"{file}::test_{n}"] for n in range(4)]
        assert own == list(range(own[0], own[0] + 4))
    half = ordered[2 : len(ordered) // 2]
    for kind, count in (("/e2e/", 24), ("/host/test_device", 12), ("/host/test_", 36)):
        assert count * 0.4 <= sum(kind in nodeid for nodeid in half) <= count * 0.7
