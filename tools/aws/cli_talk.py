"""The commands that publish and subscribe: parse, connect, print what comes."""

from __future__ import annotations

import itertools
import queue
import sys
import uuid
from pathlib import Path
from typing import Annotated

import typer

from tools.aws.cli_things import Local
from tools.errors import ToolError

_Endpoint = Annotated[
    str, typer.Option("-e", "--endpoint", help="…-ats.iot.REGION.amazonaws.com; default: yours")
]
_Certs = Annotated[
    Path | None,
    typer.Option("-C", "--certs", metavar="DIR", help="folder with CA, certificate and key"),
]
_Prefix = Annotated[str, typer.Option("-p", "--prefix", help="client id: PREFIX and a random end")]
_ClientId = Annotated[str, typer.Option(help="the whole client id, as a thing's policy wants it")]
_Port = Annotated[int, typer.Option(help="default: that of --via")]
_Qos = Annotated[int, typer.Option(min=0, max=1, help="quality of service")]
_Via = Annotated[
    str, typer.Option(help="mqtt, mqtt443, websocket; to publish also https, https-sigv4")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command("publish")(publish)
    app.command("subscribe")(subscribe)


def publish(
    topic: Annotated[str, typer.Option("-t", "--topic")],
    message: Annotated[str, typer.Option("-m", "--message", help="'-' reads standard input")],
    endpoint: _Endpoint = "",
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="how often")] = 1,
    certs: _Certs = None,
    prefix: _Prefix = "fieldmouse-",
    client_id: _ClientId = "",
    via: _Via = "mqtt",
    port: _Port = 0,
    qos: _Qos = 1,
    retain: Annotated[bool, typer.Option("--retain", help="AWS keeps the last one")] = False,
    local: Local = False,
) -> None:
    """Publish a message from this computer, by any of the ways AWS IoT offers.

    mqtt (8883), mqtt443 (443 with ALPN) and https (8443) show a certificate (-C); websocket and
    https-sigv4 (443) use your AWS credentials. The names of the AWS console are understood.

    Needed in the policy of the certificate, or in IAM: iot:Connect on client/PREFIX* (not for
    https), iot:Publish on topic/TOPIC, and for --retain iot:RetainPublish on topic/TOPIC.
    """
    from tools.aws import clients as aws
    from tools.aws import talk
    from tools.aws.route import route

    made = aws.of(local)
    payload = (sys.stdin.read() if message == "-" else message).encode()
    way = route(made, via, endpoint, port, certs)
    with talk.sender(way, made, client_id or _name(prefix), qos, retain) as send:
        for number in range(count):
            send(topic, payload)
            typer.echo(f"{number + 1}/{count} {topic}: {len(payload)} bytes by {via}")


def subscribe(
    topics: Annotated[
        list[str], typer.Option("-t", "--topic", metavar="FILTER", help="again for more; + and #")
    ],
    endpoint: _Endpoint = "",
    count: Annotated[int, typer.Option("-n", "--count", min=0, help="then end; 0: never")] = 0,
    certs: _Certs = None,
    prefix: _Prefix = "fieldmouse-",
    client_id: _ClientId = "",
    via: _Via = "mqtt",
    port: _Port = 0,
    qos: _Qos = 1,
    local: Local = False,
) -> None:
    """Print what arrives on FILTER until Ctrl-C; a lost connection is made again, and said so.

    Needed in the policy of the certificate, or in IAM: iot:Connect on client/PREFIX*,
    iot:Subscribe on topicfilter/FILTER and iot:Receive on topic/ of what it matches.
    """
    from tools import wire
    from tools.aws import clients as aws
    from tools.aws.mqtt import Connection
    from tools.aws.route import SUBSCRIBING, route

    if via not in SUBSCRIBING:
        raise ToolError(f"--via {via} cannot subscribe", f"--via {', '.join(SUBSCRIBING)}")
    made = aws.of(local)
    way = route(made, via, endpoint, port, certs)
    arrived: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    take, tell = (lambda *message: arrived.put(message)), (lambda text: typer.echo(text, err=True))
    with Connection(way, made, client_id or _name(prefix), take, tell) as connection:
        for pattern in topics:
            connection.subscribe(pattern, qos)
        typer.echo(f"subscribed to {', '.join(topics)}; Ctrl-C ends", err=True)
        for _ in range(count) if count else itertools.count():
            topic, payload = arrived.get()
            typer.echo(wire.message(topic, payload))


def _name(prefix: str) -> str:
    return prefix + uuid.uuid4().hex[:8]
