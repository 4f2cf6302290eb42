"""`rules apply` and `rules destroy`: parse, show each step as it is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from tools.aws.cli_things import Local, terminal
from tools.errors import ToolError

_RuleName = Annotated[
    str, typer.Option("--name", help="of the rules; several sets can live side by side")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    group = typer.Typer(no_args_is_help=True, help="What AWS does with the readings.")
    group.command("apply")(apply)
    group.command("destroy")(destroy)
    app.add_typer(group, name="rules")


def apply(
    sns_email: Annotated[
        str, typer.Option(metavar="ADDRESS", help="readings, or with --alarm only those")
    ] = "",
    dynamodb: Annotated[str, typer.Option(metavar="TABLE", help="made if missing")] = "",
    s3: Annotated[str, typer.Option(metavar="BUCKET", help="made if missing")] = "",
    function: Annotated[
        str, typer.Option("--lambda", metavar="ARN", help="gets each reading")
    ] = "",
    alarm: Annotated[
        str, typer.Option(metavar="'temperature > 30'", help="AND, OR; humidity, pressure")
    ] = "",
    topic: Annotated[str, typer.Option(metavar="FILTER")] = "devices/+/data",
    name: _RuleName = "fieldmouse",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only say what would be done")
    ] = False,
    local: Local = False,
) -> None:
    """Hand readings on: to e-mail, DynamoDB, S3, Lambda; or only those that raise an alarm.

    Makes the SNS topic and subscription, table, bucket, IAM role with the least it needs, and the
    topic rules. Run again, it does what is missing and sets right what differs.
    """
    from tools.aws import clients, rules, rules_aws

    made = clients.of(local)
    wanted = rules.Wanted(name, topic, sns_email, dynamodb, s3, function, alarm).check()
    steps = rules_aws.plan(made, wanted, rules_aws.home_of(made))
    words = {
        "there": "is there",
        "missing": "would be made" if dry_run else "made",
        "differs": "would be set right" if dry_run else "set right",
    }
    for what, state in rules_aws.apply(steps, dry_run):
        typer.echo(f"{what}: {words[state]}")


def destroy(
    name: _RuleName = "fieldmouse",
    with_data: Annotated[
        bool,
        typer.Option("--with-data", help="also the table and bucket, with all that is in them"),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    local: Local = False,
) -> None:
    """Remove what `rules apply` has made under this name, but no readings unless --with-data."""
    from tools.aws import clients, rules_aws, rules_destroy

    made = clients.of(local)
    if not yes:
        if not terminal():
            raise ToolError("this removes things for good and asks first", "--yes to not be asked")
        data = " and the stored readings" if with_data else ""
        if not typer.confirm(f"Remove the rules {name}{data} from {made.region}?", err=True):
            raise ToolError("nothing was removed")
    done = list(_echo(rules_destroy.destroy(made, name, rules_aws.home_of(made), with_data)))
    if not done:
        typer.echo(f"there is nothing named {name}")


def _echo(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        typer.echo(line)
        yield line
