"""`provision` of a fleet: in parallel, below AWS's rates, resumable.

A thing whose folder is complete is not asked for again, so an interrupted run continues.
"""

from __future__ import annotations

import csv
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import typer

from tools import wire
from tools.aws.clients import Clients
from tools.aws.errors import explained
from tools.aws.policy import Policies
from tools.aws.provision import ensure, place_of
from tools.errors import ToolError
from tools.things import bulk
from tools.things import fleet as files
from tools.things.fleet import Spec
from tools.things.folder import Folder
from tools.things.values import thing_name

PER_SECOND = 8.0  # of any one call: at most 9 in any second; AWS takes 10/s (General Reference)


class Result(NamedTuple):
    """How it went: status "made", "there" (complete before) or "failed"."""

    thing: str
    status: str
    certificate_id: str = ""
    folder: str = ""
    error: str = ""


class Limiter:
    """Keeps calls of one kind 1/PER_SECOND apart, over all threads."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._guard = threading.Lock()

    def wait(self, kind: str) -> None:
        """Return when the next call of this kind is due."""
        with self._guard:
            lock = self._locks[kind]
        # Held while it sleeps: a thread that wakes late must not bring two calls together.
        with lock:
            due = self._last.get(kind, 0.0) + 1 / PER_SECOND
            while (left := due - time.monotonic()) > 0:
                time.sleep(left)
            self._last[kind] = time.monotonic()

    def attach(self, iot: Any) -> None:
        """Hold back every attempt of a boto3 client, its own retries included."""

        def before(event_name: str, **_: Any) -> None:
            self.wait(event_name)

        iot.meta.events.register("before-send.iot", before)


def provision(
    clients: Clients,
    file: Path,
    things: Path,
    settings: dict[str, Any],
    policies: Policies,
    updates: bool = False,
) -> None:
    """Provision every row of ``file``; progress on the terminal, results beside the file."""
    rows = files.read(file)
    Limiter().attach(clients.iot)
    results: list[Result] = []
    target = Path("fleet-result.csv")
    if str(file) != "-":
        target = file.with_name(file.stem + "-result.csv")
    making = provision_all(clients, rows, things, settings, policies, updates)
    try:
        for result in bulk.progress(making, len(rows)):
            results.append(result)
            if result.status == "failed":
                typer.echo(wire.text(f"{result.thing}: {result.error}"), err=True)
    finally:
        if results:
            write_result(target, results)
    count = Counter(r.status for r in results)
    typer.echo(f"{count['made']} made, {count['there']} there already; {target}")
    failed = [f"{r.thing}: {r.error}" for r in results if r.status == "failed"]
    bulk.finish(len(results) - len(failed), failed)


def provision_all(
    clients: Clients,
    specs: Sequence[Spec],
    things: Path,
    settings: dict[str, Any],
    policies: Policies | None = None,
    updates: bool = False,
) -> Generator[Result, None, None]:
    """Provision every thing into ``things``/NAME; a Result as each ends, as bulk.each() does.

    A failed thing does not stop the others. One that is complete is asked about again only where
    ``policies`` are to be brought up to date.
    """
    where = place_of(clients)
    shared = policies or Policies(clients.iot, keep=True)

    def one(spec: Spec) -> Result:
        folder = Folder(things / spec.thing)
        try:
            before = folder.record()
            there = before and before.complete and not shared.update
            if before and there and (before.key_on_board or folder.key.exists()):
                return Result(spec.thing, "there", before.certificate_id, str(folder.path))
            wanted = replace(spec, settings=settings, updates=updates)
            with explained():
                made = ensure(clients.iot, wanted, folder, where, shared)
        except ToolError as e:
            return Result(spec.thing, "failed", error=" ".join(str(e).split()))
        except OSError as e:
            return Result(spec.thing, "failed", error=f"{e.filename}: {e.strerror}")
        status = "made" if made.fresh else "there"
        return Result(spec.thing, status, made.record.certificate_id, str(folder.path))

    return bulk.each(specs, one)


def write_result(path: Path, results: list[Result]) -> None:
    """Write the result CSV, whole."""
    scratch = path.with_name(path.name + ".new")
    with scratch.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Result._fields)
        for r in results:
            # tools/things/fleet.py reads the names back.
            name = r.thing if thing_name(r.thing) is None else wire.cell(r.thing)
            writer.writerow([name, *map(wire.cell, r[1:])])
    scratch.replace(path)
