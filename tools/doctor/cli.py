"""`doctor`: show each finding as it is known; exit 0 only if all is well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.options import Local, Thing, completed, home

if TYPE_CHECKING:
    from rich.console import Console

    from tools.doctor.run import Finding

# state -> (mark in a file, on a terminal, colour)
_MARKS = {
    "ok": ("ok", "✓", "green"),
    "failed": ("FAIL", "✗", "red"),
    "untried": ("-", "-", "dim"),
    "unknown": ("?", "?", "yellow"),
}


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(
    thing: Thing,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="the thing's folder; default: things/THING")
    ] = None,
    port: Annotated[
        str,
        typer.Option("-p", "--port", metavar="PORT", help="also ask the board there; it restarts"),
    ] = "",
    listen: Annotated[
        float | None,
        typer.Option(min=0, metavar="S", help="wait so long for a reading; default: by interval"),
    ] = None,
    local: Local = False,
) -> None:
    """Say what is wrong between THING and AWS, and the command that mends it.

    In this order: configuration; key and certificate; endpoint, TCP, TLS;
    account, clock; the certificate in AWS, its thing, its policies; that another
    client id is refused; why the last session ended; what the board reports, and
    its readings: it listens until one comes, a minute at most.
    With --port also: its files, its last crash, and how it boots.

    ok: good. FAIL: mend it as the line below says. -: needs one that failed.
    ?: cannot be known. Nothing is changed, and a board that is connected stays so
    (but for --port, which restarts it). See docs/doctor.md.

    Exit code 0: nothing has failed; 1: something has; 2: it could not look.
    """
    from rich.console import Console

    failed = False
    console = Console(highlight=False, soft_wrap=True)
    with console.status("") as status:
        look = _findings(thing, home(thing, out, local), port, local, status.update, listen)
        for finding in look:
            failed = failed or finding.state == "failed"
            _show(console, finding)
    if failed:
        raise typer.Exit(1)


def _findings(
    thing: str,
    folder: Path,
    port: str,
    local: bool,
    starting: Callable[[str], object],
    listen_s: float | None,
) -> Iterator[Finding]:
    from tools.aws import clients
    from tools.doctor import run

    yield from run.examine(clients.of(local), thing, folder, starting, listen_s)
    if port:
        from tools.doctor import board as doctor_board
        from tools.things.folder import Folder

        starting("board")
        yield from doctor_board.examine(port, thing, Folder(folder))


def _show(console: Console, finding: Finding) -> None:
    from rich.text import Text

    from tools import wire

    plain, drawn, colour = _MARKS[finding.state]
    fancy = console.is_terminal and (console.encoding or "").lower().startswith("utf")
    mark = f"{drawn:<2}" if fancy else f"{plain:<5}"
    console.print(Text(mark, colour), Text(f"{finding.check}: {wire.text(finding.text)}"), sep="")
    if finding.remedy:
        remedy = wire.text(completed(finding.remedy))
        console.print(Text(f"{' ' * len(mark)}  try: {remedy}"))
