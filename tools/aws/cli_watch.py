"""The commands that look at a fleet: parse, listen or reckon, show."""

from __future__ import annotations

import contextlib
import queue
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.aws.cli_things import Local
from tools.errors import ToolError

if TYPE_CHECKING:
    from tools.aws.watch import Watch

_REFRESH_S = 0.25
_Csv = Annotated[Path | None, typer.Option(metavar="FILE", help="append the readings")]
_Plot = Annotated[Path | None, typer.Option(metavar="FILE.png", help="draw them at the end")]
_Data = Annotated[str, typer.Option(metavar="FILTER", help="where readings go")]
_Certs = Annotated[
    Path | None, typer.Option("-C", "--certs", metavar="DIR", help="instead of AWS credentials")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command("watch")(watch)
    app.command("cost")(cost)


def watch(
    things: Annotated[list[str] | None, typer.Argument(metavar="[THING...]")] = None,
    csv: _Csv = None,
    plot: _Plot = None,
    data: _Data = "devices/+/data",
    certs: _Certs = None,
    count: Annotated[int, typer.Option("-n", "--count", min=0, help="readings, then end")] = 0,
    local: Local = False,
) -> None:
    """Show readings and shadow changes as they arrive, until Ctrl-C; default: of all things.

    Needed in IAM (or the policy of -C): iot:Connect on client/fieldmouse-*, iot:Subscribe on
    topicfilter/ and iot:Receive on topic/ of devices/+/data and
    $aws/things/+/shadow/update/documents. Whose a reading is says its topic, at the place of the
    only + in --data; one that says it is another's is odd: counted, named, not taken.
    """
    from tools.aws import clients, viewer
    from tools.aws import watch as watching

    draw = watching.plotter() if plot else None
    seen = watching.Watch(things or [], csv, data=data)
    arrived: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    try:
        with viewer.listening(
            clients.of(local),
            [data, watching.SHADOWS],
            lambda topic, payload: arrived.put((topic, payload)),
            lambda text: typer.echo(text, err=True),
            certs,
        ):
            _show(seen, arrived, count)
    finally:
        seen.close()
        if draw and plot and any(thing.count for thing in seen.things.values()):
            draw(seen, plot)
            typer.echo(f"drawn: {plot}")


def _show(seen: Watch, arrived: queue.SimpleQueue[tuple[str, bytes]], count: int) -> None:
    """A live table on a terminal; elsewhere a line for each reading."""
    from rich.live import Live

    from tools import wire

    odd = 0
    live = Live(seen.table(), refresh_per_second=4) if sys.stdout.isatty() else None
    with live or contextlib.nullcontext():
        while not count or sum(thing.count for thing in seen.things.values()) < count:
            try:
                topic, payload = arrived.get(timeout=_REFRESH_S)
            except queue.Empty:
                continue
            seen.take(topic, payload)
            if live:
                live.update(seen.table())
            else:
                typer.echo(wire.message(topic, payload))
                if seen.odd > odd:
                    odd = seen.odd
                    typer.echo(f"odd message {odd}: {seen.odd_last}", err=True)


def cost(
    things: Annotated[int, typer.Option(min=1)] = 100,
    interval: Annotated[int, typer.Option(min=1, max=86_400, metavar="SECONDS")] = 60,
    actions: Annotated[int, typer.Option(min=0, max=10, help="of a topic rule; 0: no rule")] = 0,
    basic_ingest: Annotated[bool, typer.Option("--basic-ingest", help="needs a rule")] = False,
    region: Annotated[
        str, typer.Option(help="us-east-1 stands for its price class")
    ] = "us-east-1",
) -> None:
    """Estimate the monthly cost of a fleet on AWS IoT Core, and say what would lower it."""
    from rich.console import Console
    from rich.table import Table

    from tools.aws import cost as costs

    if region not in costs.PRICES:
        raise ToolError(f"no prices for {region}", f"--region {' or '.join(costs.PRICES)}")
    if basic_ingest and not actions:
        raise ToolError("Basic Ingest reaches rules only", "--actions 1")
    fleet = costs.Fleet(things, interval, actions, basic_ingest)
    prices = costs.PRICES[region]
    found = costs.estimate(fleet, prices)
    table = Table("USD a month", "", box=None, show_footer=False)
    for name in ("connectivity", "messaging", "shadow", "rules", "total"):
        table.add_row(name, f"{getattr(found, name):10.2f}")
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{things} things, a reading every {interval} s, region class {region}; prices as of "
        f"{costs.PRICES_OF}, without free tier and tax: aws.amazon.com/iot-core/pricing"
    )
    for advice, saved in costs.savings(fleet, prices):
        console.print(f"saves {saved:8.2f}: {advice}", markup=False)
