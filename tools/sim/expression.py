"""Checks an expression such as ``21 + 2*sin(t/60)`` before a virtual board is given it.

Only numbers, ``t`` (seconds since power-on), arithmetic, a few functions of `math` and ``ramp``
are let through: the text is evaluated inside MicroPython (tools/sim/shims/_bus.py), which has no
sandbox. ``ramp(20, 30, 60, 120)`` is 20 until t=60, rises to 30 at t=120, and stays there.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from tools.board.scopes import PARSING
from tools.errors import ToolError

_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "floor": math.floor,
    "ceil": math.ceil,
    "abs": abs,
    "min": min,
    "max": max,
}
_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_MAX_LENGTH = 200
_MAX_POWER = 8  # 9**9**9 would keep an interpreter busy for ever
_TRIED_AT_S = (0.0, 0.25, 1.0, 61.5, 3600.0, 90000.0)
_IN_RANGE_S = 1.0  # later a rising expression may leave the range: the chip then stays at its end
_HINT = "a number, or for example '21 + 2*sin(t/60)' with t = seconds since power-on"
_RAMP = "ramp(first, last, start, end), with end after start, as in ramp(20, 30, 60, 120)"


def check(text: str, name: str, low: float, high: float) -> float | str:
    """Return ``text`` as a number if it is one, else the expression itself.

    Raises ToolError when it is neither, has no value at any of a few moments between the boot
    and one day later, or starts with a value outside ``low`` to ``high``.
    """
    try:
        with PARSING:
            tree = ast.parse(text.strip(), mode="eval") if len(text) <= _MAX_LENGTH else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    if tree is None:
        raise ToolError(f"{name}: {text!r} is neither a number nor an expression", _HINT)
    for t in _TRIED_AT_S:
        value = _value_at(tree.body, t, name, text)
        if t <= _IN_RANGE_S and not low <= value <= high:
            at = f" at t={t:g}" if "t" in text else ""
            raise ToolError(f"{name}: {value:g}{at} is outside {low:g} to {high:g}", _HINT)
    if any(isinstance(node, (ast.Name, ast.Call)) for node in ast.walk(tree)):
        return text.strip()
    return _value_at(tree.body, 0.0, name, text)


def _value_at(node: ast.expr, t: float, name: str, text: str) -> float:
    try:
        value = float(_evaluate(node, t))
        if math.isfinite(value):
            return value
        why = "is not finite"
    except ToolError as e:
        why = e.message
    except (ArithmeticError, ValueError, TypeError, RecursionError) as e:
        why = str(e)
    raise ToolError(f"{name}: {text!r}: {why}", _HINT)


def _evaluate(node: ast.expr, t: float) -> Any:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.Name(id=name):
            return _named(name, t)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            value = _evaluate(operand, t)
            return -value if isinstance(sign, ast.USub) else value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            if isinstance(op, ast.Pow) and not _is_small(right):
                raise ToolError(f"a power must be a number up to {_MAX_POWER}")
            return _BINARY[type(op)](_evaluate(left, t), _evaluate(right, t))
        case ast.Call(func=ast.Name(id=called), args=args, keywords=[]):
            if called == "ramp":
                return _ramp(t, [_evaluate(arg, t) for arg in args])
            if called not in _FUNCTIONS:
                return _named(called, t)
            return _FUNCTIONS[called](*(_evaluate(arg, t) for arg in args))
    raise ToolError("only numbers, t, arithmetic and functions of math are allowed")


def _named(name: str, t: float) -> float:
    if name == "ramp":
        raise ToolError(f"it is {_RAMP}")
    if name in _FUNCTIONS:
        raise ToolError(f"{name} needs its argument: {name}(...)")
    if name not in ("t", "pi"):
        raise ToolError(f"{name} is not known; there are t, pi, ramp, {', '.join(_FUNCTIONS)}")
    return t if name == "t" else math.pi


def _ramp(t: float, args: list[Any]) -> float:
    if len(args) != 4 or args[3] <= args[2]:
        raise ToolError(f"it is {_RAMP}")
    first, last, start, end = map(float, args)
    return first + (last - first) * (min(max(t, start), end) - start) / (end - start)


def _is_small(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, (int, float))
        and 0 <= node.value <= _MAX_POWER
    )
