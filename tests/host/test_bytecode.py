"""tools/board/bytecode.py: what is compiled, what is kept, what an error says."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tools import toolchain
from tools.board import bytecode
from tools.errors import ToolError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bytecode, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def test_only_the_firmware_is_compiled() -> None:
    files = {
        "main.py": b"import firmware.a\n",
        "firmware/a.py": b"A = 1\n",
        "firmware/version.py": b"VERSION = 1\n",
        "certs/ca.pem": b"x",
    }
    made = bytecode.compile_all(files)
    assert set(made) == {"main.py", "firmware/a.mpy", "firmware/version.py", "certs/ca.pem"}
    assert made["firmware/a.mpy"][:2] == b"M\x06"
    assert files["firmware/a.py"] == b"A = 1\n"


def test_micropython_runs_it_and_names_the_line(tmp_path: Path) -> None:
    made = bytecode.compile_all({"firmware/a.py": b"\n\nraise ValueError(5)\n"})
    (tmp_path / "a.mpy").write_bytes(made["firmware/a.mpy"])
    ran = subprocess.run(
        [*toolchain.micropython(), "-c", "import a"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert 'File "a", line 3' in ran.stderr, ran.stderr


def test_the_second_time_comes_from_the_cache(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bytecode.compile_all({"firmware/a.py": b"A = 1\n"})
    bytecode.version()
    monkeypatch.setattr(bytecode, "mpy_cross", lambda *_: pytest.fail("compiled again"))
    secret = {"certs/key.pem": b"a secret"}
    assert bytecode.compile_all({"firmware/a.py": b"A = 1\n"} | secret) == first | secret
    (whole,) = (cache / "whole").iterdir()
    assert len(list(cache.iterdir())) == 2
    # Damaged, it is made anew, of the file's own bytecode.
    for damaged in (b"", b"{", b'{"firmware/a.mpy": 5}', b"[]"):
        whole.write_bytes(damaged)
        assert bytecode.compile_all({"firmware/a.py": b"A = 1\n"}) == first


def test_what_several_want_at_once_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, compile_all = [], bytecode._compile_all

    def slowly(files: dict[str, bytes], *more: Any) -> dict[str, bytes]:
        made.append(files)
        time.sleep(0.3)
        return compile_all(files, *more)

    monkeypatch.setattr(bytecode, "_compile_all", slowly)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(bytecode.compile_all, [{"firmware/a.py": b"A = 1\n"}] * 3))
    assert len(made) == 1 and found[0] == found[1] == found[2]


def test_only_the_last_results_are_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytecode, "_MOST_KEPT", 2)
    for n in range(4):
        made = bytecode.compile_all({"firmware/a.py": f"A = {n}\n".encode()})
        assert len(list((cache / "whole").iterdir())) == min(n + 1, 2)
    older, newer = sorted((cache / "whole").iterdir(), key=lambda path: path.stat().st_mtime)
    os.utime(newer, (1, 1))
    assert bytecode.compile_all({"firmware/a.py": b"A = 3\n"}) == made  # which it uses
    bytecode.compile_all({"firmware/a.py": b"A = 4\n"})
    assert newer.exists() and not older.exists()
    # What it depends on besides the files.
    code = {"firmware/a.py": b"public_name = []\n", "main.py": b"import firmware.a\n"}
    short = bytecode.compile_all(code)
    monkeypatch.setenv(bytecode.LONG_NAMES, "1")
    assert bytecode.compile_all(code) != short


def test_an_error_in_the_firmware_names_file_and_line() -> None:
    with pytest.raises(ToolError, match=r"firmware/a.py(?s:.*)line 2"):
        bytecode.compile_all({"firmware/a.py": b"x = 1\ndef (\n"})
