"""`config THING key=value`: change config.json of a thing by dotted keys, checked as a whole."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from tools.errors import ToolError
from tools.things import config as thing_config

ASK = "-"  # key=- asks for the value, so that a password is in no list of processes


def change(
    raw: dict[str, Any], changes: list[str], ask: Callable[[str], str] = lambda key: ""
) -> dict[str, Any]:
    """Return a copy of ``raw`` with each `key=value` done; `key=` takes the key out.

    A value is JSON where that fits the key, else text, else a list of one text. ToolError with
    every problem the new configuration has, by key and never by value.
    """
    if not changes:
        raise ToolError("nothing to change", "for example: interval_s=30 or i2c.sda=4")
    new = copy.deepcopy(raw)
    for assignment in changes:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise ToolError("a change has the form key=value", "interval_s=30 or i2c.sda=4")
        new = _best(new, key, ask(key) if text == ASK else text)
    _, problems = thing_config.check(new)
    if problems:
        raise ToolError("\n  ".join(["config.json would not be right:", *problems]))
    return new


def _best(raw: dict[str, Any], key: str, text: str) -> dict[str, Any]:
    """The reading of ``text`` with the fewest problems, the likelier one first."""
    tries = [_with(raw, key, value) for value in _readings(text)]
    return min(tries, key=lambda new: len(thing_config.check(new)[1]))


def _readings(text: str) -> list[Any]:
    if not text:
        return [None]
    plain: list[Any] = [text, [text]]
    try:
        return [json.loads(text), *plain]
    except ValueError:
        return plain


def _with(raw: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    new = copy.deepcopy(raw)
    *path, last = key.split(".")
    at: Any = new
    for name in path:
        at = _step(at, name, key)
    if isinstance(at, list):
        if not last.isdecimal() or int(last) > len(at):
            hint = f"{key[: -len(last)]}0=…"
            raise ToolError(f"{key}: a list has the places 0 to {len(at)}", hint)
        at[int(last) : int(last) + 1] = [] if value is None else [value]
    elif isinstance(at, dict) and value is None:
        at.pop(last, None)
    elif isinstance(at, dict):
        at[last] = value
    else:
        raise ToolError(f"{key}: there is nothing inside that", "see config.example.json")
    return new


def _step(at: Any, name: str, key: str) -> Any:
    if isinstance(at, dict):
        return at.setdefault(name, {})
    if isinstance(at, list) and name.isdecimal():
        if int(name) == len(at):
            at.append({})
        if int(name) < len(at):
            return at[int(name)]
    raise ToolError(f"{key}: there is no {name}", "see config.example.json")
