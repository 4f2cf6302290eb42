"""The commands about a board: parse, call one function, print its result."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from tools.board import flash_cli


class _Board(str, Enum):
    esp32 = "esp32"
    esp8266 = "esp8266"


def register(app: typer.Typer) -> None:
    """Add the commands of this package to ``app``."""
    app.command("stage")(stage)
    app.command("traceback")(traceback)
    flash_cli.register(app)


def stage(
    config: Annotated[Path, typer.Option(metavar="FILE", help="the config.json to check and use")],
    certs: Annotated[
        Path, typer.Option(metavar="DIR", help="folder with the CA, certificate and private key")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="new, empty, or an earlier output")],
    board: Annotated[_Board, typer.Option(help="what it is for")] = _Board.esp32,
    sensor: Annotated[
        list[str] | None,
        typer.Option(metavar="CHIP", help="whose drivers go on; default: what fits the board"),
    ] = None,
    py: Annotated[
        bool, typer.Option("--py", help="firmware as .py to look into; takes twice the heap")
    ] = False,
) -> None:
    """Check a configuration and certificates and write the file system of a board.

    The names of the AWS console are understood (*-certificate.pem.crt, *-private.pem.key,
    AmazonRootCA1.pem), and cert.pem, key.pem, ca.pem, certificate.pem.crt, private.key,
    private.pem.key. `data/` in the output, where a board keeps its readings, is left alone.
    """
    from rich.console import Console

    from tools.board import stage as staging

    made = staging.stage(config, certs, out, board.value, compiled=not py, sensors=sensor or ())
    until = made.certificates.certificate.not_valid_after_utc
    Console(highlight=False, soft_wrap=True).print(
        f"{made.out}: {made.config['thing_name']} for {board.value}, firmware {made.version}, "
        f"{len(made.files)} files, certificate valid to {until:%Y-%m-%d}",
        markup=False,
    )


def traceback(
    file: Annotated[
        typer.FileText,
        typer.Argument(metavar="FILE", help="a log with tracebacks; - for the input"),
    ] = "-",  # type: ignore[assignment]
    board: Annotated[_Board, typer.Option(help="where the log comes from")] = _Board.esp32,
) -> None:
    """Show a board's log with the files and lines of the sources in its tracebacks.

    On a board some files of the firmware are one, and on an ESP8266 all have short names: `File
    "app", line 812` becomes `File "firmware/outbox.py", line 97`. The sources here must be those
    on the board.
    """
    from tools import wire
    from tools.board import stage as staging

    typer.echo(wire.text(staging.source_lines(file.read(), board.value), lines=True), nl=False)
