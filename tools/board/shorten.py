"""Gives the firmware's private names short ones before it is compiled: they cost RAM.

MicroPython interns every name of a loaded module for good, at six bytes and its length. A private
name means nothing outside its module, nor does the name of an argument that no call uses as a
keyword; so all modules share the same few letters for them. Lines stay where they are, and with
them the line numbers of a traceback; the name of a private function there is its short one.
"""

from __future__ import annotations

import ast
import builtins
import io
import itertools
import keyword
import re
import string
import threading
import tokenize
from collections.abc import Iterator

from tools.errors import ToolError

# Of the base classes that are not ours (umqtt.simple 1.3.4 to 1.8.0): must not be overridden.
_FOREIGN = frozenset({"_send_str", "_recv_len"})
_PRIVATE = re.compile(r"_(?!_)\w+")

# CPython 3.11's ast.parse() cannot be run by two threads at once (SystemError, recursion depth).
_one_by_one = threading.Lock()

_Place = tuple[int, int]  # line from 1, column in bytes from 0: as ast counts


def shorten(sources: dict[str, bytes]) -> dict[str, bytes]:
    """The same Python files with short private names; lines stay lines.

    ``sources``: path on the board -> content, all modules that know each other. Raises ToolError
    for a file that is no Python, or that has an f-string, whose names would be missed.
    """
    trees = {path: _parse(path, source) for path, source in sources.items()}
    every = [node for tree in trees.values() for node in ast.walk(tree)]
    keywords = {n.arg for n in every if isinstance(n, ast.keyword) and n.arg}
    groups = _families(trees)
    kept = _FOREIGN | _defined_elsewhere(trees, groups)
    made: dict[str, bytes] = {}
    for group in groups:
        names = sorted({n for path in group for n in _mentioned(trees[path])} - kept)
        private = dict(zip(names, _letters("_"), strict=False))
        for path in group:
            arguments = _arguments(trees[path], keywords)
            made[path] = _rewrite(sources[path], private, arguments)
    return made


def _parse(path: str, source: bytes) -> ast.Module:
    try:
        with _one_by_one:
            tree = ast.parse(source)
    except SyntaxError as e:
        raise ToolError(f"{path}: {e.msg}, line {e.lineno}", "mend that file") from e
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            raise ToolError(f"{path}: f-string in line {node.lineno}", "use str.format()")
    return tree


def _families(trees: dict[str, ast.Module]) -> list[list[str]]:
    """Modules whose classes inherit from each other share the attributes of one object."""
    classes = [
        (path, node)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    family = {path: frozenset({path}) for path in trees}
    for path, node in classes:
        bases = {ast.unparse(base).split(".")[-1] for base in node.bases}
        for other in (home for home, found in classes if found.name in bases):
            joined = family[path] | family[other]
            family |= dict.fromkeys(joined, joined)
    return [sorted(group) for group in sorted(set(family.values()), key=sorted)]


def _mentioned(tree: ast.Module) -> set[str]:
    """Private names anywhere in the file."""
    return {name for name, _ in _names(tree) if _PRIVATE.fullmatch(name)}


def _defined_elsewhere(trees: dict[str, ast.Module], groups: list[list[str]]) -> set[str]:
    """Private names used where they are not defined, or spelled out in a text: left alone."""
    found: set[str] = set()
    for group in groups:
        walked = [node for path in group for node in ast.walk(trees[path])]
        defined = {name for path in group for name, new in _names(trees[path]) if new}
        found |= {n for path in group for n in _mentioned(trees[path])} - defined
        found |= {str(n.value) for n in walked if isinstance(n, ast.Constant)}
    return found


def _names(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Every (name, is it a definition?) of a file."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                yield name, True
            case ast.Name(id=name, ctx=ctx) | ast.Attribute(attr=name, ctx=ctx):
                yield name, isinstance(ctx, ast.Store)
            case ast.alias(name=name, asname=asname):
                yield (asname, True) if asname else (name, False)
            case _:
                pass


def _arguments(tree: ast.Module, keywords: set[str]) -> dict[_Place, str]:
    """Where the arguments of functions stand, and the short names they get.

    Within the outermost function, every use of the same name gets the same new one, which is not
    used there otherwise: so no scope has to be understood.
    """
    top = set(dir(builtins)) | _bound_at_top(tree)
    found: dict[_Place, str] = {}
    for outer in _outermost(tree):
        nodes = list(ast.walk(outer))
        fixed = keywords | {
            n for node in nodes if isinstance(node, ast.Global) for n in node.names
        }
        own = {node.arg for node in ast.walk(outer.args) if isinstance(node, ast.arg)}
        names = [node.arg for node in nodes if isinstance(node, ast.arg)]
        used = fixed | {node.id for node in nodes if isinstance(node, ast.Name)} | set(names)
        letters = (letter for letter in _letters("") if letter not in used)
        # One of an inner function only may be something else outside of that.
        wanted = dict.fromkeys(n for n in names if n not in fixed and (n in own or n not in top))
        new = dict(zip(wanted, letters, strict=False))
        for node in nodes:
            name = node.arg if isinstance(node, ast.arg) else getattr(node, "id", None)
            if name in new:
                found[node.lineno, node.col_offset] = new[name]  # type: ignore[attr-defined]
    return found


def _bound_at_top(tree: ast.Module) -> set[str]:
    names = {name for node in tree.body for name, new in _names(node) if new}
    imports = [
        a for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom)) for a in n.names
    ]
    return names | {alias.asname or alias.name for alias in imports}


def _outermost(node: ast.AST) -> Iterator[ast.FunctionDef]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield child
        else:
            yield from _outermost(child)


def _letters(prefix: str) -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            name = prefix + "".join(letters)
            if not keyword.iskeyword(name):
                yield name


def _rewrite(source: bytes, private: dict[str, str], arguments: dict[_Place, str]) -> bytes:
    lines = source.splitlines(keepends=True)
    # From the end, so that the columns before stay right.
    for token in reversed(list(tokenize.tokenize(io.BytesIO(source).readline))):
        if token.type != tokenize.NAME:
            continue
        line, column = token.start
        column = len(token.line[:column].encode())
        new = arguments.get((line, column)) or private.get(token.string)
        if new:
            old = lines[line - 1]
            end = column + len(token.string.encode())
            lines[line - 1] = old[:column] + new.encode() + old[end:]
    return b"".join(lines)
