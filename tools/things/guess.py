"""The name that was meant, for one that is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from firmware.core import schema
from tools.things import values


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """', did you mean "x"?' for the nearest known word, or nothing.

    Nearest: the same letters, whatever their order, but for two and at most half.
    """
    best = 3, ""
    for candidate in known:
        others = max(len(word), len(candidate)) - (Counter(word) & Counter(candidate)).total()
        if 2 * others <= len(candidate):
            best = min(best, (others, candidate))
    return f', did you mean "{best[1]}"?' if best[0] < 3 else ""


def guessed(key: str, problem: str) -> str:
    """A problem of schema.check() with the name that was meant; the board compares less of it."""
    parts = []
    for part in problem.split("; "):
        name, inner, what = part.rpartition(": ")
        if what.startswith("unknown setting"):
            known: Any = schema.DEFAULTS["i2c"] if inner else values.SETTINGS
            part = f"{name}: unknown key" if inner else "unknown setting"
            part += did_you_mean(name or key, known)
        parts.append(part)
    return "; ".join(parts)
