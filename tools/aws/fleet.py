"""A fleet from a CSV file: things provisioned in parallel, below AWS's rates, resumable.

    thing,type,board,site,floor
    greenhouse-1,thermometer,esp32,north,2

`thing` (or `thing_name`, `name`) is required; `type` and `board` are optional; every other column
is an attribute of the thing. A thing whose folder is complete is not asked for again, so an
interrupted run continues.
"""

from __future__ import annotations

import csv
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools import wire
from tools.aws.clients import Clients
from tools.aws.errors import explained
from tools.aws.folder import Folder
from tools.aws.policies import Policies
from tools.aws.provision import Order, Place, fulfil, place_of
from tools.board import boards
from tools.errors import ToolError
from tools.things.values import thing_name

PER_SECOND = 8.0  # of any one call: at most 9 in any second; AWS takes 10/s (General Reference)
PARALLEL = 8
RESULT_COLUMNS = ("thing", "status", "certificate_id", "folder", "error")
_ATTRIBUTE_NAME = re.compile(r"[a-zA-Z0-9_.,@/:#-]{1,128}")  # botocore's model of CreateThing
_ATTRIBUTE_VALUE = re.compile(r"[a-zA-Z0-9_.,@/:#-]{0,800}")
_TYPE = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_PLAIN_ATTRIBUTES = 3  # a thing without a type has no more
_MAX_PROBLEMS = 20


@dataclass(frozen=True)
class Row:
    """One line of the fleet."""

    thing: str
    thing_type: str = ""
    board: str = "esp32"
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """How it went: status "made", "there" (complete before) or "failed"."""

    thing: str
    status: str
    certificate_id: str = ""
    folder: str = ""
    error: str = ""


def read(path: Path) -> list[Row]:
    """The rows of a fleet file; ToolError with every problem at once, by line."""
    try:
        text = path.read_text("utf-8-sig")
        lines = list(csv.reader(text.splitlines(), strict=True))
    except OSError as e:
        raise ToolError(f"{path}: {e.strerror}") from e
    except (UnicodeDecodeError, csv.Error) as e:
        raise ToolError(f"{path} is not a CSV file in UTF-8: {e}") from e
    header = _header(lines[0]) if lines else []
    problems = _header_problems(header)
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for number, cells in enumerate(lines[1:], 2):
        if problems and number == 2:
            break
        if not any(cell.strip() for cell in cells):
            continue
        values = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        row = _row(values)
        wrong = _row_problems(row, len(cells), len(header))
        if row.thing in seen:
            wrong.append(f"{row.thing} is on line {seen[row.thing]} already")
        seen.setdefault(row.thing, number)
        problems += [f"line {number}: {text}" for text in wrong]
        rows.append(row)
    if not problems and not rows:
        problems.append("no things in it")
    if problems:
        more = (
            [f"and {len(problems) - _MAX_PROBLEMS} more"] if len(problems) > _MAX_PROBLEMS else []
        )
        raise ToolError("\n  ".join([f"{path}:", *problems[:_MAX_PROBLEMS], *more]))
    return rows


def _header(cells: list[str]) -> list[str]:
    names = [name.strip() for name in cells]
    if "thing" in names:
        return names
    other = next((name for name in ("thing_name", "name") if name in names), None)
    return ["thing" if name == other else name for name in names]


def _header_problems(header: list[str]) -> list[str]:
    problems = [] if "thing" in header else ["line 1: no column named thing"]
    problems += [f"line 1: column {n} twice" for n in sorted(set(header)) if header.count(n) > 1]
    odd = [n for n in header if not _ATTRIBUTE_NAME.fullmatch(n)]
    return problems + [f"line 1: {n!r} is no name for an attribute in AWS" for n in odd]


def _row(values: dict[str, str]) -> Row:
    thing, kind = values.pop("thing", ""), values.pop("type", "")
    board = values.pop("board", "") or "esp32"
    return Row(thing, kind, board, {k: v for k, v in values.items() if v})


def _row_problems(row: Row, cells: int, columns: int) -> list[str]:
    wrong = thing_name(row.thing)
    problems = [f"thing {row.thing!r} {wrong}"] if wrong else []
    if cells > columns:
        problems.append(f"{cells} cells, but {columns} columns")
    if row.thing_type and not _TYPE.fullmatch(row.thing_type):
        problems.append(f"type {row.thing_type!r} is no name for a thing type in AWS")
    if row.board not in boards.names():
        problems.append(f"no such board: {row.board!r}")
    odd = [k for k, v in row.attributes.items() if not _ATTRIBUTE_VALUE.fullmatch(v)]
    problems += [f"{k}: AWS takes letters, digits and _.,@/:#- only" for k in odd]
    if not row.thing_type and len(row.attributes) > _PLAIN_ATTRIBUTES:
        problems.append(f"{len(row.attributes)} attributes; without a type AWS takes 3")
    return problems


class Limiter:
    """Keeps calls of one kind 1/``per_second`` apart, over all threads."""

    def __init__(
        self,
        per_second: float = PER_SECOND,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._gap_s = 1 / per_second
        self._clock, self._sleep = clock, sleep
        self._last: dict[str, float] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._guard = threading.Lock()

    def wait(self, kind: str) -> None:
        """Return when the next call of this kind is due."""
        with self._guard:
            lock = self._locks[kind]
        # Held while it sleeps: a thread that wakes late must not bring two calls together.
        with lock:
            due = self._last.get(kind, self._clock() - self._gap_s) + self._gap_s
            while (left := due - self._clock()) > 0:
                self._sleep(left)
            self._last[kind] = self._clock()

    def attach(self, iot: Any) -> None:
        """Hold back every attempt of a boto3 client, its own retries included."""

        def before(event_name: str, **_: Any) -> None:
            self.wait(event_name)

        iot.meta.events.register("before-send.iot", before)


def provision_all(
    clients: Clients,
    rows: list[Row],
    things: Path,
    settings: dict[str, Any],
    *,
    place: Place | None = None,
    policies: Policies | None = None,
) -> Generator[Result, None, None]:
    """Provision every row into ``things``/NAME; yields a Result as each thing ends.

    A failed thing does not stop the others. Closing the iterator, as Ctrl-C does, lets the
    things under way come to their end and begins no more.
    """
    with explained():
        where = place or place_of(clients)
    shared = policies or Policies(clients.iot, keep=True)

    def one(row: Row) -> Result:
        folder = Folder(things / row.thing)
        order = Order(row.thing, settings, row.board, row.thing_type, row.attributes)
        try:
            with explained():
                made = fulfil(clients.iot, order, folder, where, shared)
        except ToolError as e:
            return Result(row.thing, "failed", error=" ".join(str(e).split()))
        except OSError as e:
            return Result(row.thing, "failed", error=f"{e.filename}: {e.strerror}")
        return Result(row.thing, "made", made.record.certificate_id, str(folder.path))

    yield from _in_parallel(one, rows, things)


def _in_parallel(
    one: Callable[[Row], Result], rows: list[Row], things: Path
) -> Generator[Result, None, None]:
    waiting = iter(rows)
    running: set[Future[Result]] = set()
    with ThreadPoolExecutor(PARALLEL) as pool:
        for row in waiting:
            done_before = _complete(row, things)
            if done_before is not None:
                yield done_before
                continue
            running.add(pool.submit(one, row))
            if len(running) >= PARALLEL:
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ended)
        ended, _ = wait(running)
        yield from (future.result() for future in ended)


def _complete(row: Row, things: Path) -> Result | None:
    folder = Folder(things / row.thing)
    try:
        record = folder.record()
    except ToolError:
        return None  # damaged: fulfil() says so
    whole = record is not None and record.complete and folder.key.exists()
    if record is None or not whole:
        return None
    return Result(row.thing, "there", record.certificate_id, str(folder.path))


def write_result(path: Path, results: list[Result]) -> None:
    """Write the result CSV, whole."""
    scratch = path.with_name(path.name + ".new")
    with scratch.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(RESULT_COLUMNS)
        for r in results:
            # tools/board/fleet.py reads the names back.
            name = r.thing if thing_name(r.thing) is None else wire.cell(r.thing)
            cells = (r.status, r.certificate_id, r.folder, r.error)
            writer.writerow([name, *map(wire.cell, cells)])
    scratch.replace(path)
