"""tools/board/shorten.py: which names change, which must not, and that nothing else does."""

from __future__ import annotations

import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from tools import toolchain
from tools.board.shorten import shorten
from tools.errors import ToolError

FIRMWARE = {
    path.relative_to(toolchain.ROOT).as_posix(): path.read_bytes()
    for path in sorted((toolchain.ROOT / "firmware").rglob("*.py"))
}


def short(text: str) -> str:
    return shorten({"a.py": text.encode()})["a.py"].decode()


def run(files: dict[str, str], folder: Path) -> str:
    """What main.py prints, the same before and after, in CPython."""
    said = []
    for made in (files, {n: d.decode() for n, d in shorten(_bytes(files)).items()}):
        for name, text in made.items():
            (folder / name).write_text(text)
        command = [sys.executable, "-B", "main.py"]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30)
        assert ran.returncode == 0, ran.stderr
        said.append(ran.stdout)
    assert said[0] == said[1]
    return said[1]


def _bytes(files: dict[str, str]) -> dict[str, bytes]:
    return {name: text.encode() for name, text in files.items()}


def _tokens(source: bytes) -> list[tokenize.TokenInfo]:
    return list(tokenize.tokenize(io.BytesIO(source).readline))


def test_private_names_and_arguments() -> None:
    assert short("def _open(path):\n    return path\n") == "def _a(a):\n    return a\n"
    assert short("self._wait_ms = now\n") == "self._a = now\n"


def test_modules_share_the_short_names() -> None:
    made = shorten({"a.py": b"_first = []\n", "b.py": b"_second = []\n"})
    assert made == {"a.py": b"_a = []\n", "b.py": b"_a = []\n"}


@pytest.mark.parametrize(
    "text",
    [
        "client._send_str(0)\n",  # of umqtt, not defined here
        "def __init__():\n    __import__('x')\n",
        "call(limit_ms=1)\n\n\ndef call(limit_ms):\n    pass\n",
        "for _ in range(3):\n    pass\n",
        "wait_ms = 1\n",
        "_name = []\nuse('_name')\n",
        "# the _word in a comment\nx = '_word in a text'\n",
    ],
)
def test_left_alone(text: str) -> None:
    assert short(text) == text


def test_a_method_is_not_overridden_by_accident() -> None:
    assert "_send_str" in short("class A:\n    def _send_str(self):\n        pass\n")


def test_classes_that_inherit_across_files(tmp_path: Path) -> None:
    files = {
        "base.py": "class Base:\n    def __init__(self):\n        self._one = 1\n\n"
        "    def _tell(self):\n        return self._one\n",
        "main.py": "import base\n\n\nclass Child(base.Base):\n    def __init__(self):\n"
        "        super().__init__()\n        self._two = 2\n\n"
        "    def _sum(self):\n        return self._tell() + self._two\n\n\n"
        "print(Child()._sum())\n",
    }
    assert run(files, tmp_path) == "3\n"


def test_scopes(tmp_path: Path) -> None:
    text = """
a = b = 100
items = [1, 2]


def outer(low, high):
    def inner(low, items):
        return low + len(items) + high + a

    total = [low * high for low in items]
    return inner(high, "xyz"), total, (lambda b: b + low)(5), max(items)


class Thing:
    step = 2

    def __init__(self, step):
        self.step = step + Thing.step


print(outer(1, 2), Thing(5).step, b)
"""
    assert run({"main.py": text}, tmp_path) == "(107, [2, 4], 6, 2) 7 100\n"


def test_umlauts_before_a_name(tmp_path: Path) -> None:
    text = (
        "def f(text, _word):\n    return 'ä€' + text + 'ö' + _word  # ü\n\n\nprint(f('1', '2'))\n"
    )
    assert run({"main.py": text}, tmp_path) == "ä€1ö2\n"


def test_an_f_string_is_refused() -> None:
    with pytest.raises(ToolError, match="f-string in line 2"):
        short("x = 1\ny = f'{x}'\n")


def test_in_the_firmware_nothing_but_names_changes() -> None:
    made = shorten(FIRMWARE)
    assert set(made) == set(FIRMWARE)
    for path, source in FIRMWARE.items():
        before, after = _tokens(source), _tokens(made[path])
        assert len(before) == len(after), path
        for old, new in zip(before, after, strict=True):
            assert (old.type, old.start[0]) == (new.type, new.start[0])
            if old.type != tokenize.NAME:
                assert old.string == new.string


def test_in_the_firmware_it_pays() -> None:
    def names(files: dict[str, bytes]) -> set[str]:
        tokens = (t for source in files.values() for t in _tokens(source))
        return {t.string for t in tokens if t.type == tokenize.NAME}

    before, after = names(FIRMWARE), names(shorten(FIRMWARE))
    print(f"{len(before)} names before, {len(after)} after")
    assert len(after) < 0.8 * len(before)
