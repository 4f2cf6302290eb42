"""The commands about AWS: parse, call one function, print its result."""

from __future__ import annotations

import typer

from tools.aws import cli_doctor, cli_rules, cli_shadow, cli_talk, cli_things, cli_watch


def register(app: typer.Typer) -> None:
    """Add the commands of this package to ``app``."""
    for module in (cli_things, cli_shadow, cli_talk, cli_watch, cli_rules, cli_doctor):
        module.register(app)
