"""`tools bench`: which file, which interpreter, which exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.dev import benches
from tools.errors import ToolError
from tools.toolchain import ROOT


def measure(folder: Path, name: str, text: str) -> None:
    (folder / f"bench_{name}.py").write_text(text)


def test_host_and_board_measurements_run_where_they_belong(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    say = "import sys\nprint(sys.implementation.name)\n"
    measure(tmp_path, "here", f'"""On the host."""\n{say}import tools\n')
    measure(tmp_path, "there", f"# On the board.\n{say}import harness, firmware.core\n")
    assert list(benches.names(tmp_path)) == ["here", "there"]
    assert [benches.run(name, tmp_path) for name in ("here", "there")] == [0, 0]
    assert capfd.readouterr().out.split() == ["cpython", "micropython"]


def test_options_follow_the_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    measure(tmp_path, "here", '"""On the host."""\nimport sys\nprint(sys.argv[1:])\n')
    measure(tmp_path, "there", "# On the board.\nimport sys\nprint(sys.argv[1:])\n")
    for name in ("here", "there"):
        assert benches.run(f"{name} --markdown --of 'a b'", tmp_path) == 0
    assert capfd.readouterr().out.splitlines() == 2 * ["['--markdown', '--of', 'a b']"]


def test_a_failing_measurement_fails(tmp_path: Path) -> None:
    measure(tmp_path, "bad", '"""Fails."""\nraise SystemExit(3)\n')
    assert benches.run("bad", tmp_path) == 3


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ToolError, match="no measurement is called nothing") as caught:
        benches.run("nothing")
    assert caught.value.hint == " or ".join(sorted(benches.names(ROOT / "bench")))
