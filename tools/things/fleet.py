"""A fleet as a CSV file, for every command that takes many things; `-` is standard input.

    thing,type,board,site,floor
    greenhouse-1,thermometer,esp32,north,2

`thing` (or `thing_name`, `name`) is required; `type` and `board` are optional; every other column
is an attribute of the thing.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.errors import ToolError
from tools.things import boards
from tools.things.values import thing_name

# botocore's model of CreateThing
_ATTRIBUTE_NAME = re.compile(r"[a-zA-Z0-9_.,@/:#-]{1,128}")
_ATTRIBUTE_VALUE = re.compile(r"[a-zA-Z0-9_.,@/:#-]{0,800}")
_TYPE = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_PLAIN_ATTRIBUTES = 3  # a thing without a type has no more
_MAX_PROBLEMS = 20


@dataclass(frozen=True)
class Spec:
    """What a thing is to be. ``settings``: its config.json but for thing name and endpoint.

    ``updates``: it is to take updates by jobs, if its board and power can and nothing says false.
    """

    thing: str
    thing_type: str = ""
    board: str = "esp32"
    attributes: Mapping[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    updates: bool = False

    def problems(self) -> list[str]:
        """What AWS would refuse of it but for the name, or we of its board."""
        found = []
        if self.thing_type and not _TYPE.fullmatch(self.thing_type):
            found.append(f"type {self.thing_type!r} is no name for a thing type in AWS")
        if self.board not in boards.names():
            found.append(f"no such board: {self.board!r}; one of {', '.join(boards.names())}")
        for name, value in self.attributes.items():
            if not _ATTRIBUTE_NAME.fullmatch(name):
                found.append(f"{name!r} is no name for an attribute in AWS")
            if not _ATTRIBUTE_VALUE.fullmatch(value):
                found.append(f"{name}: AWS takes letters, digits and _.,@/:#- only")
        if not self.thing_type and len(self.attributes) > _PLAIN_ATTRIBUTES:
            found.append(f"{len(self.attributes)} attributes; without a type AWS takes 3")
        return found

    def check(self) -> None:
        """ToolError with the problems."""
        if problems := self.problems():
            raise ToolError("\n  ".join([f"{self.thing or 'this'} cannot be made:", *problems]))


def names(path: Path) -> list[str]:
    """The things of a fleet file, in its order; its other columns may hold anything."""
    return [spec.thing for spec in read(path, names_only=True)]


def read(path: Path, names_only: bool = False) -> list[Spec]:
    """The rows of a fleet file; ToolError with every problem at once, by line."""
    lines = _lines(path)
    header = _header(lines[0]) if lines else []
    problems = [] if "thing" in header else ["line 1: no column named thing"]
    problems += [f"line 1: column {n} twice" for n in sorted(set(header)) if header.count(n) > 1]
    rows: list[Spec] = []
    seen: dict[str, int] = {}
    for number, cells in enumerate([] if problems else lines[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        row = _row(dict(zip(header, (cell.strip() for cell in cells), strict=False)))
        wrong = thing_name(row.thing)
        found = [f"thing {row.thing!r} {wrong}"] if wrong else []
        if len(cells) > len(header):
            found.append(f"{len(cells)} cells, but {len(header)} columns")
        found += [] if names_only else row.problems()
        if row.thing in seen:
            found.append(f"{row.thing} is on line {seen[row.thing]} already")
        seen.setdefault(row.thing, number)
        problems += [f"line {number}: {text}" for text in found]
        rows.append(row)
    # From a pipe that is an answer: nothing is to be done.
    if not problems and not rows and str(path) != "-":
        problems.append("no things in it")
    if problems:
        left = len(problems) - _MAX_PROBLEMS
        more = [f"and {left} more"] if left > 0 else []
        raise ToolError("\n  ".join([f"{path}:", *problems[:_MAX_PROBLEMS], *more]))
    return rows


def _lines(path: Path) -> list[list[str]]:
    try:
        given = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8-sig")
        return list(csv.reader(given.splitlines(), strict=True))
    except OSError as e:
        raise ToolError(f"{path}: {e.strerror}", "a CSV file with a column `thing`") from e
    except (UnicodeDecodeError, csv.Error) as e:
        raise ToolError(f"{path} is not a CSV file in UTF-8: {e}") from e


def _header(cells: list[str]) -> list[str]:
    header = [name.strip() for name in cells]
    if "thing" in header:
        return header
    other = next((name for name in ("thing_name", "name") if name in header), None)
    return ["thing" if name == other else name for name in header]


def _row(values: dict[str, str]) -> Spec:
    thing, kind = values.pop("thing", ""), values.pop("type", "")
    board = values.pop("board", "") or "esp32"
    return Spec(thing, kind, board, {k: v for k, v in values.items() if v})
