"""The queue of a bench: which things still need a board, and which board got which thing.

fleet.csv has a column `thing` (or `thing_name`, `name`); flashed.csv is the record, one row a
board, appended when it is verified. Both are plain files: a bench can stop and go on any time.
"""

from __future__ import annotations

import csv
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from tools.errors import ToolError

RECORD = "flashed.csv"
FIELDS = ("thing", "mac", "chip", "board", "micropython", "firmware", "port", "time")


@dataclass(frozen=True)
class Row:
    """One flashed board."""

    thing: str
    mac: str
    chip: str
    board: str
    micropython: str
    firmware: str
    port: str
    time: str


class Queue:
    """The queue of things, and the record; safe to use from several threads."""

    def __init__(self, things: list[str], folder: Path) -> None:
        self.record = folder / RECORD
        self._lock = threading.Lock()
        self._rows = self._read()
        done = {row.thing for row in self._rows}
        self._queue = [name for name in things if name not in done]
        folder.mkdir(parents=True, exist_ok=True)

    def thing_of(self, mac: str) -> str:
        """The thing that this board got last, "" if none."""
        with self._lock:
            return next((row.thing for row in reversed(self._rows) if row.mac == mac), "")

    def take(self, fits: set[str]) -> str:
        """Take the first waiting thing that is in ``fits``; "" when there is none."""
        with self._lock:
            name = next((name for name in self._queue if name in fits), "")
            if name:
                self._queue.remove(name)
            return name

    def waiting(self) -> list[str]:
        """The queue as it is now."""
        with self._lock:
            return list(self._queue)

    def give_back(self, thing: str) -> None:
        """The board failed: the thing is the next again."""
        with self._lock:
            self._queue.insert(0, thing)

    def done(self, row: Row) -> None:
        """Note a verified board; on disk when this returns."""
        with self._lock:
            fresh = not self.record.exists()
            with self.record.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, FIELDS)
                if fresh:
                    writer.writeheader()
                writer.writerow(vars(row))
                file.flush()
                os.fsync(file.fileno())
            self._rows.append(row)

    def _read(self) -> list[Row]:
        try:
            with self.record.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            # A line that a power cut left half written has no time: that board is done again.
            return [Row(**{f: row[f] for f in FIELDS}) for row in rows if row.get("time")]
        except FileNotFoundError:
            return []
        except (OSError, KeyError, csv.Error) as e:
            hint = f"the first line must be {','.join(FIELDS)}"
            raise ToolError(f"{self.record} is damaged: {e}", hint) from e
