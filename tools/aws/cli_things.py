"""The commands that make and end things: parse, call one function, print its result."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools.aws.cli_rotate import folder_of, rotate
from tools.errors import ToolError
from tools.options import (
    Local,
    Thing,
    Where,
    Yes,
    completed,
    home,
    spinner,
    sure,
    terminal,
)
from tools.things import bulk

if TYPE_CHECKING:
    from tools.aws.clients import Clients
    from tools.aws.health import Health
    from tools.aws.policy import Policies
    from tools.things.fleet import Spec

_WIDE = 240  # columns where there is no terminal

_Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="the thing's folder; default: things/THING")
]
_Board = Annotated[str, typer.Option(help="esp32, esp32c3, esp8266 ...: decides key and pins")]
_Type = Annotated[str, typer.Option("--type", help="thing type; made if missing")]
_Attributes = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE")]
_Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="for config.json")
]
_Update = Annotated[
    bool,
    typer.Option(
        "--update-policy", help="bring its policies up to date; an ESP32 made before takes updates"
    ),
]
_Older = Annotated[
    str, typer.Option(metavar="300d", help="whose certificate is; in a pipe: names, for --from -")
]
_NoUpdates = Annotated[
    bool,
    typer.Option("--no-updates", help="none over the air; default: an ESP32 on mains takes them"),
]


def register(app: typer.Typer) -> None:
    for command in (provision, rotate, revoke, deprovision, things):
        app.command(command.__name__)(command)


def provision(
    thing: Thing = "",
    fleet: bulk.From = None,
    out: _Out = None,
    board: _Board = "esp32",
    thing_type: _Type = "",
    attribute: _Attributes = None,
    setting: _Settings = None,
    update_policy: _Update = False,
    no_updates: _NoUpdates = False,
    local: Local = False,
) -> None:
    """Make THING on AWS IoT: registry entry, key, certificate, policies, and its folder.

    The key is made on this machine and stays there. WIFI_SSID and WIFI_PASSWORD (empty: an open
    network) come from the environment, or are asked for. Run again it completes what is missing.
    """
    from tools.aws import clients
    from tools.aws import fleet as fleets
    from tools.aws.policy import Policies
    from tools.aws.shadow import parse
    from tools.things.fleet import Spec

    bulk.one_or_many("provision", thing, fleet)
    settings = parse(setting or []) | ({"updates": False} if no_updates else {})
    if "wifi" in settings:
        raise ToolError("no Wi-Fi on a command line", "WIFI_SSID and WIFI_PASSWORD, or a terminal")
    attributes = {k: str(v) for k, v in parse(attribute or []).items()}
    spec = Spec(thing, thing_type, board, attributes, settings, not no_updates)
    if fleet and spec != Spec(thing, settings=settings, updates=not no_updates):
        raise ToolError("type, board and attributes are columns of the fleet file")
    spec.check()
    made = clients.of(local)
    policies = Policies(made.iot, update_policy, keep=fleet is not None)
    if fleet is None:
        _provision(made, spec, home(thing, out, local), policies)
        return
    folder = out or home("x", None, local).parent
    add_wifi(settings, folder / "-", local)
    fleets.provision(made, fleet, folder, settings, policies, not no_updates)


def _provision(made: Clients, spec: Spec, folder: Path, policies: Policies) -> None:
    from tools.aws import provision as provisioning

    add_wifi(spec.settings, folder, made.cloud is not None)
    with spinner(f"provisioning {spec.thing}"):
        result = provisioning.provision(made, out_dir=folder, policies=policies, **vars(spec))
    typer.echo(f"{spec.thing}: {'made' if result.fresh else 'all there already'}")
    typer.echo(f"  certificate  {result.record.certificate_id}")
    typer.echo(f"  endpoint     {result.record.endpoint}")
    typer.echo(f"  folder       {result.folder.path}")
    for note in result.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(completed(f"next: make flash THING={spec.thing} PORT=..."))


def add_wifi(settings: dict[str, Any], folder: Path, local: bool) -> None:
    """Add the Wi-Fi unless there is a config.json already."""
    from tools.things import wifi
    from tools.things.folder import Folder

    if Folder(folder).config.exists():
        return
    if local and wifi.NAME not in os.environ:
        settings["wifi"] = [{"ssid": "virtual"}]  # a virtual board finds any network
        return
    settings["wifi"] = wifi.networks(os.environ, _ask if terminal() else None)


def _ask(question: str, hide: bool) -> str:
    return str(typer.prompt(question, default="", show_default=False, hide_input=hide, err=True))


def revoke(
    thing: Thing = "",
    fleet: bulk.From = None,
    out: _Out = None,
    yes: Yes = False,
    local: Local = False,
) -> None:
    """Revoke the certificate of THING, so that a lost or stolen board cannot connect any more.

    Asks first: a board that is still in use is cut off until it has a new certificate by cable.
    """
    from tools.aws import clients, retire

    names = bulk.targets("revoke", thing, fleet)
    made = clients.of(local)
    _ = made.iot  # boto3 clients are not to be made in several threads

    def one(thing: str) -> str:
        gone = retire.revoke(made, thing, folder_of(thing, out, fleet, local))
        return "\n".join(f"{thing}: certificate {number} is REVOKED" for number in gone)

    sure(f"Revoke the certificate of {bulk.counted(names)}? It cannot connect any more.", yes)
    bulk.run(names, one)
    typer.echo("next: rotate for a new one, or deprovision")


def deprovision(
    thing: Thing = "",
    fleet: bulk.From = None,
    out: _Out = None,
    yes: Yes = False,
    local: Local = False,
) -> None:
    """Remove THING from AWS and its folder from this machine, but nothing others have made."""
    from tools.aws import clients, retire
    from tools.aws.errors import explained
    from tools.things.folder import Folder

    names = bulk.targets("deprovision", thing, fleet)
    made = clients.of(local)
    _ = made.iot, made.data  # boto3 clients are not to be made in several threads

    def look(thing: str) -> retire.Holdings:
        with explained():
            return retire.look(made, thing, Folder(folder_of(thing, out, fleet, local)))

    def one(thing: str) -> str:
        found = look(thing)
        if found.nothing:
            return f"{thing}: there is nothing to remove"
        return f"{thing}: removed {', '.join(retire.deprovision(made, found))}"

    if fleet is not None:
        sure(f"Remove {len(names)} things, with certificates, shadows and folders?", yes)
    elif not (found := look(thing)).nothing:
        count = len(found.certificates)
        question = f"Remove {thing}, {count} certificate(s), its shadow and {found.folder.path}?"
        sure(question, yes)
    bulk.run(names, one)


def things(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[THING…]", help="default: all")
    ] = None,
    where: Where = "",
    listen: Annotated[
        float, typer.Option(metavar="S", min=0, max=3600, help="for readings, at most; 0: not")
    ] = 6,
    older_than: _Older = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="one object a line: docs/aws.md")
    ] = False,
    local: Local = False,
) -> None:
    """Show how things are, worst first: state, readings, board, certificate.

    Asks AWS for what it keeps of each thing, and listens for readings until each one that is
    online was heard, at most --listen seconds. Needed in IAM: iot:ListThings; what one of the
    others is not allowed is shown as not known: docs/aws.md.

    --filter: terms joined by spaces, as 'state=late version<1.2 rssi<-80 waiting>0 name~green*'.
    """
    from tools.aws import clients, collect, health, health_filter

    age = f" certificate_age_s>={older_than}" if older_than else ""
    accept = health_filter.parse(where + age)
    only_names = bool(older_than) and not as_json and not sys.stdout.isatty()
    with spinner("asking AWS") as tell:
        listen_s = 0 if only_names else listen
        known = collect.everything(clients.of(local), names or [], listen_s, tell)
    now = time.time()
    found = [h for h in (health.assess(e, now) for e in known) if accept(h)]
    if only_names:
        typer.echo("thing")  # of a fleet file of one column
        for name in sorted((h.thing for h in found), key=health.natural):
            typer.echo(name)
    else:
        _show(found, as_json, "certificate" if older_than else "thing")
    for text in sorted({f"not known: {k}: {why}" for e in known for k, why in e.unknown.items()}):
        typer.echo(text, err=True)


def _show(found: list[Health], as_json: bool, kept: str) -> None:
    from rich.console import Console

    from tools.aws import health, health_table

    if as_json:
        for h in sorted(found, key=health.worst_first):
            typer.echo(health_table.line(h))
        return
    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    if found:
        console.print(health_table.table(found, console.width, kept=kept))
    typer.echo(health_table.summary(found), err=True)
