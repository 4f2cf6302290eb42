"""The commands about a thing's shadow: parse, call one function, print its result."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from tools import wire
from tools.aws import clients as aws
from tools.aws import shadow
from tools.errors import ToolError
from tools.options import Local, Pairs, Thing, home, spinner
from tools.things import bulk
from tools.things.folder import Folder

if TYPE_CHECKING:
    from tools.aws.health import Health

_Name = Annotated[str, typer.Option("--name", help="a named shadow instead of the classic one")]
_Http = Annotated[
    bool, typer.Option("--http", help="with the device's certificate, by HTTPS on port 8443")
]
_Certs = Annotated[
    Path | None, typer.Option("-C", "--certs", metavar="DIR", help="for --http; default: its own")
]
_Endpoint = Annotated[str, typer.Option("-e", "--endpoint", help="for --http; default: yours")]
_AT_ONCE = 32  # things that are waited for
_Port = Annotated[int, typer.Option(help="for --http; default: 8443")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    group = typer.Typer(no_args_is_help=True, help="Read, change or delete a thing's shadow.")
    group.command("get")(shadow_get)
    group.command("set")(shadow_set)
    group.command("delete")(shadow_delete)
    app.add_typer(group, name="shadow")


class _Access(NamedTuple):
    """How a thing's shadow is reached: ``data`` has the calls of boto3's "iot-data" client."""

    thing: str
    data: Any
    iot: Any = None  # a device's certificate cannot ask it

    def get(self, name: str = "") -> dict[str, Any] | None:
        """The shadow; None when there is none, ToolError when AWS has no such thing."""
        found = shadow.get(self.data, self.thing, name)
        if found is None and self.iot is not None:
            shadow.check_thing(self.iot, self.thing)
        return found

    def asleep(self, document: dict[str, Any] | None) -> Health | None:
        """Its health if it is one that sleeps; None where that is not to be known."""
        from tools.aws import collect

        return collect.asleep(self.data, self.thing, document) if self.iot else None


@contextlib.contextmanager
def _access(
    thing: str, local: bool, http: bool, certs: Path | None, endpoint: str, port: int
) -> Iterator[_Access]:
    made = aws.of(local)
    if not http:
        yield _Access(thing, made.data, made.iot)
        return
    from tools.aws import tls
    from tools.aws.route import route

    if local and not endpoint:
        raise ToolError("the local AWS has no HTTPS with certificates", "leave --http out")
    folder = certs or home(thing, None, local) / "certs"
    with tls.device_data(route(made, "https", endpoint, port, folder)) as data:
        yield _Access(thing, data)


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
    with _access(thing, local, http, certs, endpoint, port) as access:
        found = access.get(name)
    if found is None:
        raise ToolError(f"{thing} has no shadow yet", "a device makes it when it first connects")
    typer.echo(wire.shown(found, indent=2))


def shadow_set(
    thing: Thing = "",
    pairs: Pairs = None,
    fleet: bulk.From = None,
    name: _Name = "",
    wait: Annotated[bool, typer.Option(help="until the device has answered")] = True,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="how long to wait")] = 60,
    http: _Http = False,
    certs: _Certs = None,
    endpoint: _Endpoint = "",
    port: _Port = 0,
    local: Local = False,
) -> None:
    """Set desired settings of THING, such as interval_s=5, and wait until it has taken them.

    A value of null takes one back: that of config.json counts again. Settings are checked by the
    firmware's own table first (not for a named shadow). A sensor is taken when it is found.
    One that sleeps for longer than SECONDS is not waited for: it takes them when it connects.
    """
    ended = threading.Event()
    things, words = bulk.with_pairs("shadow set", thing, pairs or [], fleet)
    desired = shadow.parse(words)
    if not desired:
        raise ToolError("nothing to set", "python -m tools shadow set THING interval_s=30")

    def one(thing: str) -> str:
        with _access(thing, local, http, certs, endpoint, port) as access:
            found = access.get(name)
            state = (found or {}).get("state") or {}
            shadow.check({} if name else desired, state.get("reported") or {})
            version = shadow.desire(access.data, thing, desired, name)
            if name or not wait:
                return f"{thing}: desired, shadow version {version}"
            config = Folder(home(thing, None, local)).read_config() or {}
            before = shadow.Before(state.get("desired") or {}, version, config)
            _follow(desired, access, before, access.asleep(found), timeout, ended)
            return ""

    with spinner(f"waiting for {thing}") if len(things) == 1 else contextlib.nullcontext():
        bulk.run(things, one, _AT_ONCE, ended.set)


def _pause(ended: threading.Event, seconds: float) -> None:
    if ended.wait(seconds):
        raise ToolError("interrupted")


def _follow(
    desired: dict[str, Any],
    access: _Access,
    before: shadow.Before,
    asleep: Health | None,
    timeout: float,
    ended: threading.Event,
) -> None:
    """Wait, print each value that is in force; ToolError with the others, or when ``ended``.

    ``asleep``: the thing, if it is one that sleeps; what it will see only later is printed too.
    """
    from tools.aws.health import AWAKE_S
    from tools.aws.health_table import sleep_text

    thing, sleep = access.thing, sleep_text(asleep) if asleep else ""
    later = asleep is not None and asleep.wakes_in_s(time.time()) > timeout
    wait_s = min(timeout, AWAKE_S) if later else timeout
    said = shadow.follow(access.get, desired, wait_s, partial(_pause, ended), before)
    for key, value in said.applied.items():
        back = "back to config.json: " if desired[key] is None else ""
        typer.echo(f"{thing}: {key} is {back}{wire.shown(value)}")
    problems = [f"{key}: the device has rejected it: {why}" for key, why in said.rejected.items()]
    problems += [
        f"{key}: on trial: the device has it, but no sensor works with it: {why}"
        for key, why in said.on_trial.items()
    ]
    if later and said.open:
        typer.echo(f"{thing}: {', '.join(said.open)}: kept in the shadow, the board is {sleep}")
    else:
        why = f"no answer within {timeout:g} s{'; it is ' * bool(sleep)}{sleep}"
        problems += [f"{key}: {why}" for key in said.open]
    if problems:
        bad = [k for k in desired if k not in said.applied and desired[k] is not None]
        undo = " ".join([f"python -m tools shadow set {thing}", *(f"{key}=null" for key in bad)])
        mend = f"it stays desired; take it back with: {undo}"
        raise ToolError("\n  ".join(problems), mend if bad else f"python -m tools doctor {thing}")


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
    with _access(thing, local, http, certs, endpoint, port) as access:
        gone = shadow.delete(access.data, thing, name)
    typer.echo(f"{thing}: {'shadow deleted' if gone else 'there was no shadow'}")
