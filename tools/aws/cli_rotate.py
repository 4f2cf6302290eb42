"""The command `rotate`, by cable or by jobs, which cli_things.py adds to the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.errors import ToolError
from tools.options import Local, Thing, home, seconds
from tools.things import bulk

_Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="the thing's folder; default: things/THING")
]
_Now = Annotated[bool, typer.Option("--now", help="do not wait: for a board that is dead")]
_Remote = Annotated[bool, typer.Option("--remote", help="by jobs, without a cable")]
_Grace = Annotated[str, typer.Option(metavar="TIME", help="--remote: as 1d, 12h, 0")]
_Delete = Annotated[bool, typer.Option("--delete-old", help="--remote: not only INACTIVE")]
_PerMinute = Annotated[float, typer.Option(min=0, metavar="N", help="--remote: begun, at most")]


def rotate(
    thing: Thing = "",
    fleet: bulk.From = None,
    out: _Out = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="wait for the device")] = 600,
    now: _Now = False,
    remote: _Remote = False,
    grace: _Grace = "1d",
    finish: Annotated[bool, typer.Option("--finish", help="--remote: end the grace now")] = False,
    delete_old: _Delete = False,
    per_minute: _PerMinute = 0,
    local: Local = False,
) -> None:
    """Give THING a new key and certificate; the old one goes when the new one has connected.

    Puts the new ones into the folder of THING, then waits while you bring them onto the board
    (make deploy). Interrupted, or timed out, it continues when it is run again. Needed in IAM to
    wait: iot:Connect on client/fieldmouse-*, iot:Subscribe and iot:Receive on
    $aws/events/presence/connected/THING (of a fleet: on connected/+ and connected/*).

    --remote: no cable, the board makes its key itself; run again after --grace it switches the
    old certificate off. In IAM: iot:CreateJob, iot:DescribeJobExecution (docs/updates.md).
    """
    from tools.aws import clients

    names = bulk.targets("rotate", thing, fleet)
    folders = {name: folder_of(name, out, fleet, local) for name in names}
    if remote:
        from tools.aws import rotate_remote as by_job

        if now:
            raise ToolError("a board that is dead makes no key", "--now without --remote")
        how = by_job.How(timeout, seconds(grace), finish, delete_old, per_minute)
        by_job.rotate(clients.of(local), folders, how)
        return
    from tools.aws import rotate as rotation

    if finish or delete_old or per_minute or grace != "1d":
        raise ToolError("--grace, --finish, --delete-old and --per-minute go with --remote")
    rotation.rotate(clients.of(local), folders, timeout, now)


def folder_of(thing: str, out: Path | None, fleet: Path | None, local: bool) -> Path:
    """--out is the folder of the one thing, or holds those of a fleet."""
    return home(thing, out / thing if out and fleet else out, local)
