"""The commands about AWS: parse, call one function, print its result."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tools.aws import cli_things
from tools.aws.cli_things import Local, Thing

_Pairs = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="value as JSON or text")
]
_Name = Annotated[str, typer.Option("--name", help="a named shadow instead of the classic one")]


def register(app: typer.Typer) -> None:
    """Add the commands of this package to ``app``."""
    cli_things.register(app)
    group = typer.Typer(no_args_is_help=True, help="Read, change or delete a thing's shadow.")
    group.command("get")(shadow_get)
    group.command("set")(shadow_set)
    group.command("delete")(shadow_delete)
    app.command("command")(command)
    app.add_typer(group, name="shadow")


def shadow_get(thing: Thing, name: _Name = "", local: Local = False) -> None:
    """Print the shadow of THING as JSON."""
    from tools.aws import clients, shadow
    from tools.errors import ToolError

    made = clients.of(local)
    found = shadow.get(made.data, thing, name)
    if found is None:
        shadow.check_thing(made.iot, thing)
        raise ToolError(f"{thing} has no shadow yet", "a device makes it when it first connects")
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False))


def shadow_set(
    thing: Thing,
    pairs: _Pairs = None,
    name: _Name = "",
    wait: Annotated[bool, typer.Option(help="until the device has answered")] = True,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="how long to wait")] = 60,
    local: Local = False,
) -> None:
    """Wish for settings of THING, for example interval_s=5, and wait until it has taken them.

    A value of null takes a wish back. Settings are checked by the firmware's own table first;
    those of a named shadow are not, as the firmware knows only the classic one.
    """
    from rich.console import Console

    from tools.aws import clients, shadow
    from tools.errors import ToolError

    made, wishes = clients.of(local), shadow.parse(pairs or [])
    if not wishes:
        raise ToolError("nothing to set", f"shadow set {thing} interval_s=30")
    before = shadow.get(made.data, thing, name)
    if before is None:
        shadow.check_thing(made.iot, thing)
    if not name:
        shadow.check(wishes, ((before or {}).get("state") or {}).get("reported") or {})
    version = shadow.wish(made.data, thing, wishes, name)
    typer.echo(f"{thing}: wished, shadow version {version}")
    if name or not wait:
        return
    with Console(stderr=True).status(f"waiting for {thing} to report it"):
        said = shadow.follow(lambda: shadow.get(made.data, thing), wishes, timeout)
    for key in said.met:
        typer.echo(f"{thing}: {key} is {json.dumps(wishes[key])}")
    problems = [f"{key}: the device refuses: {why}" for key, why in said.refused.items()]
    problems += [f"{key}: no answer within {timeout:g} s" for key in said.open]
    if problems:
        undo = " ".join(f"{key}=null" for key in (*said.refused, *said.open))
        raise ToolError("\n  ".join(problems), f"the wish stays; take it back with {undo}")


def shadow_delete(thing: Thing, name: _Name = "", local: Local = False) -> None:
    """Delete the shadow of THING; the device makes a new one when it next connects."""
    from tools.aws import clients, shadow

    gone = shadow.delete(clients.of(local).data, thing, name)
    typer.echo(f"{thing}: {'shadow deleted' if gone else 'there was no shadow'}")


def command(
    thing: Thing,
    action: Annotated[str, typer.Argument(help="set_reporting_interval, read_now, reboot, …")],
    pairs: _Pairs = None,
    ident: Annotated[str, typer.Option("--id", help="done once per id; default: a new one")] = "",
    local: Local = False,
) -> None:
    """Send a command to THING: read_now, identify, reboot, get_log, set_reporting_interval.

    The outcome comes on devices/THING/commands/result.
    """
    from tools.aws import clients, shadow
    from tools.aws import command as commands

    payload = commands.build(action, shadow.parse(pairs or []), ident)
    made = clients.of(local)
    shadow.check_thing(made.iot, thing)
    topic = commands.topic_of(thing)
    commands.send(made.data, topic, payload)
    typer.echo(f"{topic}: {payload.decode()}")
