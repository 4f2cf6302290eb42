"""`rollout`, `rollout status`, `rollout cancel`: parse, ask, show how far it is."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools import wire
from tools.errors import ToolError
from tools.options import Local, Yes, completed, sure

if TYPE_CHECKING:
    from tools.aws.clients import Clients
    from tools.updates.rollout import Plan, States, Tell

_Release = Annotated[str, typer.Argument(metavar="VERSION|FILE", help="0.4.0, or a .release")]
_These = Annotated[str, typer.Option(metavar="a,b", help="these; the canaries first")]
_Group = Annotated[str, typer.Option(metavar="NAME", help="a thing group of AWS")]
_All = Annotated[bool, typer.Option("--all", help="every thing")]
_Canary = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="so many first; default: 1, where there are more"),
]
_PerMinute = Annotated[
    int, typer.Option(min=0, max=1000, metavar="N", help="boards that begin; 0: no limit")
]
_AbortAbove = Annotated[
    str, typer.Option(metavar="PERCENT", help="stop when more than so many have failed")
]
_Timeout = Annotated[
    float, typer.Option("--timeout-h", min=0.02, max=168, metavar="H", help="for each wave")
]
_Releases = Annotated[Path, typer.Option(metavar="DIR", help="where VERSION is")]
_Bucket = Annotated[
    str, typer.Option(help="default: fieldmouse-releases-ACCOUNT-REGION; made if missing")
]
_Role = Annotated[
    str, typer.Option(metavar="ARN|NAME", help="default: fieldmouse-streams, made if missing")
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="only say what would be done")]
_Id = Annotated[str, typer.Argument(metavar="ID", help="as `rollout status` names it")]


_HELP = (
    "A release to many boards, by AWS IoT Jobs.\n\n`rollout VERSION …` is "
    "`rollout start VERSION …`: `rollout start --help` has its options."
)


class _Rollout(typer.core.TyperGroup):
    """`rollout VERSION …` is `rollout start VERSION …`."""

    @property
    def usual(self) -> Any:
        """The command that needs not be named."""
        return self.commands["start"]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "-h", "--help"):
            args = ["start", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    group = typer.Typer(cls=_Rollout, no_args_is_help=True, help=_HELP)
    for command in (start, status, cancel):
        group.command(command.__name__)(command)
    app.add_typer(group, name="rollout")


def start(
    release: _Release,
    things: _These = "",
    group: _Group = "",
    everything: _All = False,
    canary: _Canary = None,
    per_minute: _PerMinute = 0,
    abort_above: _AbortAbove = "5%",
    timeout_h: _Timeout = 24,
    releases: _Releases = Path("releases"),
    bucket: _Bucket = "",
    role: _Role = "",
    dry_run: _DryRun = False,
    yes: Yes = False,
    local: Local = False,
) -> None:
    """Update boards over the air: canaries first, then the rest, stopping when too many fail.

    Puts the release into S3, and makes the stream that boards fetch it from, and the jobs that
    tell them to. Ctrl-C ends only the watching. The same command again goes on where it was;
    where it was stopped, with the boards that do not have the release.

    Left out is what the folder of a thing says cannot be updated: an ESP8266, a board on a
    battery, one without "updates": true. Exit code 0 when all others have it. docs/updates.md.
    """
    from tools.aws import clients
    from tools.updates import rollout, stream

    image, limit = stream.image(release, releases), _percent(abort_above)
    made = clients.of(local)
    names = [name for name in things.split(",") if name]
    kept = _fit(made, rollout.choose(made.iot, names, group, everything))
    first = min(len(kept), int(len(kept) > 1) if canary is None else canary)
    home = stream.home_of(made)
    plan = rollout.Plan(image, home, kept, first, per_minute, limit, timeout_h)
    _say(plan, dry_run)
    _bring(plan, bucket or stream.bucket_of(home), role, dry_run, yes)
    if not dry_run:
        _run(made.iot, plan)
        typer.echo(f"{_things(len(kept))}: {image.version}")


def _fit(made: Clients, chosen: list[str]) -> tuple[str, ...]:
    """Those that can be updated; says why the others are left out."""
    from tools.updates import rollout

    reasons = rollout.left_out(made, chosen)
    for thing, why in reasons.items():
        typer.echo(wire.text(f"left out: {thing}: {why}"), err=True)
    kept = tuple(thing for thing in chosen if thing not in reasons)
    if not kept:
        raise ToolError("there is no thing to update", "python -m tools things")
    return kept


def _bring(plan: Plan, bucket: str, role: str, dry_run: bool, yes: bool) -> None:
    """Ask, then make what the jobs need."""
    from tools.aws.rules import apply as rules
    from tools.updates import stream

    steps = list(stream.steps(plan.home, plan.image, bucket, role))
    if not dry_run:
        number = _things(len(plan.things))
        sure(f"Update {number} to {plan.image.version}, by way of the bucket {bucket}?", yes)
    for what, state, _ in rules.apply(steps, dry_run):
        would = "would be " if dry_run and state != rules.THERE else ""
        words = {rules.THERE: "is there", rules.MISSING: "made", rules.DIFFERS: "set right"}
        typer.echo(wire.text(f"{what}: {would}{words[state]}"))


def _percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise ToolError(f"--abort-above: {text!r} is no percentage", "--abort-above 5%")
    return value


def _things(number: int) -> str:
    return f"{number} thing{'' if number == 1 else 's'}"


def _say(plan: Plan, dry_run: bool) -> None:
    would = "would go" if dry_run else "goes"
    typer.echo(f"rollout {plan.id}: {plan.image.version} {would} to {_things(len(plan.things))}")
    for wave, things in plan.waves():
        shown = ", ".join(things[:10]) + (f", … {len(things) - 10} more" * (len(things) > 10))
        typer.echo(wire.text(f"  {wave}: {shown}"))


def _run(iot: Any, plan: Plan) -> None:
    from tools.updates import rollout

    look = completed(f"python -m tools rollout status {plan.id}")
    stop = completed(f"python -m tools rollout cancel {plan.id}")
    waves: list[str] = []
    try:
        with _shown() as tell:

            def told(wave: str, states: States) -> None:
                waves.append(wave)
                tell(wave, states)

            rollout.run(iot, plan, told)
    except (KeyboardInterrupt, ToolError) as e:
        if not isinstance(e, rollout.Stopped):
            canaries = waves[-1:] == ["canary"] and len(plan.things) > plan.canaries
            rest = "; the rest is not begun before this is run again" if canaries else ""
            typer.echo(f"\nAWS goes on with it{rest}\nlook: {look}\nstop: {stop}", err=True)
        raise


@contextlib.contextmanager
def _shown() -> Iterator[Tell]:
    """A bar for each wave with the number of things by state; where there is none, lines."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from tools.updates import jobs, rollout

    console = Console(stderr=True)
    columns = (
        *(TextColumn("{task.description:6}"), BarColumn(), MofNCompleteColumn()),
        TextColumn("{task.fields[counts]}"),
    )
    tasks: dict[str, Any] = {}
    said: dict[str, str] = {}
    failed: set[str] = set()
    with Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty()) as bar:

        def tell(wave: str, states: States) -> None:
            counts = rollout.counted(states)
            if wave not in tasks:
                tasks[wave] = bar.add_task(wave, total=len(states), counts="")
            seen = Counter(states.values())
            ended = len(states) - seen[jobs.QUEUED] - seen[jobs.IN_PROGRESS]
            bar.update(tasks[wave], completed=ended, counts=counts)
            if not console.is_terminal and said.get(wave) != counts:
                typer.echo(f"{wave}: {counts}", err=True)
            said[wave] = counts
            new = {t for t, s in states.items() if s in jobs.BAD} - failed
            failed.update(new)
            for thing in sorted(new):
                typer.echo(wire.text(f"{thing}: {states[thing]}"), err=True)

        yield tell


def status(
    rollout_id: Annotated[str, typer.Argument(metavar="[ID]", help="default: all, in short")] = "",
    local: Local = False,
) -> None:
    """How far a rollout is: its jobs, boards by state, and why some have failed."""
    from tools.aws import clients
    from tools.updates import rollout

    iot = clients.of(local).iot
    if rollout_id:
        for line in rollout.status(iot, rollout_id):
            typer.echo(wire.text(line))
        return
    lines = list(rollout.in_short(iot))
    for line in lines or ["there is no rollout"]:
        typer.echo(wire.text(line))


def cancel(
    rollout_id: _Id,
    force: Annotated[
        bool,
        typer.Option("--force", help="also for boards that have begun"),
    ] = False,
    local: Local = False,
) -> None:
    """Cancel a rollout: boards that have not begun keep what they have."""
    from tools.aws import clients
    from tools.updates import rollout

    gone = rollout.cancel(clients.of(local).iot, rollout_id, force)
    for line in [f"{job_id}: cancelled" for job_id in gone] or ["nothing is under way"]:
        typer.echo(wire.text(line))
