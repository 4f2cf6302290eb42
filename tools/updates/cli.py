"""The commands of updates: each group of them registers itself."""

from __future__ import annotations

import typer

from tools.updates import cli_claim, cli_release


def register(app: typer.Typer) -> None:
    """Add the commands of this package to ``app``."""
    cli_release.register(app)
    cli_claim.register(app)
