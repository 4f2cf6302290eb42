"""One command for many things: side by side, with progress, and one that fails stops no other."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from tools import wire
from tools.errors import ToolError
from tools.options import which_thing
from tools.things import fleet
from tools.things.folder import check_name

From = Annotated[
    Path | None,
    typer.Option("--from", metavar="FLEET.CSV", help="every thing in it; - is the input"),
]
PARALLEL = 8
_MOST_SHOWN = 5
T = TypeVar("T")
R = TypeVar("R")


def one_or_many(command: str, thing: str, file: Path | None) -> None:
    """ToolError for neither a thing nor a fleet file, and for both."""
    if bool(thing) == bool(file):
        raise ToolError("give one thing, or --from") if file else which_thing(command, fleet=True)


def targets(command: str, thing: str, file: Path | None) -> list[str]:
    """The one thing, or those of the fleet file; ToolError for none and for both."""
    one_or_many(command, thing, file)
    return fleet.names(file) if file else [check_name(thing)]


def with_pairs(
    command: str, thing: str, pairs: Sequence[str], file: Path | None
) -> tuple[list[str], list[str]]:
    """(things, KEY=VALUE ...) where the first pair stands in place of the thing, with --from."""
    first = [thing] if file and "=" in thing else []
    return targets(command, "" if first else thing, file), [*first, *pairs]


def counted(things: Sequence[str]) -> str:
    """The things for a question: the only one, or how many."""
    return things[0] if len(things) == 1 else f"{len(things)} things"


def each(
    items: Iterable[T],
    one: Callable[[T], R],
    at_once: int = PARALLEL,
    stop: Callable[[], object] = lambda: None,
) -> Generator[R, None, None]:
    """What ``one`` returns for every item, as each ends.

    Closing it, as Ctrl-C does, lets those under way come to their end and begins no more;
    ``stop`` is called then.
    """
    running: set[Future[R]] = set()
    with ThreadPoolExecutor(at_once) as pool, contextlib.ExitStack() as stack:
        stack.callback(stop)
        for item in items:
            running.add(pool.submit(one, item))
            if len(running) >= at_once:
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ended)
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in ended)


def run(
    things: Sequence[str],
    one: Callable[[str], str],
    at_once: int = PARALLEL,
    stop: Callable[[], object] = lambda: None,
) -> None:
    """Do ``one`` for every thing, and print the line it returns (nothing for "").

    With more than one thing a ToolError counts as failed; the last word is a ToolError then.
    """
    if len(things) == 1:
        _say(one(things[0]))
        return

    def safely(thing: str) -> tuple[str, str, str | None]:
        try:
            return thing, one(thing), None
        except ToolError as e:
            return thing, "", " ".join(str(e).split())
        except OSError as e:
            return thing, "", f"{e.filename}: {e.strerror}"

    failed: list[str] = []
    for thing, line, error in progress(each(things, safely, at_once, stop), len(things)):
        if error is not None:
            failed.append(f"{thing}: {error}")
            typer.echo(wire.text(failed[-1]), err=True)
        _say(line)
    finish(len(things) - len(failed), failed)


class Pace:
    """At most ``per_minute`` begin in a minute, 0: no limit; ToolError once ``stop`` is set."""

    def __init__(self, per_minute: float, stop: threading.Event) -> None:
        self._per_minute, self._stop = per_minute, stop
        self._next, self._lock = 0.0, threading.Lock()

    def wait(self) -> None:
        """Until the next may begin."""
        if not self._per_minute:
            return
        with self._lock:
            now = time.monotonic()
            due = max(now, self._next)
            self._next = due + 60 / self._per_minute
        if self._stop.wait(due - now):
            raise ToolError("interrupted before it began")


def _say(line: str) -> None:
    if line:
        typer.echo(line)


def finish(done: int, failed: Sequence[str]) -> None:
    """The last line of a bulk command; ToolError with the first of ``failed``."""
    typer.echo(f"{done} done, {len(failed)} failed")
    if failed:
        shown = [f"{len(failed)} failed:", *failed[:_MOST_SHOWN]]
        raise ToolError("\n  ".join(shown), "mend them and run it again")


def progress(results: Generator[R, None, None], total: int, what: str = "things") -> Iterator[R]:
    """``results``, with a bar on the terminal that counts them; closes them in the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), Remaining())
    shared = sys.stdout.isatty()  # else what is printed has to stay on standard output
    bar = Progress(*columns, console=Console(stderr=True), redirect_stdout=shared)
    with bar, contextlib.closing(results):
        task = bar.add_task(what, total=total)
        for result in results:
            bar.advance(task)
            yield result
