"""The commands that set the shadow and command: parse, call one function, print its result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools.aws.cli_things import Local, Thing, home, spinner
from tools.errors import ToolError

if TYPE_CHECKING:
    from tools.aws.shadow import Answer

_Pairs = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="value as JSON or text")
]
_Name = Annotated[str, typer.Option("--name", help="a named shadow instead of the classic one")]
_Http = Annotated[
    bool, typer.Option("--http", help="with the device's certificate, by HTTPS on port 8443")
]
_Certs = Annotated[
    Path | None, typer.Option("-C", "--certs", metavar="DIR", help="for --http; default: its own")
]
_Endpoint = Annotated[str, typer.Option("-e", "--endpoint", help="for --http; default: yours")]
_Port = Annotated[int, typer.Option(help="for --http; default: 8443")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    group = typer.Typer(no_args_is_help=True, help="Read, change or delete a thing's shadow.")
    group.command("get")(shadow_get)
    group.command("set")(shadow_set)
    group.command("delete")(shadow_delete)
    app.add_typer(group, name="shadow")
    app.command("command")(command)


class _Access:
    """How the shadow is reached: ``data`` has the calls of boto3's "iot-data" client."""

    def __init__(
        self, thing: str, local: bool, http: bool, certs: Path | None, endpoint: str, port: int
    ) -> None:
        from tools.aws import clients

        made = clients.of(local)
        if http:
            from tools.aws.https import DeviceData
            from tools.aws.route import route

            folder = certs or home(thing, None, local) / "certs"
            self.data: Any = DeviceData(route(made, "https", endpoint, port, folder))
            self._iot = None
        else:
            self.data, self._iot = made.data, made.iot
        self._thing = thing

    def check(self) -> None:
        """ToolError when AWS has no such thing; a device's certificate cannot ask that."""
        from tools.aws import shadow

        if self._iot is not None:
            shadow.check_thing(self._iot, self._thing)


def shadow_get(
    thing: Thing,
    name: _Name = "",
    http: _Http = False,
    certs: _Certs = None,
    endpoint: _Endpoint = "",
    port: _Port = 0,
    local: Local = False,
) -> None:
    """Print the shadow of THING as JSON."""
    from tools import wire
    from tools.aws import shadow

    access = _Access(thing, local, http, certs, endpoint, port)
    found = shadow.get(access.data, thing, name)
    if found is None:
        access.check()
        raise ToolError(f"{thing} has no shadow yet", "a device makes it when it first connects")
    typer.echo(wire.shown(found, indent=2))


def shadow_set(
    thing: Thing,
    pairs: _Pairs = None,
    name: _Name = "",
    wait: Annotated[bool, typer.Option(help="until the device has answered")] = True,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="how long to wait")] = 60,
    http: _Http = False,
    certs: _Certs = None,
    endpoint: _Endpoint = "",
    port: _Port = 0,
    local: Local = False,
) -> None:
    """Set desired settings of THING, for example interval_s=5, and wait until it has taken them.

    A value of null takes one back. Settings are checked by the firmware's own table first;
    those of a named shadow are not, as the firmware knows only the classic one.
    """
    from tools.aws import shadow

    desired = shadow.parse(pairs or [])
    if not desired:
        raise ToolError("nothing to set", f"shadow set {thing} interval_s=30")
    access = _Access(thing, local, http, certs, endpoint, port)
    before = shadow.get(access.data, thing, name)
    if before is None:
        access.check()
    if not name:
        shadow.check(desired, ((before or {}).get("state") or {}).get("reported") or {})
    version = shadow.desire(access.data, thing, desired, name)
    typer.echo(f"{thing}: desired, shadow version {version}")
    if name or not wait:
        return
    with spinner(f"waiting for {thing} to report it"):
        said = shadow.follow(lambda: shadow.get(access.data, thing), desired, timeout)
    _tell(thing, desired, said, timeout)


def _tell(thing: str, desired: dict[str, Any], said: Answer, timeout: float) -> None:
    for key in said.met:
        typer.echo(f"{thing}: {key} is {json.dumps(desired[key])}")
    problems = [f"{key}: the device refuses: {why}" for key, why in said.refused.items()]
    problems += [f"{key}: no answer within {timeout:g} s" for key in said.open]
    if problems:
        undo = " ".join(f"{key}=null" for key in (*said.refused, *said.open))
        raise ToolError("\n  ".join(problems), f"it stays desired; take it back with {undo}")


def shadow_delete(
    thing: Thing,
    name: _Name = "",
    http: _Http = False,
    certs: _Certs = None,
    endpoint: _Endpoint = "",
    port: _Port = 0,
    local: Local = False,
) -> None:
    """Delete the shadow of THING; the device makes a new one when it next connects."""
    from tools.aws import shadow

    access = _Access(thing, local, http, certs, endpoint, port)
    gone = shadow.delete(access.data, thing, name)
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
