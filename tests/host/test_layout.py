"""The house rules no linter knows: who imports whom, what stays in memory, how long things get."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tools.errors import ToolError
from tools.toolchain import ROOT
from tools.updates import release

FIRMWARE = sorted((ROOT / "firmware").rglob("*.py"))
TOOLS = sorted(
    path
    for path in (ROOT / "tools").rglob("*.py")
    # MicroPython's side of the virtual board: other modules, other rules.
    if not path.relative_to(ROOT)
    .as_posix()
    .startswith(("tools/sim/shims/", "tools/sim/chips/", "tools/sim/esp/device/"))
)

_CORE = "firmware.core micropython"
_SOCKET = f"{_CORE} firmware.net socket ssl tls select gc errno"
_STORE = f"{_CORE} json os struct binascii sys io"
_TOOL = "tools.errors tools.toolchain tools.wire tools.options firmware.core"
# File or folder -> what of ours and of MicroPython's it may import (design.md section 3), also
# inside a function. The longest prefix decides, a file without a row may import nothing. Libraries
# of the host are free.
LAYERS = {
    "firmware/core/": "firmware.core json struct",
    "firmware/drivers/": f"{_CORE} struct",
    "firmware/net/": f"{_CORE} firmware.net",
    "firmware/net/session.py": f"{_CORE} firmware.net umqtt struct",
    "firmware/net/clock.py": f"{_CORE} socket",  # one datagram
    "firmware/net/provisional.py": f"{_CORE} firmware.net binascii",
    # The socket's life: made in connect, used in transport, secured in tls.
    "firmware/net/connect.py": _SOCKET,
    "firmware/net/transport.py": _SOCKET,
    "firmware/net/tls.py": _SOCKET,
    # The chip: what the loop needs all the time, the hardware, and the loop's guard.
    "firmware/chip.py": "micropython os sys time",
    "firmware/board.py": f"{_CORE} firmware.chip firmware.soft_watchdog"
    " machine network esp32 esp time os sys gc",
    "firmware/soft_watchdog.py": "micropython machine",
    "firmware/device_info.py": "firmware.chip firmware.version firmware.sensors machine esp32"
    " binascii gc json sys",
    # Flash.
    "firmware/files.py": _STORE,
    "firmware/outbox.py": f"{_STORE} firmware.outbox_files",
    "firmware/outbox_files.py": f"{_STORE} firmware.files",
    "firmware/settings.py": f"{_STORE} firmware.files firmware.overrides",
    "firmware/crash.py": f"{_STORE} firmware.files firmware.chip",
    # What the board does. A module that is loaded on demand is imported, not handed in: what is
    # handed in stays.
    "firmware/sampler.py": f"{_CORE} firmware.sensors firmware.sampling"
    " firmware.drivers firmware.board",
    "firmware/sensors.py": f"{_CORE} firmware.drivers firmware.board",
    "firmware/sampling.py": f"{_CORE} firmware.board",
    "firmware/alarms.py": f"{_CORE} firmware.net.packets",
    "firmware/shadow_sync.py": f"{_CORE} firmware.net.packets firmware.device_info json",
    "firmware/command_runner.py": f"{_CORE} firmware.chip firmware.board firmware.crash"
    " firmware.net.packets json",
    # The top: app.py with what it does once, and now and then.
    "firmware/app.py": "firmware micropython",
    "firmware/startup.py": "firmware gc micropython",
    "firmware/config.py": "firmware json sys",
    "firmware/overrides.py": "firmware sys",
    "firmware/upkeep.py": "firmware micropython",
    "firmware/power.py": "firmware micropython",
    "firmware/sleep.py": "firmware micropython",
    "firmware/rtc_file.py": "firmware.files",
    "firmware/wake.py": "firmware micropython machine time json",
    "firmware/loading.py": "firmware gc sys time machine",
    # New firmware, certificates, the first boot: one job at a time, loaded when there is one.
    "firmware/updates/": "firmware micropython json os binascii hashlib gc struct sys",
    "firmware/version.py": "",
    "tools/": "tools.errors tools.toolchain tools.wire",
    "tools/__main__.py": "tools.cli tools.endings",
    "tools/options.py": "tools.errors tools.things",
    "tools/cli.py": "tools.errors tools.toolchain tools.aws.errors tools.options",
    "tools/setup/": "tools.errors tools.toolchain tools.setup",
    "tools/things/": f"{_TOOL} tools.things",
    "tools/things/boards.py": f"{_TOOL} firmware.drivers",  # its table of sensors
    # These two do not know each other.
    "tools/aws/": f"{_TOOL} tools.things tools.aws",
    "tools/board/": f"{_TOOL} tools.things tools.board",
    "tools/doctor/": f"{_TOOL} tools.things tools.aws tools.board tools.doctor",
    "tools/updates/": f"{_TOOL} tools.things tools.aws tools.board tools.updates",
    "tools/dev/": f"{_TOOL} tools.things tools.dev",
    "tools/sim/": f"{_TOOL} tools",
    "tools/sim/world.py": f"{_TOOL} tools firmware.drivers",
}
# Who touches the hardware.
HARDWARE = {
    "firmware/board.py": {"machine", "network"},
    "firmware/soft_watchdog.py": {"machine"},  # its timer
    "firmware/wake.py": {"machine"},  # RTC and sleep
    "firmware/loading.py": {"machine"},  # restarts a board that cannot load board.py
    "firmware/device_info.py": {"machine", "esp32"},  # what the board reports about itself
}
_OURS = ("firmware", "tools", "tests", "bench", "relative")
_SOURCES = ("firmware/", "tools/", "tests/", "bench/")

# On the unix port, but switched off in the ESP8266 build (ports/esp8266/mpconfigport.h).
NOT_ON_ESP8266 = {
    *("partition", "rpartition", "splitlines", "center", "crc32", "__file__", "NotImplemented"),
    *("execfile", "complex"),
}

# files, functions: the longest allowed, in lines
LIMITS = {"firmware": (250, 40), "tools": (300, 40)}
# The firmware without firmware/drivers/, as ../shared/house.py counts it. They may only fall; the
# goal is 38 files and 3,200 lines of issue 8.
FILES, LINES = 49, 5_240
# firmware/updates/: none of it is in memory but for a job.
UPDATE_LINES = 1_600
# A driver; only one of them is in memory.
DRIVER_LINES = {"bme280.py": 129}  # of two chips, with their formulas
# What app.py, and what it imports outside of functions, and what its objects are made of, may have
# together: code that an ESP32 keeps in its memory, 5.6 bytes a line (issue 8).
RESIDENT_LINES = 1_900
# Loaded on demand, but it stays as long as there is an object of its classes: while there is a
# session, and a sensor.
HELD = "firmware.net.transport"
DRIVERS = "firmware.drivers."


def _where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def _nodes(tree: ast.AST, inside_functions: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        yield node
        if inside_functions or not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            yield from _nodes(node, inside_functions)


def _imports(tree: ast.AST, inside_functions: bool = True) -> Iterator[tuple[int, str]]:
    # `from firmware import files` imports firmware.files as much as `import firmware.files`.
    for node in _nodes(tree, inside_functions):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module if node.module and not node.level else "relative"
            ours = module.split(".")[0] in _OURS
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}" if ours else module
        elif isinstance(node, ast.Call) and name_of(node) == "__import__":
            # drivers/__init__.py: the name has a fixed beginning, and what follows it is a driver.
            start = node.args[0].left if isinstance(node.args[0], ast.BinOp) else node.args[0]
            yield node.lineno, str(getattr(start, "value", "unknown")).rstrip(".")


def _inside(name: str, roots: Iterable[str]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def not_allowed(where: str, tree: ast.AST) -> list[str]:
    """What the file ``where`` imports against the table."""
    rows = [row for row in LAYERS if where.startswith(row)]
    allowed = LAYERS[max(rows, key=len)].split() if rows else []
    if where == "firmware/drivers/__init__.py":
        allowed.append("firmware.drivers")  # it loads the others
    found = []
    for line, name in _imports(tree):
        library = where.startswith("tools/") and name.split(".")[0] not in _OURS
        if not library and not _inside(name, allowed):
            found.append(f"line {line}: {name}")
    return found


def graph(paths: Iterable[Path], inside_functions: bool = True) -> dict[str, set[str]]:
    """Module -> those of the modules at ``paths`` that it imports."""
    modules = {_module(path): path for path in paths}
    found: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = {name for _, name in _imports(_tree(path), inside_functions)}
        # `a.b.c` is c of the module a.b, or the module a.b.c.
        known = {n if n in modules else n.rpartition(".")[0] for n in names} & modules.keys()
        found[module] = known - {module}
    return found


def _module(path: Path) -> str:
    return _where(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def reached(arrows: Mapping[str, set[str]], start: str) -> set[str]:
    """What can be come to from ``start`` in one step or more."""
    found: set[str] = set()
    ahead = [start]
    while ahead:
        new = arrows[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def circles(arrows: Mapping[str, set[str]]) -> list[str]:
    """The modules that import themselves through others."""
    return [module for module in arrows if module in reached(arrows, module)]


def resident() -> set[str]:
    """The modules of the firmware that stay in memory once it runs."""
    start = "firmware.app"
    return {start, "firmware.loading", *reached(graph(FIRMWARE, False), start)}


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


def lines_of(paths: Iterable[Path]) -> int:
    """How many lines the files have together."""
    return sum(path.read_text().count("\n") for path in paths)


@pytest.mark.parametrize("path", FIRMWARE + TOOLS, ids=_where)
def test_imports_are_what_the_layer_may(path: Path) -> None:
    assert not_allowed(_where(path), _tree(path)) == []


def test_every_row_of_the_table_is_needed() -> None:
    files = [_where(path) for path in FIRMWARE + TOOLS]
    assert [row for row in LAYERS if not any(file.startswith(row) for file in files)] == []


@pytest.mark.parametrize("paths", [FIRMWARE, TOOLS], ids=["firmware", "tools"])
def test_there_are_no_circles(paths: list[Path]) -> None:
    assert circles(graph(paths)) == []


def test_the_hardware_is_imported_in_one_place() -> None:
    found: dict[str, set[str]] = {}
    for path in FIRMWARE:
        names = {name.split(".")[0] for _, name in _imports(_tree(path))}
        names &= {"machine", "network", "esp32", "esp"}
        if names:
            found[_where(path)] = names
    assert found == HARDWARE


def test_only_main_starts_the_app() -> None:
    def importers(module: str) -> list[str]:
        return [
            _where(path)
            for path in [ROOT / "main.py", ROOT / "boot.py", *FIRMWARE, *TOOLS]
            if any(_inside(name, [module]) for _, name in _imports(_tree(path)))
        ]

    assert importers("firmware.app") == ["firmware/loading.py"]
    assert importers("firmware.loading") == ["main.py"]
    # What stands in main.py stays in the heap, compiled on the board.
    assert len((ROOT / "main.py").read_text().splitlines()) <= 3


def test_boot_needs_nothing_that_an_update_can_break() -> None:
    path = ROOT / "boot.py"
    assert len(path.read_text().splitlines()) <= 40
    assert {name for _, name in _imports(_tree(path))} == {"gc", "machine", "os", "sys"}
    assert missing_names(_tree(path)) == []


@pytest.mark.parametrize(
    "path", ["boot.py", "main.py", "firmware/../boot.py", "slot", "b/boot.py"]
)
def test_no_release_has_what_chooses_the_slot(path: str) -> None:
    def text(*names: str) -> bytes:
        files = release.listed({name: b"x" for name in (*release.REQUIRED, *names)})
        return release.Manifest("1.0.0", 1, "esp32", ("1.26",), False, files).text()

    assert b"firmware/x.py 1 " in text("firmware/x.py")
    with pytest.raises(ToolError):
        text(path)


def test_what_stays_in_memory_is_small() -> None:
    modules = resident() | reached(graph(FIRMWARE, False), HELD) | {HELD}
    lines = lines_of(path for path in FIRMWARE if _module(path) in modules)
    lines += max(lines_of([path]) for path in FIRMWARE if _module(path).startswith(DRIVERS))
    assert lines <= RESIDENT_LINES, sorted(modules)


def test_what_leaves_the_memory_holds_no_state() -> None:
    # It may be loaded anew at any time (firmware/loading.py).
    stays = resident()
    for path in FIRMWARE:
        if _module(path) not in stays:
            found = [n.names for n in ast.walk(_tree(path)) if isinstance(n, ast.Global)]
            assert found == [], _where(path)


def test_the_firmware_does_not_grow() -> None:
    drivers = [path for path in FIRMWARE if path.parent.name == "drivers"]
    updates = [path for path in FIRMWARE if path.parent.name == "updates"]
    assert len(FIRMWARE) - len(drivers + updates) <= FILES
    assert lines_of(FIRMWARE) - lines_of(drivers + updates) <= LINES
    assert lines_of(updates) <= UPDATE_LINES
    for path in drivers:
        assert lines_of([path]) <= DRIVER_LINES.get(path.name, 100), path.name


def test_no_module_is_empty() -> None:
    # A folder is a package without __init__.py, and each module takes 160 bytes.
    inits = [_where(path) for path in FIRMWARE if path.name == "__init__.py"]
    assert inits == ["firmware/drivers/__init__.py"]


def test_git_ignores_no_source() -> None:
    # What .gitignore means for the root, as things/, may be the name of a folder of ours.
    argv = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "*.py"]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    if ran.returncode:
        pytest.skip("this is no git checkout")
    assert [name for name in ran.stdout.split() if name.startswith(_SOURCES)] == []


@pytest.mark.parametrize(
    "path", [p for p in FIRMWARE if p.parent.name != "updates"], ids=_where
)  # no ESP8266 has those
def test_firmware_uses_nothing_a_board_lacks(path: Path) -> None:
    assert missing_names(_tree(path)) == []


@pytest.mark.parametrize("path", FIRMWARE + TOOLS, ids=_where)
def test_files_and_functions_stay_short(path: Path) -> None:
    assert too_long(path, _tree(path)) == []


@pytest.mark.parametrize("path", sorted((ROOT / "tools" / "setup").glob("*.py")), ids=_where)
def test_setup_needs_no_library(path: Path) -> None:
    names = [name.split(".")[0] for _, name in _imports(_tree(path))]
    assert [name for name in names if name not in {"tools", *sys.stdlib_module_names}] == []


def test_the_rules_find_what_they_are_for() -> None:
    tree = ast.parse("import socket\nassert x\ns.partition('/')\npow(2, 3, 5)\n")
    assert not_allowed("firmware/core/x.py", tree) == ["line 1: socket"]
    assert not_allowed("firmware/unknown.py", tree) == ["line 1: socket"]
    assert not_allowed("tools/aws/x.py", tree) == []
    assert [line.split(": ")[1] for line in missing_names(tree)] == [
        "assert",
        "pow with three arguments",
        "partition",
    ]
    inside = ast.parse(
        "def f():\n    from firmware import board\n    from tools.aws import publish\n"
    )
    assert not_allowed("firmware/net/clock.py", inside) == [
        "line 2: firmware.board",
        "line 3: tools.aws.publish",
    ]
    assert not_allowed("tools/board/x.py", inside) == not_allowed("firmware/net/x.py", inside)
    assert not_allowed("tools/sim/x.py", inside) == ["line 2: firmware.board"]
    assert not_allowed("firmware/app.py", inside) == ["line 3: tools.aws.publish"]
    assert list(_imports(inside, inside_functions=False)) == []
    loaded = ast.parse("__import__('firmware.drivers.' + x)\n__import__(x)\n__import__('json')\n")
    assert [name for _, name in _imports(loaded)] == ["firmware.drivers", "unknown", "json"]
    near = ast.parse("from firmware.drivers2 import x\nfrom . import y\nfrom .z import y\n")
    assert [name for _, name in _imports(near)][1:] == ["relative.y", "relative.y"]
    assert len(not_allowed("firmware/sampler.py", near)) == 3


def test_circles_and_what_stays_are_found() -> None:
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert circles(arrows) == ["b", "c"]
    assert reached(arrows, "a") == {"b", "c"}
    assert {"firmware.app", "firmware.outbox", "firmware.core.timing"} <= resident()
    assert not {"firmware.startup", "firmware.board", "firmware.net.connect"} & resident()
