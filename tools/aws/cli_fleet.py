"""`provision --from FLEET.CSV`: the progress bar, the result file, what to say at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import typer

from tools import wire
from tools.aws import fleet
from tools.aws.clients import Clients
from tools.aws.fleet import Result
from tools.aws.policies import Policies
from tools.errors import ToolError


def run(
    made: Clients, file: Path, things: Path, settings: dict[str, Any], policies: Policies
) -> None:
    """Provision every row of ``file``; progress on the terminal, results beside the file."""
    rows = fleet.read(file)
    fleet.Limiter().attach(made.iot)
    results: list[Result] = []
    target = file.with_name(file.stem + "-result.csv")
    try:
        for result in _progress(
            fleet.provision_all(made, rows, things, settings, policies=policies), len(rows)
        ):
            results.append(result)
    finally:
        if results:
            fleet.write_result(target, results)
    count = {s: sum(r.status == s for r in results) for s in ("made", "there", "failed")}
    typer.echo(
        f"{count['made']} made, {count['there']} there already, {count['failed']} failed; {target}"
    )
    failed = [r for r in results if r.status == "failed"]
    if failed:
        shown = [f"{r.thing}: {r.error}" for r in failed[:5]]
        raise ToolError("\n  ".join([f"{len(failed)} failed:", *shown]), "run it again")


def _progress(results: Generator[Result, None, None], total: int) -> Iterator[Result]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("things"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=Console(stderr=True)) as bar, contextlib.closing(results):
        task = bar.add_task("things", total=total)
        for result in results:
            if result.status == "failed":
                bar.console.print(wire.text(f"{result.thing}: {result.error}"), markup=False)
            bar.advance(task)
            yield result
