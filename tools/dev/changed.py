"""Which device tests a change is about: those that import what differs from main."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tools.errors import ToolError
from tools.toolchain import ROOT

_HELPERS = "tests/device/"


def files(root: Path = ROOT) -> list[str]:
    """Every file that differs from main, or from the last commit of main; untracked ones too."""
    if not _git(root, "rev-parse", "HEAD"):
        raise ToolError("what has changed is not known: this is no git checkout", "make test")
    base = (_git(root, "merge-base", "HEAD", "main") or ["HEAD"])[0]
    changed = _git(root, "diff", "--name-only", "--relative", base)
    return sorted({*changed, *_git(root, "ls-files", "--others", "--exclude-standard")})


def _git(root: Path, *args: str) -> list[str]:
    ran = subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True)
    return ran.stdout.splitlines() if ran.returncode == 0 else []


def device_tests(changed: Iterable[str], root: Path = ROOT) -> list[str]:
    """The names of the device tests about the files ``changed``, given as paths below ``root``.

    A test is about itself, its helpers, and the firmware that it or they import by name. A part of
    the firmware that no test imports is tested through those parts that import it.
    """
    imports = {_module(path, root): _imports(path) for path in _sources(root)}
    found: set[str] = set()
    for path in changed:
        if path.endswith(".py") and path.startswith((_HELPERS, "firmware/")):
            found |= _about(_module(root / path, root), imports, set())
    return sorted(name for name in found if name in imports)  # not those that are gone


def _sources(root: Path) -> Iterable[Path]:
    yield from (root / _HELPERS).glob("*.py")
    yield from (root / "firmware").rglob("*.py")


def _module(path: Path, root: Path) -> str:
    where = path.relative_to(root).with_suffix("").as_posix()
    return where.removeprefix(_HELPERS).removesuffix("/__init__").replace("/", ".")


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _about(module: str, imports: Mapping[str, set[str]], seen: set[str]) -> set[str]:
    """The tests about one module; ``seen`` are those already asked for."""
    if module in seen:
        return set()
    seen.add(module)
    users = [name for name, used in imports.items() if module in used]
    ours = [name for name in users if name.startswith("firmware")]
    tests = {module} if module.startswith("test_") else set()
    for name in users:
        if name not in ours:
            tests |= _about(name, imports, seen)
    for name in () if tests else ours:
        tests |= _about(name, imports, seen)
    return tests
