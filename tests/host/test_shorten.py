"""tools/board/shorten.py: which names change, which must not, and that nothing else does."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from tests.host import mpy
from tests.host.programs import output
from tools import toolchain
from tools.board import bytecode, image, names, namespaces, scopes, stage
from tools.board.shorten import shorten
from tools.errors import ToolError
from tools.sim import launch

ROOT = toolchain.ROOT
FIRMWARE = stage.sources(ROOT)
REST = {name: FIRMWARE.pop(name) for name in ("main.py", "boot.py", "firmware/version.py")}
WHOLE = {"main.py": b""}


def short(text: str, rest: dict[str, bytes] = WHOLE) -> str:
    return shorten({"a.py": text.encode()}, rest)["a.py"].decode()


def run(files: dict[str, str], folder: Path, main: str = "start.py") -> str:
    """What a file prints, the same before and after, in CPython."""
    made = shorten({name: text.encode() for name, text in files.items()}, WHOLE)
    said = output(files, folder / "before", main)
    assert said == output({name: data.decode() for name, data in made.items()}, folder, main)
    return said


def new_names(files: dict[str, str], *wanted: str, rest: dict[str, bytes] = WHOLE) -> list[str]:
    """What became of some names."""
    found: dict[str, str] = {}
    for path, data in shorten({n: t.encode() for n, t in files.items()}, rest).items():
        for old, new in zip(_tokens(files[path].encode()), _tokens(data), strict=True):
            if old.string in wanted:
                assert found.setdefault(old.string, new.string) == new.string, old
    return [found[name] for name in wanted]


def _tokens(source: bytes) -> list[tokenize.TokenInfo]:
    return list(tokenize.tokenize(io.BytesIO(source).readline))


def test_public_and_private_names_and_arguments_change() -> None:
    text = "_LOW = []\n\n\ndef opening(path):\n    return path\n\n\nclass Wifi:\n    state = 1\n"
    made = short(text)
    for name in ("_LOW", "opening", "path", "Wifi", "state"):
        assert name not in made
    assert made.count("\n") == text.count("\n")
    found = set(re.findall(r"\w+", made))
    assert found <= set(names.NUMBERED) | {"def", "return", "class", "1"}


def test_the_new_names_are_there_without_the_firmware() -> None:
    # mpy-cross writes a name that MicroPython has for certain as a number, any other as text.
    source = "\n".join(f"x.{name}" for name in names.NUMBERED).encode()
    data = bytecode.compile_all({"firmware/a.py": source})["firmware/a.mpy"]
    assert [name for name in names.NUMBERED if name.encode() in data] == []
    assert b"sensor" in bytecode.compile_all({"firmware/a.py": b"x.sensor"})["firmware/a.mpy"]


def test_without_main_py_the_program_is_not_whole_and_public_names_stay() -> None:
    text = "_low = []\n\n\ndef opening(limit):\n    return _low\n"
    assert "opening" in short(text, {})
    assert "_low" not in short(text, {}) and "limit" not in short(text, {})


def test_different_names_become_the_same_where_they_cannot_meet() -> None:
    files = {
        "a.py": "import b\n\n\ndef first():\n    pass\n\n\nb.second()\n",
        "b.py": "def second():\n    pass\n",
        "c.py": "class One:\n    def __init__(self):\n        self.third = 1\n\n\n"
        "class Two:\n    def __init__(self):\n        self.fourth = 1\n",
    }
    first, second, third, fourth = new_names(files, "first", "second", "third", "fourth")
    assert first == second and third == fourth


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n    def first(self):\n        pass\n\n    def second(self):\n        pass\n",
        "class A:\n    first = 1\n\n    def __init__(self):\n        self.second = 1\n",
        "class A:\n    first = 1\n\n\nclass B(A):\n    def f(self):\n        self.second = 2\n",
        "class A:\n    first = 1\n\n\nclass B(A):\n    pass\n\n\nclass C(B):\n    second = 1\n",
        "first = 1\nsecond = 2\n",
        "first = 1\n\n\ndef f():\n    global second\n    second = 2\n",
        "for first in ():\n    pass\ntry:\n    pass\nexcept OSError as second:\n    pass\n",
        # Who knows what x is: its names meet all others.
        "class A:\n    def f(self):\n        self.first = 1\n\n\ndef f(x):\n    x.second = 2\n",
        "def f(x, y):\n    x.first = 1\n    y.second = 2\n",
        "first = 1\n\n\ndef f(x):\n    x.second = 2\n",
        "class A:\n    first = 1\n\n\ndef f():\n    x = A()\n    x.second = 2\n",
        "class A:\n    first = 1\n\n    @property\n    def p(self):\n        self.second = 2\n",
    ],
)
def test_names_that_may_meet_stay_different(text: str) -> None:
    first, second = new_names({"a.py": text}, "first", "second")
    assert first != second and {"first", "second"}.isdisjoint({first, second})


def test_names_of_one_module_whoever_gives_them() -> None:
    files = {
        "a.py": "import b\n\nb.second = 2\n",
        "b.py": "first = 1\n",
        "c.py": "import d as e\nfrom d import third\n\nfourth = e.sixth\n\n\ndef f():\n"
        "    from d import fifth\n\n    return fifth, fourth, third\n",
        "d.py": "third = fifth = sixth = 1\n",
    }
    first, second = new_names(files, "first", "second")
    assert first != second
    assert len(set(new_names(files, "third", "fourth", "fifth", "e"))) == 4


def test_a_name_that_is_both_an_attribute_and_a_global(tmp_path: Path) -> None:
    files = {
        "clock.py": "start = 5\nstop = 7\nlater = 9\n",
        "start.py": "import clock\n\n\nclass Wait:\n    def __init__(self):\n"
        "        self.later = clock.later\n        self.early = clock.start\n\n\n"
        "w = Wait()\nprint(w.later, w.early, clock.later)\n",
    }
    assert run(files, tmp_path) == "9 5 9\n"
    later, early = new_names(files, "later", "early")
    assert later not in ("later", early)


@pytest.mark.parametrize(
    "text",
    [
        "client._send_str(0)\n",  # of umqtt, not defined here
        "class A:\n    def __init__(self):\n        __import__('x')\n",  # but A
        "for _ in range(3):\n    pass\n",
        "_name = []\nuse('_name')\n",
        "name_of_it = []\nuse('name_of_it')\n",
        "# the _word in a comment\nx = '_word in a text'\n",  # but x
        "import machine\n\nmachine.freq(machine.special)\n",
        "from machine import special\n",
        "_RETRY_MS = const(1000)\nprint(_RETRY_MS)\n",  # vanishes as it is
    ],
)
def test_left_alone(text: str) -> None:
    made = short(text)
    for name in re.findall(r"\b(\w*_\w*|machine|special|freq|range)\b", text):
        assert name in made


def test_names_that_main_py_uses() -> None:
    rest = {"main.py": b"from a import main\n\nmain(1).go('stay')\n"}
    text = "def main(x):\n    return A()\n\n\nclass A:\n    stay = 1\n\n    def go(self, y):\n"
    made = short(text + "        return 3\n\n    def gone(self):\n        pass\n", rest)
    assert "def main(" in made and "def go(" in made and "stay = 1" in made
    assert "gone" not in made and "class A" not in made


def test_keyword_arguments() -> None:
    text = "call(limit_ms=1)\n\n\ndef call(limit_ms, other):\n    return limit_ms + other\n"
    assert "limit_ms=1" in short(text) and ", other" not in short(text)
    assert "return limit_ms + " in short(text)
    rest = {"main.py": b"import a\n\na.call(1, other=2)\n"}
    assert "+ other" in short(text, rest)


def test_modules_and_packages_keep_their_names(tmp_path: Path) -> None:
    files = {
        "net/__init__.py": "count = 1\n",
        "net/clock.py": "class clock:\n    wait = 3\n",
        "start.py": "import net.clock\nfrom net import clock as c\n\n"
        "print(net.count, net.clock.clock.wait, c.clock.wait)\n",
    }
    assert run(files, tmp_path) == "1 3 3\n"


def test_exceptions_keep_theirs_for_the_traceback() -> None:
    text = (
        "class LinkError(Exception):\n    def __init__(self, reason):\n        self.why = reason\n"
    )
    made = short(text + "\n\nclass TlsError(LinkError):\n    pass\n")
    assert "class LinkError(Exception)" in made and "class TlsError(LinkError)" in made
    assert new_names({"a.py": text}, "why")[0] not in ("args", "value", "errno", "why")


def test_a_method_is_not_overridden_by_accident() -> None:
    text = (
        "from umqtt.simple import MQTTClient\n\n\nclass Session(MQTTClient):\n"
        "    def _send_str(self):\n        pass\n\n    def subscribe(self):\n        pass\n\n"
        "    def own(self):\n        self.sock = self.other = 1\n"
    )
    made = short(text)
    assert "_send_str" in made and "subscribe" in made and "sock" in made
    assert set(new_names({"a.py": text}, "own", "other")).isdisjoint(names.UMQTT)


def test_what_is_micropythons_by_where_it_comes_from() -> None:
    # `special` is defined here, but the other one is not ours.
    text = "class A:\n    def special(self):\n        pass\n\n\n"
    for use in (
        "import machine\n\nmachine.RTC().special()\n",
        "import machine\n\n\ndef f():\n    rtc = machine.RTC()\n    rtc.special()\n",
        "'text'.special()\n",
        "with open('x') as f:\n    f.special()\n",
        "import select\n\n\nclass B:\n    def g(self):\n        self.poll = select.poll()\n\n"
        "    def f(self, x):\n        x.poll.special()\n",
    ):
        assert "def special" in short(text + use), use
    assert "special" not in short(text + "A().special()\n")


def test_a_constant_is_put_in_wherever_its_name_stands() -> None:
    # The compiler looks at the file, not at scopes: no other name there may become the constant's.
    text = (
        "LIMIT = const(7)\n\n\nclass A:\n    ALSO = const(5)\n    key = 1\n\n\n"
        "def f(count, key):\n    index = count\n    call(key=1)\n    return index + LIMIT\n"
    )
    made = short(text)
    for line in made.splitlines():
        if "const" in line:
            assert len(re.findall(rf"\b{line.split()[0]}\b", made.replace("return", ""))) <= 2
    tokens = zip(_tokens(text.encode()), _tokens(made.encode()), strict=True)
    found = {(old.string, new.string) for old, new in tokens if old.type == tokenize.NAME}
    for constant in ("LIMIT", "ALSO"):
        (new,) = [n for o, n in found if o == constant]
        assert [o for o, n in found if n == new] == [constant]


def test_what_objects_are_asked_for_that_may_not_have_it() -> None:
    text = "class A:\n    first = 1\n\n\ndef f(x):\n    return hasattr(x, 'TEXT')\n"
    became = new_names({"a.py": text}, "first")[0]
    assert new_names({"a.py": text.replace("TEXT", became)}, "first")[0] != became


def test_classes_that_inherit_across_files(tmp_path: Path) -> None:
    files = {
        "base.py": "class Base:\n    def __init__(self):\n        self._one = 1\n\n"
        "    def _get(self):\n        return self._one\n",
        "start.py": "import base\n\n\nclass Child(base.Base):\n    def __init__(self):\n"
        "        super().__init__()\n        self._two = 2\n\n"
        "    def _sum(self):\n        return self._get() + self._two\n\n\n"
        "print(Child()._sum())\n",
    }
    assert run(files, tmp_path) == "3\n"


SCOPES = """
import other
from other import lend as borrow, Thing as Other

a = b = 100
items = [1, 2]


def outer(low, high):
    def inner(low, items):
        return low + len(items) + high + a

    total = [low * high for low in items]
    return inner(high, "xyz"), total, (lambda b: b + low)(5), max(items)


class Thing:
    step = 2
    twice = [n * 2 for n in items]

    def __init__(self, step, by=step):
        self.step = step + Thing.step + by

    def next(self):
        def again():
            nonlocal total
            total += 1
            self.step += total

        total = 1
        again()
        return self.step

    @property
    def size(self):
        return self.step

    @staticmethod
    def make(step):
        return Thing(step)


def count():
    global a, total
    from other import lend, rate

    a += 1
    total = a
    try:
        raise ValueError(total)
    except ValueError as error:
        return lend(rate), error.args[0]


print(outer(1, 2), Thing(5).step, b, Thing.twice, Thing(1).next(), Thing.make(3).size)
print(count(), a, total, borrow(1), Other(2).rate(3), other.rate)
del other.rate
print(hasattr(other, "rate"))
"""
OTHER = """
rate = 3


def lend(rate, extra=rate, *more):
    return rate + extra + len(more)


class Thing:
    def __init__(self, rate):
        self._rate = rate

    def rate(self, extra):
        return self._rate * extra
"""


def test_scopes(tmp_path: Path) -> None:
    said = run({"start.py": SCOPES, "other.py": OTHER}, tmp_path)
    assert said.splitlines() == [
        "(107, [2, 4], 6, 2) 9 100 [2, 4] 7 7",
        "(6, 101) 101 101 4 6 3",
        "False",
    ]


def test_umlauts_before_a_name(tmp_path: Path) -> None:
    text = (
        "def f(text, _word):\n    return 'ä€' + text + 'ö' + _word  # ü\n\n\nprint(f('1', '2'))\n"
    )
    assert run({"start.py": text}, tmp_path) == "ä€1ö2\n"


def test_it_is_the_same_every_time() -> None:
    text = "first = second = third = 1\n\n\ndef f(x):\n    x.fourth = x.fifth = 2\n"
    code = f"from tools.board.shorten import shorten\nprint(shorten({{'a.py': {text.encode()!r}}},"
    code += " {'main.py': b''}))"
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


def test_many_names_go_on_with_letters() -> None:
    text = "".join(f"name_{n} = {n}\n" for n in range(150))
    found = [line.split()[0] for line in short(text).splitlines()]
    assert len(set(found)) == 150
    assert all(name in names.NUMBERED or len(name) == 1 or name > "a" for name in found)
    assert max(map(len, set(found) - set(names.NUMBERED))) <= 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = 1\ny = f'{x}'\n", "f-string in line 2"),
        ("x = 1\nglobals()['x']\n", r"globals\(\) in line 2"),
        ("setattr(x, 'y', 1)\n", r"setattr\(\) in line 1"),
        ("f(**x)\n", r"\*\* in a call in line 1"),
        ("def f(**more):\n    pass\n", r"\*\*more in line 1"),
        ("from x import *\n", r"import of \*"),
        ("from . import x\n", "relative import"),
        ("async def f():\n    pass\n", "async in line 1"),
        ("if (x := 1):\n    pass\n", ":= in line 1"),
        ("def f(\n", "never closed, line 1"),
        ("bases = []\n\n\nclass A(bases[0]):\n    pass\n", "what class is it"),
        ("def f():\n    class A:\n        pass\n\n\nclass A:\n    pass\n", "two classes"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, why: str) -> None:
    with pytest.raises(ToolError, match=why):
        short(text)


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    return shorten(FIRMWARE, REST)


def test_in_the_firmware_nothing_but_names_changes(made: dict[str, bytes]) -> None:
    assert set(made) == set(FIRMWARE)
    for path, source in FIRMWARE.items():
        before, after = _tokens(source), _tokens(made[path])
        assert len(before) == len(after), path
        for old, new in zip(before, after, strict=True):
            assert (old.type, old.start[0]) == (new.type, new.start[0])
            if old.type != tokenize.NAME:
                assert old.string == new.string


def test_in_the_firmware_few_names_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def own() -> set[str]:
        compiled = bytecode.compile_all({**FIRMWARE, **REST})
        return {
            n for path, data in compiled.items() if path[-4:] == ".mpy" for n in mpy.names(data)
        }

    after = own()
    monkeypatch.setenv(bytecode.LONG_NAMES, "1")
    before = own()
    print(f"{len(before)} names and texts before, {len(after)} after")
    # Names of ours that another one has now, and short ones.
    assert len(after - before) < 16, after - before
    assert len(after) < 0.55 * len(before)
    # What is left of ours stands as a text somewhere, or is a module's, or main.py's.
    texts = {
        t for data in FIRMWARE.values() for t in re.findall(r"[\"'](\w+)[\"']", data.decode())
    }
    modules = {part for path in [*FIRMWARE, *REST] for part in re.split(r"\W", path)}
    main = set(re.findall(r"\w+", b"".join(REST.values()).decode()))
    defined = namespaces.find(scopes.read(*file) for file in FIRMWARE.items()).defined
    modules |= {
        m for data in FIRMWARE.values() for m in re.findall(r"import (\w+)", data.decode())
    }
    left = (after & defined) - texts - modules - main - names.BUILT_IN
    # Attributes of what may also be another's object.
    left -= {"driver", "stored", "stored_s", "taken", "whose"}
    # Exceptions; what is a constant with an underscore in one file and a variable in another.
    assert all(name.endswith("Error") or name.startswith("_") for name in left), left
    assert len(left) < 12


def test_it_can_be_switched_off_for_one_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"firmware/a.py": b"public_name = []\n", "main.py": b"import firmware.a\n"}
    assert b"public_name" not in bytecode.compile_all(files)["firmware/a.mpy"]
    monkeypatch.setenv("FIELDMOUSE_LONG_NAMES", "1")
    assert b"public_name" in bytecode.compile_all(files)["firmware/a.mpy"]


def test_the_firmware_loads_and_its_objects_are_made(tmp_path: Path, umqtt_dir: Path) -> None:
    compiled = bytecode.compile_all({**FIRMWARE, **REST})
    image.write_files(tmp_path, compiled)
    modules = [name[:-4].replace("/", ".") for name in compiled if name.endswith(".mpy")]
    modules = [name.removesuffix(".__init__") for name in modules]
    built_in = launch.built_in("esp32", umqtt_dir)
    (tmp_path / "try.py").write_text(
        f"import sys\nsys.path[:] = {['', *map(str, built_in), '.frozen']}\n"
        f"import _sim\nfor name in {modules}:\n    __import__(name)\nprint('all there')\n"
    )
    ran = subprocess.run(
        [*toolchain.micropython(), "try.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout == "all there\n", ran.stderr
