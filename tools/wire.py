"""The door for all that comes from the wire or from a board's serial port.

Who can publish, write a shadow or hold a board can put anything into a text, and a terminal obeys
escape sequences, a spreadsheet formulas. Nothing from outside is printed, or written to a file for
people, but through one of these functions.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

LAST_TIME = 2**33  # Unix seconds, the year 2242: what every calendar here can show
WIDEST = 1e6  # nothing that is measured is beyond, in any unit
LAST_SEQ = 2**32 - 1  # four bytes in a record of the outbox
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # how a formula begins (OWASP, CSV Injection)
_MOST_CELL = 200  # characters: a table has to stay one


def text(value: object, lines: bool = False, drop: bool = False) -> str:
    """``value`` as text without anything a terminal acts on: escaped (or left out with ``drop``).

    That is whatever `str.isprintable` denies: C0, DEL, C1, marks of direction and other invisible
    ones, line and paragraph separators, lone surrogates, private and unassigned characters. With
    ``lines`` a line feed and a tab stay.
    """
    given = str(value)
    if given.isprintable():
        return given
    kept = "\n\t" if lines else ""
    return "".join(
        c if c.isprintable() or c in kept else "" if drop else ascii(c)[1:-1] for c in given
    )


def message(topic: str, payload: bytes) -> str:
    """A message as one line: its topic, a space, its payload."""
    return f"{text(topic)} {text(payload.decode('utf-8', 'backslashreplace'))}"


def document(payload: bytes | str) -> dict[str, Any] | None:
    """The JSON object in ``payload``; None for anything else, however deep, long or wrong."""
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):  # ValueError: also an integer of more than 4,300 digits
        return None
    return found if isinstance(found, dict) else None


def shown(value: Any, indent: int | None = None) -> str:
    """JSON for a terminal: still JSON, with escapes for what `text` would not let through."""
    written = json.dumps(value, indent=indent, ensure_ascii=False)
    if written.isprintable():
        return written
    # Outside of its texts JSON has line feeds only, and inside them they are escaped already.
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in written)


def number(value: Any, low: float, high: float) -> bool:
    """True for a number from ``low`` to ``high``; not for true, NaN, Infinity or 1e999."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return low <= value <= high and (isinstance(value, int) or math.isfinite(value))


def short(value: object) -> str:
    """`text` for a cell of a table on a terminal, cut where it would push out the others."""
    found = text(str(value)[: _MOST_CELL + 1])
    return found if len(found) <= _MOST_CELL else found[:_MOST_CELL] + "…"


def cell(value: object) -> str:
    """A cell of a CSV file: `text`, and a formula becomes text by an apostrophe before it.

    Numbers stay as they are.
    """
    found = text(value)
    harmless = isinstance(value, (int, float)) or re.fullmatch(r"-?\d+(\.\d+)?", found)
    if harmless or not str(value).lstrip().startswith(_FORMULA):
        return found
    return f"'{found}"
