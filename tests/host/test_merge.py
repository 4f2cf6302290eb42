"""tools/board/merge.py: files become one, and the program stays what it was."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.host.programs import output
from tools import toolchain
from tools.board import bytecode, groups, stage
from tools.board.merge import merge
from tools.errors import ToolError
from tools.things import boards

FIRMWARE = stage.sources(toolchain.ROOT)
TOGETHER = boards.table()["together"]
GROUP = {"p/whole.py": ["p/low.py", "p/mid.py", "p/whole.py"]}


def merged(files: dict[str, str], given: groups.Groups = GROUP) -> dict[str, str]:
    made = merge({n: text.encode() for n, text in files.items()}, given)
    return {name: data.decode() for name, data in made.items()}


def run(files: dict[str, str], folder: Path) -> str:
    """What start.py prints, the same before and after, in CPython."""
    said = output(files, folder / "before")
    assert said == output(merged(files), folder / "after")
    assert said
    return said


def test_imports_between_the_files_go_and_others_find_the_whole(tmp_path: Path) -> None:
    files = {
        "p/low.py": "from sys import byteorder as ORDER\n\nLIMIT = 7\n\n\n"
        "def log(text):\n    print('low', text)\n",
        "p/mid.py": "from p import low\nfrom p.low import LIMIT as most\n\n\n"
        "def twice(n):\n    low.log(n)\n    return min(n * 2, most)\n",
        "p/whole.py": "import p.mid\nimport p.low\nfrom p.mid import twice\n\n"
        "def main():\n    from p.low import log, LIMIT\n    log(twice(LIMIT))\n",
        "p/apart.py": "from p import low, mid as middle\nfrom p.low import LIMIT, ORDER\n"
        "print(ORDER, low.ORDER)\n"
        "low.extra = 3\nprint(middle.twice(2), LIMIT, low.extra)\n",
        "start.py": "from p import low, whole\nimport p.apart\nwhole.main()\nlow.log('end')\n",
    }
    assert "low 14" not in run(files, tmp_path)
    made = merged(files)
    assert set(made) == {"p/whole.py", "p/apart.py", "start.py"}
    assert made["p/whole.py"].count("import") == 1
    assert "from p import whole as low; from p import whole as middle" in made["p/apart.py"]


def test_names_that_would_meet_get_the_name_of_their_file(tmp_path: Path) -> None:
    files = {
        # A global of both; a global that is local elsewhere; one that is built in elsewhere.
        "p/low.py": "_TAG = 1\nvalue = 'low'\n\n\ndef log(text):\n    print(_TAG, text, value)\n"
        "\n\ndef max(a):\n    return a\n",
        "p/mid.py": "from p import low\n\n_TAG = 2\nvalue = 'mid'\n\n\ndef show(value):\n"
        "    log = low.log\n    log(value)\n    log(low.value)\n    log(max(_TAG, 1))\n"
        "    low.max(0)\n\n\ndef change():\n    global value\n    value += '!'\n"
        "    return value, [value for value in value]\n",
        "p/whole.py": "from p import mid\n\n\ndef main():\n    mid.show(3)\n"
        "    print(mid.change(), mid.value)\n",
        "start.py": "from p.whole import main\nfrom p import low, mid\nmain()\n"
        "print(low._TAG, mid._TAG, low.value, mid.value, low.max(9))\n",
    }
    assert run(files, tmp_path).endswith("1 2 low mid! 9\n")


def test_a_module_that_is_no_longer_needed_may_be_dropped(tmp_path: Path) -> None:
    files = {
        "p/low.py": "A = 1\n",
        "p/mid.py": "def f():\n    from p import low\n\n    n = low.A\n    low = None\n"
        "    return n\n"
        "\n\ndef g():\n    from p import low\n\n    n = low.A\n    del low\n    return n\n",
        "p/whole.py": "import sys\n\nfrom p.mid import f, g\n\nprint(f(), g(), bool(sys))\n",
        "start.py": "import p.whole\n",
    }
    run(files, tmp_path)


def test_a_text_that_names_a_file_names_the_whole(tmp_path: Path) -> None:
    files = {
        "p/low.py": "A = 1\n",
        "p/mid.py": "",
        "p/whole.py": "from p import low, mid\n",
        "start.py": "print(__import__('p.low', None, None, ('A',)).A)\n",
    }
    run(files, tmp_path)


def test_lines_stay_lines_and_are_found_again() -> None:
    files = {
        "p/low.py": "A = 1\nB = 2  # é\n",
        "p/mid.py": "from p.low import (\n    A,\n    B,\n)\n\nC = A, B",
        "p/whole.py": "from p.mid import C\n\nprint(C)\n",
    }
    whole = merged(files)["p/whole.py"].splitlines()
    assert len(whole) == 2 + 6 + 3
    assert (whole[0], whole[7], whole[10]) == ("A = 1", "C = A, B", "print(C)")
    trace = 'File "whole", line {}, in x\n'
    for line, path, there in ((2, "p/low.py", 2), (8, "p/mid.py", 6), (11, "p/whole.py", 3)):
        given = {n: text.encode() for n, text in files.items()}
        said = groups.source_lines(
            given, GROUP, "before " + trace.format(line) + 'File "other", line 2'
        )
        assert said == f'before File "{path}", line {there}, in x\nFile "other", line 2'
    assert groups.source_lines({}, GROUP, trace.format(99)) == trace.format(99)


def test_files_that_are_not_there_are_left_out() -> None:
    assert set(merged({"p/whole.py": "A = 1\n", "p/b.py": "B = 1\n"})) == {"p/whole.py", "p/b.py"}


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"p/mid.py": "from p import low\nprint(low)\n"}, "line 2: the module low as a value"),
        (
            {"p/mid.py": "def f():\n    from p import low\n    return f(low)\n"},
            "line 3: the module",
        ),
        ({"a.py": "import p.low\n"}, "line 1: import p.low"),
        ({"p/mid.py": "import os as gc\n"}, "gc is gc elsewhere"),
    ],
)
def test_what_is_not_understood_is_refused(files: dict[str, str], why: str) -> None:
    there = {"p/low.py": "import gc\n", "p/mid.py": "", "p/whole.py": "import gc\n"}
    with pytest.raises(ToolError, match=why):
        merged(there | files)


def test_all_of_the_firmware_that_stays_is_in_a_group() -> None:
    members = [path for group in TOGETHER.values() for path in group]
    assert sorted(members) == sorted(set(members))
    assert set(members) <= set(FIRMWARE)
    seen: set[str] = set()
    left = ["firmware/loading.py", "firmware/app.py"]
    while left:
        path = left.pop()
        if path in FIRMWARE and path not in seen:
            seen.add(path)
            for node in ast.parse(FIRMWARE[path]).body:
                names = [alias.name for alias in getattr(node, "names", ())]
                if isinstance(node, ast.ImportFrom):
                    names = [str(node.module), *(f"{node.module}.{name}" for name in names)]
                left += [name.replace(".", "/") + ".py" for name in names]
    assert seen <= set(members)
    # What only some boards have, or what stays while there is a session, or does not stay.
    others = {"firmware/net/transport.py", "firmware/soft_watchdog.py"}
    others |= set(TOGETHER["firmware/net/packets.py"])
    assert set(members) - seen <= others


def test_the_firmware_becomes_fewer_files_of_as_many_lines() -> None:
    made = merge(FIRMWARE, TOGETHER)
    members = {path for group in TOGETHER.values() for path in group}
    assert set(made) == set(FIRMWARE) - members | set(TOGETHER)
    for target, group in TOGETHER.items():
        assert made[target].count(b"\n") == sum(FIRMWARE[path].count(b"\n") for path in group)
    for data in made.values():
        for path in members - set(TOGETHER):
            dotted = path[:-3].replace("/", r"\.")
            assert not re.search(rf"import {dotted}\b|from {dotted} |\"{dotted}\"".encode(), data)


def test_a_traceback_of_a_board_is_found_in_the_sources() -> None:
    group = TOGETHER["firmware/app.py"]
    line = FIRMWARE[group[0]].count(b"\n") + 5
    text = f'  File "app", line {line}, in x\n  File "startup", line 5, in y\n'
    said = f'  File "{group[1]}", line 5, in x\n  File "startup", line 5, in y\n'
    assert stage.source_lines(text) == said
    # Not every board has all of them.
    before = sum(FIRMWARE[path].count(b"\n") for path in group[:-2])
    assert group[-2:] == ["firmware/soft_watchdog.py", "firmware/app.py"]
    said = stage.source_lines(f'File "app", line {before + 5}, in x')
    assert said == 'File "firmware/app.py", line 5, in x'
    # Of a board that sleeps other files are one.
    group = boards.together("battery")["firmware/app.py"]
    line = FIRMWARE[group[0]].count(b"\n") + 5
    said = stage.source_lines(f'File "app", line {line}, in x', power="battery")
    assert said == f'File "{group[1]}", line 5, in x'


def test_files_with_short_names(tmp_path: Path) -> None:
    files = {
        "main.py": "from firmware.loading import run\n\nrun()\n",
        "firmware/loading.py": "\n\ndef run():\n    from firmware.app import main\n\n    main()\n",
        "firmware/app.py": "from firmware import rare\nfrom firmware.net import link as wire\n\n\n"
        "def main():\n    print(rare.A, wire.B, rare.both())\n\n"
        "    from firmware.net.link import B\n\n"
        "    print(B, __import__('firmware.rare', None, None, ('A',)).A)\n",
        "firmware/rare.py": "A = 1\n\n\ndef both():\n    from firmware.net import link\n\n"
        "    return A, link.B\n",
        "firmware/net/link.py": "B = 2\n",
        "firmware/drivers/chip.py": "C = 3\n",
        "firmware/version.py": "V = 4\n",
    }
    given = {"firmware/chip.py": ["firmware/loading.py"], "firmware/app.py": ["firmware/app.py"]}
    flat = groups.flat_groups(files, given)
    assert len(flat) == 4
    made = merged(files, flat)
    apart = {path for path in made if "/" not in path} - {"main.py"}
    assert len(apart) == 3
    assert set(made) - apart == {
        *("main.py", "firmware/chip.py", "firmware/drivers/chip.py", "firmware/version.py")
    }
    assert output(made, tmp_path, "main.py") == "1 2 (1, 2)\n2 1\n"
    texts = {name: text.encode() for name, text in files.items()}
    name = next(n for n, members in flat.items() if members == ["firmware/rare.py"])
    said = groups.source_lines(texts, flat, f'File "{name[:-3]}", line 4')
    assert said == 'File "firmware/rare.py", line 4'


def test_the_firmware_of_an_esp8266_has_short_names_and_they_are_found_again() -> None:
    made = bytecode.compile_all(FIRMWARE, TOGETHER, flat=True)
    assert "firmware/chip.mpy" in made
    assert "firmware/version.py" in made
    kind = boards.get("esp8266")
    files = [path for path in FIRMWARE if kind.takes(path, kind.sensors) or "/" not in path]
    flat = groups.flat_groups(FIRMWARE, TOGETHER)
    assert {f"{target[:-3]}.mpy" for target in flat} <= set(made)
    for target, members in groups.flat_groups(files, TOGETHER).items():
        text = f'File "{Path(target).stem}", line 1'
        assert stage.source_lines(text, "esp8266") == f'File "{members[0]}", line 1'
    drivers = {name for name in made if name.startswith("firmware/drivers/")}
    assert len(made) == len(flat) + len(drivers) + 3


def test_long_names_mean_the_files_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "firmware/outbox.mpy" not in bytecode.compile_all(FIRMWARE, TOGETHER)
    monkeypatch.setenv(bytecode.LONG_NAMES, "1")
    assert "firmware/outbox.mpy" in bytecode.compile_all(FIRMWARE, TOGETHER)
