"""`claim template`, `claim sweep`, and `bench-flash`: parse, ask, show what is done."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools import wire
from tools.errors import ToolError
from tools.options import BoardName, Local, Yes, sure

if TYPE_CHECKING:
    from tools.aws.rules.target import Home
    from tools.updates.bench import Claims
    from tools.updates.claim import Wanted

_Name = Annotated[str, typer.Option("--name", metavar="TEMPLATE", help="of the template")]
_Fleet = Annotated[Path, typer.Option(metavar="FILE", help="CSV with a column `thing`")]
_Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="record and labels; default: beside the CSV")
]
_Ports = Annotated[
    list[str] | None, typer.Option("--port", "-p", help="only this port; may be repeated")
]
_Firmware = Annotated[
    Path | None, typer.Option(metavar="FILE", help="a MicroPython .bin of your own")
]
_Baud = Annotated[int, typer.Option(help="falls back to 115200 when the link fails")]
_Once = Annotated[bool, typer.Option(help="end when the boards now plugged in are done")]
_Claim = Annotated[
    str, typer.Option(metavar="TEMPLATE", help="boards make their own key; `claim template`")
]
_Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="with --claim: config.json of all, without thing_name"),
]
_Bench = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="of the bench: for topics of your own"),
]
_Serials = Annotated[
    Path | None, typer.Option(metavar="FILE.CSV", help="a fleet file: the allowed things")
]
_WORDS = {"there": "is there", "missing": "made", "differs": "set right"}


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    group = typer.Typer(no_args_is_help=True, help="First boot without the laptop's secrets.")
    for command in (template, sweep):
        group.command(command.__name__)(command)
    app.add_typer(group, name="claim")
    app.command("bench-flash")(bench_flash)


def template(
    name: _Name = "fieldmouse",
    config: _Bench = None,
    hook: Annotated[
        bool, typer.Option("--hook", help="only the serial numbers of --serials may register")
    ] = False,
    serials: _Serials = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="take it out again; boards keep their certificates")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only say what would be done")
    ] = False,
    yes: Yes = False,
    local: Local = False,
) -> None:
    """Let boards register themselves: provisioning template, IAM role, and with --hook a list.

    Run again, it does what is missing and sets right what differs; a hook that is there stays.
    It ends with the policy that the bench needs in IAM: one action on this one template.
    """
    from tools.aws import clients
    from tools.aws.rules import apply
    from tools.updates import claim

    if hook != (serials is not None):
        raise ToolError("--hook and --serials go together", "--hook --serials fleet.csv")
    made = clients.of(local)
    home = apply.home_of(made, claim.check_name(name))
    if remove:
        _remove(home, dry_run, yes)
        return
    wanted = _wanted(home, config, serials)
    for what, state, lines in apply.apply(claim.plan(home, wanted), dry_run):
        would = "would be " if dry_run and state != "there" else ""
        for line in (f"{what}: {would}{_WORDS[state]}", *(f"  {x}" for x in lines)):
            if state != "there" or not line.startswith("  "):
                typer.echo(wire.text(line))
    typer.echo("the bench needs this in IAM, and nothing else:")
    typer.echo(json.dumps(claim.bench_policy(home), indent=2))


def _wanted(home: Home, config: Path | None, serials: Path | None) -> Wanted:
    from tools.aws import policy
    from tools.things import fleet
    from tools.updates import bench, claim

    raw = bench.configuration(config) if config else {}
    topics = [
        raw.get("telemetry_topic", policy.DATA_TOPIC),
        raw.get("command_topic", policy.COMMAND_TOPIC),
    ]
    updates = [True] if raw.get("updates") else []
    policies = policy.documents(home.arn("iot", ""), *topics, *updates)
    return claim.Wanted(policies, fleet.names(serials) if serials else None)


def _remove(home: Home, dry_run: bool, yes: bool) -> None:
    from tools.updates import claim

    if not dry_run:
        sure(f"Remove the template {home.name} from {home.region}?", yes)
    lines = 0
    for line in claim.remove(home, dry_run):
        typer.echo(wire.text(line))
        lines += 1
    if not lines:
        typer.echo(f"there is no template {home.name}")


def sweep(
    name: _Name = "fieldmouse",
    delete: Annotated[
        bool, typer.Option("--delete", help="delete them, after a question")
    ] = False,
    yes: Yes = False,
    local: Local = False,
) -> None:
    """List certificates that no board came back with: pending; active without a thing, or beside a
    newer one for the same key.

    A power cut between two answers of AWS leaves them. Those younger than an hour are passed over:
    a board may be about to use them. AWS deletes pending ones by itself.
    """
    from tools.aws import clients
    from tools.aws.rules import apply
    from tools.things import bulk
    from tools.updates import orphans

    home = apply.home_of(clients.of(local), name)
    rows, policies = orphans.listed(home)
    found = []
    look = orphans.find(home, rows, policies, dt.datetime.now(dt.timezone.utc))
    for orphan in bulk.progress(look, len(rows), "certificates"):
        if orphan:
            found.append(orphan)
            when = f"{orphan.created:%Y-%m-%d %H:%M}"
            line = f"{orphan.number[:10]}…  {orphan.status}  since {when} UTC"
            twin = f"  {orphan.thing} has a newer one for its key" if orphan.thing else ""
            typer.echo(wire.text(line + twin))
    typer.echo(f"{len(found)} orphans among {len(rows)} certificates")
    if not found or not delete:
        return
    sure(f"Delete {len(found)} certificates from {home.region}?", yes)
    gone = sum(orphans.discard(home, orphan) for orphan in found)
    typer.echo(f"{gone} deleted")


def bench_flash(
    fleet: _Fleet,
    out: _Out = None,
    port: _Ports = None,
    board: BoardName = "",
    firmware: _Firmware = None,
    baud: _Baud = 921600,
    again: Annotated[bool, typer.Option(help="another thing for a board that has one")] = False,
    once: _Once = False,
    claim: _Claim = "",
    config: _Config = None,
) -> None:
    """Flash a bench full of boards: each that is plugged in gets the next thing of the fleet.

    With --claim no thing is provisioned before, and no key of a board is ever on this computer:
    each board gets a claim that is good for five minutes and registers itself.
    """
    from tools.board.bench_flash import Bench
    from tools.things import folder as things

    made = _claims(claim, config)
    bench = Bench(
        fleet=fleet,
        out=out or fleet.parent / f"{fleet.stem}-flashed",
        things=things.things_dir(),
        ports=tuple(port or ()),
        board=board,
        firmware=firmware,
        baud=baud,
        again=again,
        once=once,
        claim=made.tree if made else None,
    )
    bench.run()
    left = len(bench.queue.waiting())
    typer.echo(f"{bench.flashed} flashed, {bench.failed} failed, {left} things left")
    if bench.failed:
        raise typer.Exit(1)


def _claims(template: str, config: Path | None) -> Claims | None:
    if bool(template) != bool(config):
        raise ToolError(
            "--claim and --config go together", "--claim fieldmouse --config bench.json"
        )
    if config is None:
        return None
    from tools.aws import clients
    from tools.updates import bench, claim

    name, of_bench = claim.check_name(template), bench.configuration(config)
    return bench.Claims(clients.of(False).iot, name, of_bench)
