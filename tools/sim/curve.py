"""A curve of the air by time, from a file: what ``csv:FILE`` stands for.

    seconds,temperature,humidity
    0,21.5,45
    3600,24,40

Between two lines it goes straight, before the first and after the last it stays as it is there.
"""

from __future__ import annotations

import csv
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.errors import ToolError

PREFIX = "csv:"
COLUMNS = ("seconds", "temperature", "humidity", "pressure", "co2")
_MOST_BYTES = 16 * 1024**2
_MOST_S = 1_000_000
_ABOVE = 1 << 29  # what is added to each value, so that none is negative (shims/_scene.py)
_HINT = "a file such as: seconds,temperature,humidity / 0,21.5,45 / 3600,24,40"


@dataclass(frozen=True)
class Curve:
    """One column of a file: milliseconds since power-on, and thousandths of the unit."""

    path: Path
    columns: tuple[str, ...]
    points: tuple[tuple[int, int], ...]

    def packed(self) -> bytes:
        """As shims/_scene.py reads it."""
        return b"".join(struct.pack("<II", ms, value + _ABOVE) for ms, value in self.points)


def read(text: str, name: str, low: float, high: float) -> Curve:
    """The column for ``name`` ("temperature", "sensors[0].co2") of the file in "csv:FILE".

    ToolError names the line that is wrong.
    """
    path = Path(text.removeprefix(PREFIX))
    rows = _rows(path, name)
    number, header = next(rows, (1, []))
    columns = tuple(cell.strip().lower() for cell in header)
    wanted = name.rpartition(".")[2]
    for column in columns:
        if column not in COLUMNS or columns.count(column) > 1:
            known = f"each of {', '.join(COLUMNS)} once"
            raise ToolError(f"{name}: {path}, line 1: column {column!r}; {known}", _HINT)
    for column in ("seconds", wanted):
        if column not in columns:
            raise ToolError(f"{name}: {path}, line 1: no column {column!r}", _HINT)
    points: list[tuple[int, int]] = []
    for number, cells in rows:
        where = f"{name}: {path}, line {number}"
        if len(cells) != len(columns):
            said = f"{len(cells)} values for {len(columns)} columns"
            raise ToolError(f"{where}: {said}", _HINT)
        cell = dict(zip(columns, cells, strict=True))
        ms = _thousandths(cell["seconds"], 0, _MOST_S, where)
        if points and ms <= points[-1][0]:
            raise ToolError(f"{where}: seconds do not rise: {cell['seconds'].strip()}", _HINT)
        points.append((ms, _thousandths(cell[wanted], low, high, where)))
    if not points:
        raise ToolError(f"{name}: {path} has no values", _HINT)
    return Curve(path, columns, tuple(points))


def located(document: Any, folder: Path) -> Any:
    """The same world, with the curves it names in ``folder``."""
    if isinstance(document, list):
        return [located(row, folder) for row in document]
    if not isinstance(document, dict):
        return document
    made = dict(document)
    for key, value in document.items():
        if key == "sensors":
            made[key] = located(value, folder)
        elif key in COLUMNS and isinstance(value, str) and value.startswith(PREFIX):
            made[key] = f"{PREFIX}{folder / value.removeprefix(PREFIX)}"
    return made


def _rows(path: Path, name: str) -> Iterator[tuple[int, list[str]]]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ToolError(f"{name}: {path}: is larger than {_MOST_BYTES:,} bytes", _HINT)
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            return iter([(reader.line_num, cells) for cells in reader if any(cells)])
    except OSError as e:
        raise ToolError(f"{name}: {path}: {e.strerror}", "csv:FILE") from e
    except (UnicodeDecodeError, csv.Error) as e:
        raise ToolError(f"{name}: {path}: is no CSV: {e}", _HINT) from e


def _thousandths(text: str, low: float, high: float, where: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ToolError(f"{where}: {text.strip()!r} is no number", _HINT)
    if not low <= value <= high:
        raise ToolError(f"{where}: {value:g} is outside {low:g} to {high:g}", _HINT)
    return round(value * 1000)
