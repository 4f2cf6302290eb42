"""Debian's MicroPython unpacked and wrapped; apt and dpkg are small fake programs."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.host.programs import script
from tools import toolchain
from tools.errors import ToolError
from tools.setup import apt, builds, steps
from tools.setup.parts import Part, fault, make

# Which suite is asked for stands in the sources file beside apt's configuration.
APT = """\
for word; do
  case $last in -c) work=${word%/*} ;; esac
  last=$word
done
suite=$(sed -n 's/^Suites: //p' "$work/debian.sources")
case " $* " in
  *" update "*) test ! -e "$FAKE/no-$suite" || { echo "E: no $suite"; exit 100; } ;;
  *" install "*) touch "$work/cache/archives/$suite.deb" ;;
esac
"""
DPKG_DEB = """\
suite=$(basename "$2" .deb)
mkdir -p "$3/usr/bin" "$3/usr/lib/here" "$3/usr/lib64"
touch "$3/usr/lib/here/libc.so.6"
printf '#!/bin/sh\\nshift 2\\nexec "$@"\\n' > "$3/usr/lib64/ld-linux-fake.so.2"
printf '#!/bin/sh\\ncat "%s"\\n' "$FAKE/says-$suite" > "$3/usr/bin/micropython"
chmod +x "$3/usr/lib64/ld-linux-fake.so.2" "$3/usr/bin/micropython"
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Debian of amd64 whose forky has MicroPython 1.26; the path has a space in it."""
    bin_dir, etc = tmp_path / "bin", tmp_path / "etc"
    (etc / "sources.list.d").mkdir(parents=True)
    (etc / "sources.list").write_text("deb [signed-by=/k.gpg] http://m.example trixie main\n")
    dpkg = 'cat "$FAKE/arch"'
    fakes = {"apt-get": APT, "apt-cache": "", "dpkg": dpkg, "dpkg-deb": DPKG_DEB}
    for name, text in fakes.items():
        script(bin_dir / name, text)
    (tmp_path / "arch").write_text("amd64\n")
    (tmp_path / "says-forky").write_text("1 26 64\n")
    (tmp_path / "says-sid").write_text("1 28 64\n")
    monkeypatch.setattr(apt, "ETC", etc)
    monkeypatch.setattr(toolchain, "CACHE", tmp_path / "a checkout" / ".tools")
    monkeypatch.setenv("PATH", f"{bin_dir}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.delenv("DEBIAN_MIRROR", raising=False)
    return tmp_path


def built(bits: int = 64) -> Part:
    part = builds.part(bits)
    make(part, toolchain.CACHE / "scratch")
    return part


def version(program: Path) -> str:
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout.strip()


def test_the_wrapper_runs_the_program_by_its_own_loader(fake: Path) -> None:
    part = built()
    assert fault(part) == ""
    assert version(part.folder / "micropython") == "1 26 64"
    assert not (part.folder / "apt").exists()
    moved = part.folder.rename(fake / "elsewhere")
    assert version(moved / "micropython") == "1 26 64"


@pytest.mark.parametrize("says", ["1 25 64", "no MicroPython at all"])
def test_a_suite_whose_build_will_not_do_is_passed_over(fake: Path, says: str) -> None:
    (fake / "says-forky").write_text(says)
    assert version(built().folder / "micropython") == "1 28 64"


def test_a_suite_that_is_gone_is_passed_over(fake: Path) -> None:
    (fake / "no-forky").touch()
    assert version(built().folder / "micropython") == "1 28 64"


def test_when_no_suite_will_do_the_first_reason_is_given(fake: Path) -> None:
    (fake / "no-forky").touch()
    (fake / "no-sid").touch()
    with pytest.raises(ToolError, match="E: no forky"):
        built()
    assert fault(builds.part(64)) == "not there yet"


def test_narrow_programs_come_from_the_twin_architecture(fake: Path) -> None:
    assert (builds._arch(64), builds._arch(32)) == ("amd64", "i386")
    (fake / "arch").write_text("armhf\n")
    assert builds._arch(32) == "armhf"
    with pytest.raises(ToolError, match="armhf has no 64-bit programs"):
        builds._arch(64)
    (fake / "arch").write_text("riscv64\n")
    with pytest.raises(ToolError, match="riscv64 has no 32-bit programs"):
        builds._arch(32)


def test_a_machine_without_apt_is_told_what_to_install(
    fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(fake / "nowhere"))
    with pytest.raises(ToolError, match="no apt to get one") as caught:
        built()
    assert "brew install micropython" in caught.value.hint
    assert "apt install micropython" in caught.value.hint


def test_no_32_bit_build_is_a_note_and_is_not_tried_again(
    fake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(toolchain, "ROOT", fake / "a checkout")
    extra = builds.part(32)  # the fake build says 64
    assert steps._wanted(extra)
    steps._try(extra)
    assert "note: no 32-bit MicroPython here" in capsys.readouterr().err
    assert not steps._wanted(extra)
    assert steps._wanted(replace(extra, folder=fake / "other"))
