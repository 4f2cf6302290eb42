"""The commands about AWS, in the order of the help."""

from __future__ import annotations

import typer

from tools.aws import cli_rules, cli_shadow, cli_things, cli_watch
from tools.aws.command import command
from tools.aws.publish import publish, subscribe


def register(app: typer.Typer) -> None:
    """Add the commands of this package to ``app``."""
    cli_things.register(app)
    for one in (command, publish, subscribe):
        app.command(one.__name__)(one)
    for module in (cli_shadow, cli_watch, cli_rules):
        module.register(app)
