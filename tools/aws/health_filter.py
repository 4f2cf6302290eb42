"""The language of `--filter`: terms joined by spaces, all of which have to hold.

    state=late version<1.2 rssi<-80 waiting>0 name~green* age>=5min sensor=none

Fields are the keys of `--json`, and a few short names. = != < <= > >= compare, ~ takes * and ?.
What is not known fulfils != only, and FIELD=? itself.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable
from typing import Any

from tools.aws.facts import QUANTITY_NAMES
from tools.aws.health import PROBLEMS, STATES, Health
from tools.errors import ToolError
from tools.things.guess import did_you_mean

_SHORT = {
    "name": "thing",
    "rssi": "rssi_dbm",
    "heap": "free_heap_bytes",
    "age": "last_reading_age_s",
    "interval": "interval_s",
    "problem": "problems",
    "certificate": "certificates",
    "firmware": "version",
}
_TERM = re.compile(r"(\w+)(!=|<=|>=|=|<|>|~)(.*)")
_VERSION = re.compile(r"v?\d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+|[-+][\w.+-]+)?", re.IGNORECASE)
_UNITS = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86_400}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt,
    "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_WORDS = {"state": STATES, "problems": PROBLEMS, "clock": ("known", "estimated", "unknown")}
_KINDS = Health.__annotations__
_TEXTS = {key for key, kind in _KINDS.items() if kind.startswith("str")} - {"version"}
_TEXTS |= {"problems", "certificates"}
_NUMBERS = [key for key, kind in _KINDS.items() if kind.startswith(("int", "float"))]
_NUMBERS += ["seq", *QUANTITY_NAMES]
FIELDS = (*sorted(_TEXTS), "version", "healthy", *_NUMBERS)
_OFFERED = (*_SHORT, *(field for field in FIELDS if field not in _SHORT.values()))
_HINT = f"fields: {', '.join(_OFFERED)}"
Accept = Callable[[Health], bool]


def parse(text: str) -> Accept:
    """A function that says whether a thing fulfils every term; ToolError names what is wrong."""
    terms = [_term(word) for word in text.split()]
    return lambda h: all(term(h) for term in terms)


def _term(word: str) -> Accept:
    found = _TERM.fullmatch(word)
    if not found:
        raise ToolError(f"filter: {word!r} is not FIELD=VALUE", _HINT)
    given, sign, value = found.groups()
    field = _SHORT.get(given, given)
    if field not in FIELDS:
        guess = did_you_mean(given, list(_OFFERED))
        raise ToolError(f"filter: there is no field {given!r}{guess}", _HINT)
    if value == "?" and sign in ("=", "!="):
        return lambda h: (_values(h, field, sign) == []) == (sign == "=")
    wanted = _wanted(field, sign, value)

    def holds(h: Health) -> bool:
        values = _values(h, field, sign)
        if sign == "~":
            return any(fnmatch.fnmatchcase(v.lower(), wanted) for v in values)
        if sign == "!=":
            return wanted not in values
        return any(_COMPARE[sign](v, wanted) for v in values)

    return holds


def _values(h: Health, field: str, sign: str) -> list[Any]:
    """What a term compares with; none where it is not known."""
    value = h.reading.get(field) if not hasattr(h, field) else getattr(h, field)
    if field == "last_reading_age_s" and not h.age_known and sign not in ("<", "<="):
        return []  # it is at most so old
    if field == "problems":
        return [problem.key for problem in h.problems]
    if field == "certificates":
        return [status.lower() for _, status in value or ()]
    if value is None:
        return []
    if field == "version":
        return [version(value)]
    return [value.lower() if isinstance(value, str) else value]


def _wanted(field: str, sign: str, value: str) -> Any:
    """The value of a term as what `_values` gives."""
    if field in _TEXTS or sign == "~":
        allowed = _WORDS.get(field, ())
        if field not in _TEXTS or (sign not in ("=", "!=", "~")):
            raise ToolError(f"filter: {field} does not take {sign}", "= != ~ for texts")
        if allowed and sign != "~" and value not in allowed:
            raise ToolError(f"filter: {field} is never {value!r}", ", ".join(allowed))
        return value.lower()
    if field == "version":
        if not _VERSION.fullmatch(value):
            why = f"filter: version is compared with a version, not {value!r}"
            raise ToolError(why, "version<1.10 version!=1.2-rc1")
        return version(value)
    if field == "healthy":
        if value not in ("yes", "no") or sign not in ("=", "!="):
            raise ToolError(f"filter: healthy{sign}{value} is never so", "healthy=yes, healthy=no")
        return value == "yes"
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)(s|min|h|d)?", value)
    if not found or (found[2] and not field.endswith("_s")):
        raise ToolError(
            f"filter: {field} is compared with a number, not {value!r}",
            "age>5min (s, min, h, d)" if field.endswith("_s") else f"{field}>0",
        )
    return float(found[1]) * _UNITS[found[2] or ""]


def version(text: str) -> tuple[Any, ...]:
    """A key that compares versions: 1.9 < 1.10 = 1.10.0, and 1.2-rc1 < 1.2."""
    numbers, _, more = text.lower().partition("-")
    parts = [int(p) for p in re.findall(r"\d{1,9}", numbers)]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts), not more, more
