"""Commands to devices: checked by the firmware's own table, sent, and their result awaited."""

from __future__ import annotations

import contextlib
import json
import queue
import time
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from firmware.core import commands, topics
from tools import wire
from tools.aws import clients as aws
from tools.aws import health, shadow
from tools.aws.facts import AHEAD_S, Evidence
from tools.aws.health import AWAKE_S, Health
from tools.aws.health_table import sleep_text
from tools.aws.policy import COMMAND_TOPIC
from tools.errors import ToolError
from tools.options import Local, Pairs, Thing, home, spinner
from tools.things.folder import Folder

_SESSION_S = 3600  # AWS keeps a persistent session so long, or a little longer
_KEPT = "AWS keeps the command"


def command(
    thing: Thing,
    action: Annotated[str, typer.Argument(help="set_reporting_interval, read_now, reboot, …")],
    pairs: Pairs = None,
    ident: Annotated[str, typer.Option("--id", help="done once per id; default: a new one")] = "",
    wait: Annotated[bool, typer.Option(help="until the device has answered")] = True,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="how long to wait")] = 30,
    local: Local = False,
) -> None:
    """Send a command to THING: read_now, identify, reboot, get_log, set_reporting_interval.

    Waits for the outcome on devices/THING/commands/result and prints it, get_log the log; exit
    code 1 when the device has not done it. One that sleeps for longer than SECONDS is not waited
    for: AWS keeps a command for an hour. Needed in IAM to wait: iot:Connect on
    client/fieldmouse-*, iot:Subscribe and iot:Receive on that topic and devices/THING/status.
    """
    request = build(action, shadow.parse(pairs or []), ident)
    made = aws.of(local)
    shadow.check_thing(made.iot, thing)
    config = Folder(home(thing, None, local)).read_config() or {}
    names = topics.of(thing, "", config.get("command_topic", COMMAND_TOPIC))
    if not wait:
        _send(made, names[1], request)
        typer.echo(f"{names[1]}: {json.dumps(request)}")
        return
    with spinner(f"waiting for {thing}"):
        result = ask(made, thing, names, request, timeout, bool(ident))
    if result.get("ok") is not True:
        typer.echo(wire.text(f"{thing}: {action}: not done: {result.get('reason')}"), err=True)
        raise typer.Exit(1)
    typer.echo(f"{thing}: {action}: done", err=action == "get_log")
    for part in ("crash", "log"):
        if isinstance(result.get(part), str) and result[part].strip():
            typer.echo(wire.text(result[part].rstrip("\n"), lines=True))
    if (result.get("log"), result.get("crash")) == ("", ""):  # an ESP8266
        typer.echo("this board keeps no running log, and has recorded no crash", err=True)


def build(action: str, arguments: Mapping[str, Any], ident: str = "") -> dict[str, Any]:
    """The document of a command; ToolError when the device would refuse it.

    The device acts on an ``ident`` once, however often the message arrives; by default a new one.
    """
    document = {"id": ident or uuid.uuid4().hex[:12], "action": action, **arguments}
    *_, problem = commands.parse(json.dumps(document).encode(), ())
    if problem:
        hint = "for example: set_reporting_interval interval_seconds=30"
        raise ToolError(f"the device would refuse this: {problem}", hint)
    return document


def _send(clients: aws.Clients, topic: str, document: Mapping[str, Any]) -> None:
    clients.data.publish(topic=topic, qos=1, payload=json.dumps(document).encode())


def ask(
    clients: aws.Clients,
    thing: str,
    names: tuple[str, ...],
    document: Mapping[str, Any],
    timeout_s: float,
    own_id: bool = False,
) -> dict[str, Any]:
    """Send ``document`` and return the device's result: id, action, ok, reason, of get_log more.

    ``names`` are the thing's topics; ``own_id``: the user has chosen the id. It says when the
    device is not connected. ToolError without a result in time, or when the device sleeps longer.
    """
    from tools.aws import viewer

    _, down, result, status, _ = names
    arrived: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    online: Any = None
    sleeper: Health | None = None

    with viewer.listening(clients, [result, status], lambda *news: arrived.put(news), _note):
        _send(clients, down, document)
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            topic, payload = _next(arrived, left)
            found = wire.document(payload) or {}
            if topic == result and found.get("id") == document["id"]:
                return found
            if topic == status and "online" in found:
                sleeper = _sleeper(thing, found)
                if sleeper and sleeper.wakes_in_s(time.time()) > left:
                    end = min(end, time.monotonic() + AWAKE_S)
                elif not sleeper and found["online"] is False and online is not False:
                    _note(f"{thing} is not connected; {_KEPT} for an hour")
                online = found["online"]
    if sleeper:
        raise _asleep(sleeper)
    raise _no_result(thing, timeout_s, online is False, document["id"] if own_id else "")


def _next(arrived: queue.SimpleQueue[tuple[str, bytes]], wait_s: float) -> tuple[str, bytes]:
    with contextlib.suppress(queue.Empty):
        return arrived.get(timeout=wait_s)
    return "", b""


def _note(text: str) -> None:
    typer.echo(text, err=True)


def _sleeper(thing: str, status: dict[str, Any]) -> Health | None:
    # The message does not tell when AWS got it.
    said_at = status.get("timestamp")
    known = wire.number(said_at, 1, time.time() + AHEAD_S)
    return health.sleeper(Evidence(thing, status, said_at if known else None), time.time())


def _asleep(h: Health) -> ToolError:
    slept_s = (h.asleep_until or 0) - (h.since or time.time())
    if h.state != "asleep":
        hint = f"python -m tools doctor {h.thing}"
    elif slept_s > _SESSION_S:
        hint = f"settings wait in the shadow: python -m tools shadow set {h.thing} …"
    else:
        hint = f"its result: python -m tools watch {h.thing}"
    only = " only" * (slept_s > _SESSION_S)
    state = sleep_text(h)
    return ToolError(f"{h.thing} is {state}; {_KEPT} for an hour{only}", hint)


def _no_result(thing: str, timeout_s: float, offline: bool, ident: str) -> ToolError:
    what = "is not connected" if offline else "has not answered"
    text = f"{thing} {what} (within {timeout_s:g} s); the command is on its way"
    hint = f"python -m tools doctor {thing}"
    if ident and not offline:  # the board is silent then, and AWS knows of no ids
        text += f"; the same id acts once: nothing is done if {ident} was sent before"
        hint = f"another --id, or none; {hint}"
    return ToolError(text, hint)
