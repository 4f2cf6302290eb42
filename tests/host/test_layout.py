"""The house rules no linter knows: who imports whom, what the boards lack, how long things get."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.toolchain import ROOT

FIRMWARE = sorted((ROOT / "firmware").rglob("*.py"))
TOOLS = sorted(
    path
    for path in (ROOT / "tools").rglob("*.py")
    # MicroPython's side of the virtual board: other modules, other rules.
    if not path.relative_to(ROOT).as_posix().startswith(("tools/sim/shims/", "tools/sim/chips/"))
)

_CORE = "firmware.core micropython"
_MQTT = "firmware.net.packet firmware.net.pipe firmware.net.window firmware.net.flow"
_MQTT += " firmware.net.hello firmware.net.wire firmware.net.tls"
# File or folder -> what it may import (design.md section 3). The longest prefix decides, a file
# without a row may import nothing. `name_part.py` belongs to `name.py` and shares its row.
LAYERS = {
    "firmware/__init__.py": "",
    "firmware/core/": "firmware.core json struct",
    "firmware/drivers/": f"{_CORE} firmware.drivers",
    "firmware/net/": _CORE,
    "firmware/net/mqtt": f"{_CORE} {_MQTT} umqtt struct errno",
    "firmware/net/flow": f"{_CORE} {_MQTT} umqtt struct errno",
    "firmware/net/hello": f"{_CORE} {_MQTT} struct",
    "firmware/net/packet": f"{_CORE} struct",
    "firmware/net/pipe": f"{_CORE} {_MQTT} errno",
    "firmware/net/window": f"{_CORE} {_MQTT}",
    "firmware/net/wire": f"{_CORE} firmware.net.tls socket select errno gc",
    "firmware/net/tls": f"{_CORE} socket ssl tls errno",
    "firmware/bus": _CORE,
    "firmware/board": f"{_CORE} firmware.bus machine network esp32 esp ntptime time os sys gc",
    "firmware/outbox": f"{_CORE} firmware.outbox firmware.files json os struct binascii",
    "firmware/settings": f"{_CORE} firmware.files json os struct binascii",
    "firmware/files": f"{_CORE} os",
    "firmware/crash": f"{_CORE} firmware.files json os sys io",
    "firmware/sampler": f"{_CORE} firmware.drivers.find firmware.sampler",
    "firmware/sender": _CORE,
    "firmware/reporter": f"{_CORE} json",
    "firmware/commander": _CORE,
    "firmware/profile": f"{_CORE} json os",
    "firmware/version": "",
    # The top, in four files: app steps, parts makes, control obeys, facts tells.
    "firmware/app": "firmware gc micropython",
    "firmware/parts": "firmware micropython",
    "firmware/control": f"{_CORE} firmware.board firmware.parts",
    "firmware/facts": f"{_CORE} firmware.board firmware.version",
    "firmware/start": f"{_CORE} firmware.board firmware.profile firmware.net.tls",
    "firmware/news": f"{_CORE} firmware.facts",
    "firmware/seldom": "sys",
}

# On the unix port, but switched off in the ESP8266 build (ports/esp8266/mpconfigport.h).
NOT_ON_ESP8266 = {
    *("partition", "rpartition", "splitlines", "center", "crc32", "__file__", "NotImplemented"),
    *("execfile", "complex"),
}

# files, functions: the longest allowed, in lines
LIMITS = {"firmware": (200, 25), "tools": (250, 40)}


def _where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    # `from firmware import files` imports firmware.files as much as `import firmware.files`.
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = node.module or "relative"
                ours = module.split(".")[0] == "firmware"
                yield node.lineno, f"{module}.{alias.name}" if ours else module


def _inside(name: str, roots: list[str]) -> bool:
    return any(name == root or name.startswith((root + ".", root + "_")) for root in roots)


def strangers(where: str, tree: ast.AST) -> list[str]:
    """What the file ``where`` imports against the table."""
    rows = [row for row in LAYERS if where.startswith(row)]
    allowed = LAYERS[max(rows, key=len)].split() if rows else []
    return [f"line {n}: {name}" for n, name in _imports(tree) if not _inside(name, allowed)]


def missing_names(tree: ast.AST) -> list[str]:
    """The assert statements of a firmware file, and the names an ESP8266 does not know."""
    found = []
    for node in ast.walk(tree):
        # mpy-cross -O drops assert statements, so no check may depend on one.
        if isinstance(node, ast.Assert):
            found.append(f"line {node.lineno}: assert")
        name = getattr(node, "attr", None) or getattr(node, "id", None)
        if name in NOT_ON_ESP8266:
            found.append(f"line {getattr(node, 'lineno', 0)}: {name}")
        if isinstance(node, ast.Call) and name_of(node) == "pow" and len(node.args) == 3:
            found.append(f"line {node.lineno}: pow with three arguments")
    return found


def name_of(call: ast.Call) -> str:
    """The name a call goes to, where it has a plain one."""
    return call.func.id if isinstance(call.func, ast.Name) else ""


def too_long(path: Path, tree: ast.AST) -> list[str]:
    """The file, and each function in it, that is over the limits."""
    file_lines, function_lines = LIMITS[_where(path).split("/")[0]]
    found = []
    lines = len(path.read_text().splitlines())
    if lines > file_lines:
        found.append(f"the file has {lines} lines, more than {file_lines}")
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > function_lines:
                found.append(f"{node.name}() has {length} lines, more than {function_lines}")
    return found


@pytest.mark.parametrize("path", FIRMWARE, ids=_where)
def test_firmware_imports_what_its_layer_may(path: Path) -> None:
    assert strangers(_where(path), _tree(path)) == []


@pytest.mark.parametrize("path", FIRMWARE, ids=_where)
def test_firmware_uses_nothing_a_board_lacks(path: Path) -> None:
    assert missing_names(_tree(path)) == []


@pytest.mark.parametrize("path", FIRMWARE + TOOLS, ids=_where)
def test_files_and_functions_stay_short(path: Path) -> None:
    assert too_long(path, _tree(path)) == []


@pytest.mark.parametrize("path", TOOLS, ids=_where)
def test_tools_know_only_the_core_of_the_firmware(path: Path) -> None:
    ours = [(n, name) for n, name in _imports(_tree(path)) if name.split(".")[0] in _OURS]
    assert [i for i in ours if not _inside(i[1], ["tools", "firmware.core"])] == []


_OURS = ("firmware", "tools", "tests", "bench", "relative")


def test_only_main_starts_the_app() -> None:
    importers = [
        _where(path)
        for path in [ROOT / "main.py", ROOT / "boot.py", *FIRMWARE, *TOOLS]
        if any(_inside(name, ["firmware.app"]) for _, name in _imports(_tree(path)))
    ]
    assert importers == ["main.py"]


@pytest.mark.parametrize("path", sorted((ROOT / "tools" / "setup").glob("*.py")), ids=_where)
def test_setup_needs_no_library(path: Path) -> None:
    may = ["tools.setup", "tools.errors", "tools.toolchain", "tools"]
    tops = {name for name in sys.stdlib_module_names}
    found = [name for _, name in _imports(_tree(path)) if not _inside(name, may)]
    assert [name for name in found if name.split(".")[0] not in tops] == []


def test_the_rules_find_what_they_are_for() -> None:
    tree = ast.parse("import socket\nassert x\ns.partition('/')\npow(2, 3, 5)\n")
    assert strangers("firmware/core/x.py", tree) == ["line 1: socket"]
    assert strangers("firmware/unknown.py", tree) == ["line 1: socket"]
    assert [line.split(": ")[1] for line in missing_names(tree)] == [
        "assert",
        "pow with three arguments",
        "partition",
    ]
    inside = ast.parse("def f():\n    from firmware import board\n")
    assert strangers("firmware/net/link.py", inside) == ["line 2: firmware.board"]
    assert strangers("firmware/app.py", inside) == []
