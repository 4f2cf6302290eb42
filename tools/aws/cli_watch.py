"""The commands that look at a fleet: parse, listen or reckon, show."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.errors import ToolError
from tools.options import Local, Where

if TYPE_CHECKING:
    from tools.aws.clients import Clients
    from tools.aws.watch import Watch

    News = tuple[str, bytes] | Callable[[], None]  # a message, or what else is to be done
    Arrived = queue.SimpleQueue[News]

_REFRESH_S = 0.25
_Csv = Annotated[Path | None, typer.Option(metavar="FILE", help="append the readings")]
_Plot = Annotated[Path | None, typer.Option(metavar="FILE.png", help="draw them at the end")]
_Data = Annotated[str, typer.Option(metavar="FILTER", help="where readings go")]
_Certs = Annotated[
    Path | None, typer.Option("-C", "--certs", metavar="DIR", help="instead of AWS credentials")
]


def register(app: typer.Typer) -> None:
    app.command("watch")(watch)
    app.command("cost")(cost)


def watch(
    things: Annotated[list[str] | None, typer.Argument(metavar="[THING...]")] = None,
    where: Where = "",
    csv: _Csv = None,
    plot: _Plot = None,
    data: _Data = "devices/+/data",
    certs: _Certs = None,
    count: Annotated[int, typer.Option("-n", "--count", min=0, help="readings, then end")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="one object a line: docs/aws.md")
    ] = False,
    local: Local = False,
) -> None:
    """Show readings, shadow changes and health as they arrive, until Ctrl-C; default: all things.

    Needed in IAM (or the policy of -C): iot:Connect on client/fieldmouse-*, iot:Subscribe on
    topicfilter/ and iot:Receive on topic/ of devices/+/data, devices/+/status,
    devices/+/commands/result and $aws/things/+/shadow/update/documents; to know what was before,
    what `things` needs. Whose a reading is says its topic, at the place of the only + in --data;
    one that says it is another's is odd: counted, named, not taken.
    """
    from tools.aws import clients, health_filter
    from tools.aws import plot as plotting
    from tools.aws import watch as watching

    draw = plotting.plotter() if plot else None
    accept, made = health_filter.parse(where), clients.of(local)
    seen = watching.Watch(things or [], csv, data=data, accept=accept)
    live = sys.stdout.isatty() and not as_json
    try:
        with _arriving(made, seen, [data, *watching.OTHERS], certs) as arrived:
            if (live or where) and certs is None:
                _learn(made, things, seen, arrived)
            _show(seen, arrived, count, live, as_json)
    finally:
        seen.close()
        if draw and plot and any(thing.count for thing in seen.things.values()):
            draw(seen, plot)
            typer.echo(f"drawn: {plot}")


@contextlib.contextmanager
def _arriving(
    made: Clients, seen: Watch, filters: list[str], certs: Path | None
) -> Iterator[Arrived]:
    from tools.aws import viewer

    arrived: Arrived = queue.SimpleQueue()

    def on_link(text: str) -> None:
        typer.echo(text, err=True)
        arrived.put(partial(seen.link, text))

    with viewer.listening(made, filters, lambda *news: arrived.put(news), on_link, certs):
        yield arrived


def _learn(made: Clients, wanted: list[str] | None, seen: Watch, arrived: Arrived) -> None:
    """Ask AWS, beside all else, what was before; what cannot be asked stays unknown."""
    from tools.aws import collect

    def ask() -> None:
        with contextlib.suppress(ToolError):
            for evidence in collect.each(made, wanted or []):
                arrived.put(partial(seen.learn, evidence))

    threading.Thread(target=ask, name="asking", daemon=True).start()


def _show(seen: Watch, arrived: Arrived, count: int, live: bool, as_json: bool = False) -> None:
    """A live table, or a line for each event, until ``count`` readings have come."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    view = Live(console=console, auto_refresh=False) if live else None
    readings, shown_at = 0, 0.0
    with view or contextlib.nullcontext():
        while not count or readings < count:
            with contextlib.suppress(queue.Empty):
                news = arrived.get(timeout=_REFRESH_S)
                readings += _take(seen, news, live, as_json)
            last = 0 < count <= readings
            if view and (last or time.monotonic() - shown_at > _REFRESH_S):
                made = seen.table(console.width, console.height - 3, "watch")
                view.update(made, refresh=True)
                shown_at = time.monotonic()


def _take(seen: Watch, news: News, live: bool, as_json: bool) -> bool:
    """True for a reading that is shown."""
    from tools.aws import watch as watching

    if callable(news):
        news()
        return False
    odd = seen.odd
    event = seen.take(*news)
    if seen.odd > odd and not live:
        typer.echo(f"odd message {seen.odd}: {seen.odd_last}", err=True)
    if event is None or seen.health(event.thing) is None:
        return False
    if as_json:
        typer.echo(watching.json_line(event, time.time()))
    elif event.text and not live:
        typer.echo(event.text)
    return event.kind == "reading"


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
    fleet = costs.Usage(things, interval, actions, basic_ingest)
    prices = costs.PRICES[region]
    table = Table("USD a month", "", box=None, show_footer=False)
    for name, usd in costs.estimate(fleet, prices).items():
        table.add_row(name, f"{usd:10.2f}")
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{things} things, a reading every {interval} s, region class {region}; prices as of "
        f"{costs.PRICES_OF}, without free tier and tax: aws.amazon.com/iot-core/pricing"
    )
    for advice, saved in costs.savings(fleet, prices):
        console.print(f"saves {saved:8.2f}: {advice}", markup=False)
