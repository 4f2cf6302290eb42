"""Keeps short texts out of MicroPython's table of names, where they would stay for good.

Its compiler interns each text of at most ten bytes (MICROPY_ALLOC_PARSE_INTERN_STRING_LEN,
py/mpconfig.h). What stands in a tuple of constants is an object of its own in bytecode, and leaves
with the module (load_obj in py/persistentcode.c).
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from tools.board.names import BUILT_IN
from tools.board.scopes import Place, parse

_INTERNED_BYTES = 10
_PRESENT = BUILT_IN | {"", "\n", " ", "*", "/", "_", "utf-8"}  # py/qstrdefs.h


def interned(text: bytes) -> Iterator[tuple[ast.Constant, str]]:
    """Each short text in this code that MicroPython would intern and does not have itself."""
    nodes = list(ast.walk(parse(text)))
    fixed = {name for node in nodes for name in _by_const(node)}
    spared = {part for node in nodes for part in _spared(node, fixed)}
    for node in nodes:
        if not isinstance(node, ast.Constant) or node in spared:
            continue
        word = node.value
        if (
            isinstance(word, str)
            and len(word.encode()) <= _INTERNED_BYTES
            and word not in _PRESENT
        ):
            yield node, word


def outside(text: bytes, present: Collection[str] = ()) -> list[tuple[Place, Place, str]]:
    """The edits (scopes.edited) by which none of those is interned; lines stay lines.

    ``present``: texts that are interned anyway.
    """
    found = []
    for node, word in interned(text):
        if word not in present:
            start = node.lineno, node.col_offset
            end = node.end_lineno or node.lineno, node.end_col_offset or 0
            lines = "\n" * (end[0] - start[0])
            found.append((start, end, f"({word!r},{lines})[0]"))
    return found


def _spared(node: ast.AST, fixed: set[str]) -> Iterator[ast.AST]:
    # Docstrings; and what is in a tuple of constants already.
    if isinstance(node, ast.Expr):
        yield node.value
    elif isinstance(node, ast.Tuple) and _is_constant(node, fixed):
        yield from ast.walk(node)


def _is_constant(node: ast.AST, fixed: set[str]) -> bool:
    # To the compiler of MicroPython: py/parse.c folds numbers, and names that const() has made.
    match node:
        case ast.Tuple(elts=parts):
            return all(_is_constant(part, fixed) for part in parts)
        case ast.UnaryOp(operand=one):
            return _is_constant(one, fixed)
        case ast.BinOp(left=one, right=other):
            return _is_constant(one, fixed) and _is_constant(other, fixed)
        case ast.Name(id=name):
            return name in fixed
    return isinstance(node, ast.Constant)


def _by_const(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="const"))):
            yield name
