"""`doctor`: show each finding as it is known; exit 0 only if all is well."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from tools.aws.cli_things import Local, Thing, home

_MARKS = {"ok": ("ok", "green"), "failed": ("FAIL", "red"), "untried": ("-", "dim")}


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command("doctor")(doctor)


def doctor(
    thing: Thing,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="the thing's folder; default: things/THING")
    ] = None,
    port: Annotated[
        str, typer.Option("-p", "--port", help="also ask the board on this port")
    ] = "",
    local: Local = False,
) -> None:
    """Say what is wrong between THING and AWS, and the command that mends it.

    With --port the board itself is asked too; it restarts. Exit code 0 only if all is well.
    """
    from rich.console import Console
    from rich.text import Text

    from tools.aws import clients
    from tools.aws import doctor as practice

    console = Console(highlight=False, soft_wrap=True)
    folder = home(thing, out, local)
    findings = practice.examine(clients.of(local), thing, folder)
    if port:
        from tools.aws import doctor_board
        from tools.aws.folder import Folder

        findings = itertools.chain(findings, doctor_board.examine(port, thing, Folder(folder)))
    failed = 0
    for finding in findings:
        mark, colour = _MARKS.get(finding.state, ("?", "yellow"))
        failed += finding.state == practice.FAILED
        console.print(Text(f"{mark:<5}", colour), Text(f"{finding.check}: {finding.text}"), sep="")
        if finding.remedy:
            console.print(Text(f"       try: {finding.remedy}"))
    if failed:
        raise typer.Exit(1)
