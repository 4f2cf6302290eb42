"""`rules apply`, `rules show` and `rules destroy`: parse, show each step as it is done."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from tools import wire
from tools.aws.rules import documents, sql
from tools.aws.rules.documents import TARGETS
from tools.options import Local, Yes, completed, sure

_RuleName = Annotated[
    str, typer.Option("--name", help="of the rules; several sets can live side by side")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="What AWS does with the readings.")
    for command in (apply, show, destroy):
        group.command(command.__name__)(command)
    app.add_typer(group, name="rules")


def _with_targets(command: Callable[..., None]) -> Callable[..., None]:
    """``command``, whose last parameter is **to, with an option for each target."""
    signature = inspect.signature(command, eval_str=True)
    *own, _ = signature.parameters.values()
    options = [
        inspect.Parameter(
            f"to_{kind}",
            inspect.Parameter.KEYWORD_ONLY,
            default="",
            annotation=Annotated[str, typer.Option(t.option, metavar=t.metavar, help=t.help)],
        )
        for kind, t in TARGETS.items()
    ]
    made: Any = command
    made.__signature__ = signature.replace(parameters=[*options, *own])
    return command


@_with_targets
def apply(
    *,
    alarm: Annotated[
        str, typer.Option(metavar="'temperature > 30'", help="mail only while this holds")
    ] = "",
    where: Annotated[
        str, typer.Option(metavar="'humidity > 0'", help="hand on only these; AND, OR, NOT, ( )")
    ] = "",
    select: Annotated[
        str, typer.Option(metavar="SQL", help="what is handed on, as in AWS IoT SQL")
    ] = sql.SELECT,
    topic: Annotated[str, typer.Option(metavar="FILTER")] = sql.TOPIC,
    name: _RuleName = "fieldmouse",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only say what would be done")
    ] = False,
    local: Local = False,
    **to: str,
) -> None:
    """Hand readings on: to e-mail, DynamoDB, S3, Lambda; or only those that raise an alarm.

    Makes the SNS topic and subscription, table, bucket, IAM role with the least it needs, and the
    topic rules. Run again, it does what is missing and sets right what differs: "+" comes, "-"
    goes. NAME_readings and NAME_alarm are two rules; the one that is not named stays as it is.
    """
    from tools.aws import clients
    from tools.aws.rules import apply as rules

    home = rules.home_of(clients.of(local), name)
    named = {kind: value for kind in TARGETS if (value := to[f"to_{kind}"])}
    wanted = documents.Wanted(named, topic, select, where, alarm)
    steps = rules.plan(wanted, home)
    for what, state, lines in rules.apply(steps, dry_run):
        would = "would be " if dry_run and state != "there" else ""
        words = {"there": "is there", "missing": "made", "differs": "set right"}
        _print(f"{what}: {would}{words[state]}", lines if state != "there" else [])
    again = shlex.join(["python", "-m", "tools", *(w for w in sys.argv[1:] if w != "--dry-run")])
    _notes([*sql.notes(select, topic), *rules.notes(wanted, home, again)])


def show(name: _RuleName = "fieldmouse", local: Local = False) -> None:
    """What is in AWS under this name, and the rights of its role against those the rules need.

    "-": a right that no rule needs; "+": one that a rule needs and does not have.
    """
    from tools.aws import clients
    from tools.aws.rules import apply as rules

    home = rules.home_of(clients.of(local), name)
    again = completed(f"python -m tools rules apply --name {name}")
    states = set()
    for what, state, lines in rules.show(home):
        _print(what if state == "there" else f"{what}: {state}", lines)
        states.add(state)
    if not states:
        typer.echo(f"there is nothing named {name}")
    right = [f"{again} sets the role right"] if states - {"there"} else []
    options = f"{again} with the options it was made with, and"
    _notes([*right, *rules.notes(None, home, options)])


def _print(what: str, lines: list[str]) -> None:
    for line in (what, *(f"  {line}" for line in lines)):
        typer.echo(wire.text(line))


def _notes(notes: Iterable[str]) -> None:
    for note in notes:
        typer.echo(wire.text(f"note: {note}"), err=True)


def destroy(
    name: _RuleName = "fieldmouse",
    with_data: Annotated[
        bool,
        typer.Option("--with-data", help="also the table and bucket, with all that is in them"),
    ] = False,
    yes: Yes = False,
    local: Local = False,
) -> None:
    """Remove what `rules apply` has made under this name, but no readings unless --with-data."""
    from tools.aws import clients
    from tools.aws.rules import apply as rules

    made = clients.of(local)
    data = " and the stored readings" if with_data else ""
    sure(f"Remove the rules {name}{data} from {made.region}?", yes)
    nothing = True
    for line in rules.destroy(rules.home_of(made, name), with_data):
        _print(line, [])
        nothing = False
    if nothing:
        typer.echo(f"there is nothing named {name}")
