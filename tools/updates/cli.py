"""The commands for releases and rollouts."""

from __future__ import annotations

import typer

from tools.updates import cli_claim, cli_release, cli_rollout


def register(app: typer.Typer) -> None:
    """Add the commands of this package to ``app``."""
    cli_claim.register(app)
    cli_release.register(app)
    cli_rollout.register(app)
