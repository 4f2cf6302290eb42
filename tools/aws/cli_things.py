"""The commands that make and end things: parse, call one function, print its result."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools.errors import ToolError

if TYPE_CHECKING:
    from tools.aws.clients import Clients
    from tools.aws.policies import Policies
    from tools.aws.provision import Order

Local = Annotated[
    bool, typer.Option("--local", help="the local AWS of a running `make sim`, not your account")
]
Thing = Annotated[str, typer.Argument(help="thing name, also the MQTT client id")]
_Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="the thing's folder; default: things/THING")
]
_OneThing = Annotated[
    str, typer.Argument(metavar="[THING]", help="thing name, also the MQTT client id")
]
_Fleet = Annotated[
    Path | None, typer.Option("--from", metavar="FLEET.CSV", help="many things: docs/aws.md")
]
_Board = Annotated[str, typer.Option(help="esp32, esp32c3, esp8266 ...: decides key and pins")]
_Type = Annotated[str, typer.Option("--type", help="thing type; made if missing")]
_Attributes = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE")]
_Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="for config.json")
]
_Update = Annotated[
    bool, typer.Option("--update-policy", help="bring the fleet's policies up to date")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    for command in (provision, rotate, revoke, deprovision, things):
        app.command(command.__name__)(command)


def home(thing: str, out: Path | None, local: bool) -> Path:
    """The folder of a thing: as given, things/THING, or .sim/things/THING for the local AWS."""
    from tools.aws import local as seam
    from tools.aws.folder import check_name, things_dir

    check_name(thing)
    return out or (seam.path().parent / "things" if local else things_dir()) / thing


def provision(
    thing: _OneThing = "",
    fleet: _Fleet = None,
    out: _Out = None,
    board: _Board = "esp32",
    thing_type: _Type = "",
    attribute: _Attributes = None,
    setting: _Settings = None,
    update_policy: _Update = False,
    local: Local = False,
) -> None:
    """Make THING on AWS IoT: registry entry, key, certificate, policies, and its folder.

    The key is made on this machine and stays there. WIFI_SSID and WIFI_PASSWORD (empty: an open
    network) come from the environment, or are asked for. Running it again completes what is
    missing and changes nothing else.
    """
    from tools.aws import cli_fleet, clients
    from tools.aws.policies import Policies
    from tools.aws.provision import Order
    from tools.aws.shadow import parse

    if bool(thing) == bool(fleet):
        raise ToolError("give one thing name, or --from FLEET.CSV")
    settings = parse(setting or [])
    if "wifi" in settings:
        raise ToolError("no Wi-Fi on a command line", "WIFI_SSID and WIFI_PASSWORD, or a terminal")
    made = clients.of(local)
    policies = Policies(made.iot, update_policy, keep=fleet is not None)
    if fleet is not None:
        folder = out or home("x", None, local).parent
        add_wifi(settings, folder / "-", local)
        cli_fleet.run(made, fleet, folder, settings, policies)
        return
    folder = home(thing, out, local)
    add_wifi(settings, folder, local)
    attributes = {k: str(v) for k, v in parse(attribute or []).items()}
    _provision_one(made, Order(thing, settings, board, thing_type, attributes), folder, policies)


def _provision_one(made: Clients, order: Order, folder: Path, policies: Policies) -> None:
    from tools.aws import provision as provisioning

    with spinner(f"provisioning {order.thing}"):
        result = provisioning.carry_out(made, order, folder, policies=policies)
    typer.echo(f"{order.thing}: {'made' if result.fresh else 'all there already'}")
    typer.echo(f"  certificate  {result.record.certificate_id}")
    typer.echo(f"  endpoint     {result.record.endpoint}")
    typer.echo(f"  folder       {result.folder.path}")
    for note in result.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"next: make flash THING={order.thing} PORT=...")


def add_wifi(settings: dict[str, Any], folder: Path, local: bool) -> None:
    """Add the Wi-Fi unless there is a config.json already."""
    from tools.aws import wifi
    from tools.aws.folder import Folder

    if Folder(folder).config.exists():
        return
    if local and wifi.NAME not in os.environ:
        settings["wifi"] = [{"ssid": "virtual"}]  # a virtual board finds any network
        return
    settings["wifi"] = wifi.networks(os.environ, _ask if terminal() else None)


def terminal() -> bool:
    """True when somebody can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _ask(question: str, hide: bool) -> str:
    return str(typer.prompt(question, default="", show_default=False, hide_input=hide, err=True))


@contextlib.contextmanager
def spinner(text: str) -> Iterator[None]:
    """Show that something is being waited for; nothing where there is no terminal."""
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def rotate(
    thing: Thing,
    out: _Out = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="wait for the device")] = 600,
    now: Annotated[
        bool, typer.Option("--now", help="do not wait: for a board that is dead")
    ] = False,
    local: Local = False,
) -> None:
    """Give THING a new key and certificate; the old one goes when the new one has connected.

    Puts the new ones into the folder of THING, then waits while you bring them onto the board
    (make deploy). Interrupted, or timed out, it continues when it is run again. Needed in IAM to
    wait: iot:Connect on client/fieldmouse-*, iot:Subscribe and iot:Receive on
    $aws/events/presence/connected/THING.
    """
    from tools.aws import clients
    from tools.aws import rotate as rotation

    made, folder = clients.of(local), home(thing, out, local)
    with spinner(f"making a new certificate for {thing}"):
        record = rotation.begin(made, thing, folder)
    typer.echo(f"{thing}: the new certificate {record.certificate_id} is in {folder}")
    if not now:
        typer.echo(f"now: make deploy THING={thing} PORT=... (in another terminal)")
        with spinner(f"waiting for {thing} to connect with it"):
            there = rotation.wait(made, record, timeout)
        if not there:
            raise ToolError(
                f"{thing} has not connected with the new certificate within {timeout:g} s; "
                "both are valid",
                f"bring it onto the board, then: python -m tools rotate {thing}",
            )
    gone = rotation.finish(made, folder)
    typer.echo(f"{thing}: the old certificate {gone} is deleted")


def revoke(thing: Thing, out: _Out = None, local: Local = False) -> None:
    """Revoke the certificate of THING, so that a lost or stolen board cannot connect any more."""
    from tools.aws import clients, retire

    for number in retire.revoke(clients.of(local), thing, home(thing, out, local)):
        typer.echo(f"{thing}: certificate {number} is REVOKED")
    typer.echo(f"next: rotate {thing} for a new one, or deprovision {thing}")


def deprovision(
    thing: Thing,
    out: _Out = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    local: Local = False,
) -> None:
    """Remove THING from AWS and its folder from this machine, but nothing others have made."""
    from tools.aws import clients, retire
    from tools.aws.errors import explained
    from tools.aws.folder import Folder

    made = clients.of(local)
    with explained():
        found = retire.look(made, thing, Folder(home(thing, out, local)))
    if found.nothing:
        typer.echo(f"{thing}: there is nothing to remove")
        return
    if not yes:
        if not terminal():
            raise ToolError("this removes things for good and asks first", "--yes to not be asked")
        count = len(found.certificates)
        question = f"Remove {thing}, {count} certificate(s), its shadow and {found.folder.path}?"
        if not typer.confirm(question, err=True):
            raise ToolError("nothing was removed")
    typer.echo(f"{thing}: removed {', '.join(retire.deprovision(made, found))}")


def things(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[THING…]", help="default: all")
    ] = None,
    local: Local = False,
) -> None:
    """Show things, the state and age of their certificates, and when each was last heard of."""
    import datetime as dt

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from tools import wire
    from tools.aws import clients
    from tools.aws import things as listing

    with spinner("asking AWS"):
        rows = listing.table(clients.of(local), names or [])
    now = dt.datetime.now(dt.timezone.utc)
    table = Table("thing", "certificate", "status", "age", "last seen", box=None)
    for row in rows:
        numbers = "\n".join(number[:10] for number, _ in row.certificates) or "none"
        states = "\n".join(status for _, status in row.certificates)
        born = listing.age(row.since, now) if row.since else ""
        cells = (row.thing, numbers, states, born, listing.age(row.last_seen, now))
        table.add_row(*(Text(wire.text(cell, lines=True)) for cell in cells))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
