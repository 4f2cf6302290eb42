"""What a world is checked with: each takes a value and gives what to use, or raises ToolError."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from tools.errors import ToolError

HINT = "python -c 'import tools.sim.world; help(tools.sim.world)' lists every key"
# Takes a value and the key it has.
Check = Callable[[Any, str], Any]


def wrong(where: str, value: Any, wanted: str) -> ToolError:
    return ToolError(f"{where or 'world'}: {json.dumps(value)[:60]} is not {wanted}", HINT)


def an_object(schema: Mapping[str, Check], *required: str) -> Check:
    def look(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(where, value, "an object")
        prefix = f"{where}." if where else ""
        for key in value.keys() - schema.keys():
            known = ", ".join(schema)
            raise ToolError(f"{prefix}{key}: unknown key", f"known here: {known}")
        for key in required:
            if key not in value:
                raise ToolError(f"{prefix}{key}: is missing", HINT)
        return {key: schema[key](v, prefix + key) for key, v in value.items()}

    return look


def a_list(each: Check, length: int | None = None) -> Check:
    def look(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list) or length not in (None, len(value)):
            raise wrong(where, value, f"a list of {length}" if length else "a list")
        return [each(v, f"{where}[{i}]") for i, v in enumerate(value)]

    return look


def a_number(low: float, high: float, whole: bool = False) -> Check:
    def look(value: Any, where: str) -> Any:
        kinds = (int,) if whole else (int, float)
        good = type(value) in kinds and math.isfinite(value) and low <= value <= high
        if not good:
            raise wrong(where, value, f"{'a whole number ' if whole else ''}{low:g} to {high:g}")
        return value

    return look


def one_of(*values: Any) -> Check:
    def look(value: Any, where: str) -> Any:
        if not any(value == v and type(value) is type(v) for v in values):
            raise wrong(where, value, " or ".join(json.dumps(v) for v in values))
        return value

    return look


def a_text(pattern: str, wanted: str) -> Check:
    def look(value: Any, where: str) -> Any:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise wrong(where, value, wanted)
        return value

    return look


def either(first: Check, kind: type, second: Check) -> Check:
    return lambda value, where: (second if isinstance(value, kind) else first)(value, where)


def a_map(key: Check, each: Check) -> Check:
    def look(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(where, value, "an object")
        return {key(k, where): each(v, f"{where}.{k}") for k, v in value.items()}

    return look
