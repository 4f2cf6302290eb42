"""The commands that publish and subscribe, by any of the ways to AWS IoT."""

from __future__ import annotations

import contextlib
import itertools
import queue
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools import wire
from tools.aws import clients as aws
from tools.aws.errors import explained
from tools.errors import ToolError
from tools.options import Local

if TYPE_CHECKING:
    from tools.aws.route import Route

MAX_BYTES = 128 * 1024  # of a payload (AWS quota)
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
    https-sigv4 (443) use your AWS credentials. The names of the AWS console are understood. With
    --local and without -C a certificate is made for this once.

    Needed in the policy of the certificate, or in IAM: iot:Connect on client/PREFIX* (not for
    https), iot:Publish on topic/TOPIC, and for --retain iot:RetainPublish on topic/TOPIC.
    """
    check_topic(topic)
    made, name = aws.of(local), client_id or prefix + uuid.uuid4().hex[:8]
    payload = (sys.stdin.read() if message == "-" else message).encode()
    if len(payload) > MAX_BYTES:
        raise ToolError(f"{len(payload)} bytes are more than AWS takes: 128 KB")
    with (
        _way(made, via, endpoint, port, certs, name, topic=topic) as way,
        sender(way, made, name, qos, retain) as send,
    ):
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
    from tools.aws.mqtt import Connection
    from tools.aws.route import SUBSCRIBING

    if via not in SUBSCRIBING:
        raise ToolError(f"--via {via} cannot subscribe", f"--via {', '.join(SUBSCRIBING)}")
    made, name = aws.of(local), client_id or prefix + uuid.uuid4().hex[:8]
    arrived: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    take, note = (lambda *message: arrived.put(message)), (lambda text: typer.echo(text, err=True))
    with (
        _way(made, via, endpoint, port, certs, name, topics) as way,
        Connection(way, made, name, take, note) as connection,
    ):
        for pattern in topics:
            connection.subscribe(pattern, qos)
        typer.echo(f"subscribed to {', '.join(topics)}; Ctrl-C ends", err=True)
        for _ in range(count) if count else itertools.count():
            topic, payload = arrived.get()
            typer.echo(wire.message(topic, payload))


@contextlib.contextmanager
def _way(
    made: aws.Clients,
    via: str,
    endpoint: str,
    port: int,
    certs: Path | None,
    name: str,
    filters: Sequence[str] = (),
    topic: str = "",
) -> Iterator[Route]:
    from tools.aws import viewer
    from tools.aws.route import route

    if made.cloud is not None and via == "mqtt" and certs is None:
        with viewer.passing(made, name, filters, topic) as way:
            yield way
    else:
        yield route(made, via, endpoint, port, certs)


@contextlib.contextmanager
def sender(
    route: Route, clients: aws.Clients, client_id: str = "", qos: int = 1, retain: bool = False
) -> Iterator[Callable[[str, bytes], None]]:
    """A function send(topic, payload) that returns when AWS has the message; ToolError if not."""
    from tools.aws import tls
    from tools.aws.mqtt import Connection

    with contextlib.ExitStack() as stack:
        if not route.via.startswith("https"):
            connection = stack.enter_context(Connection(route, clients, client_id))
            yield lambda topic, payload: connection.publish(topic, payload, qos, retain)
            return
        if route.via == "https":
            data = stack.enter_context(tls.device_data(route))
        elif route.endpoint:
            data = clients.client("iot-data", f"https://{route.endpoint}:{route.port}")
        else:
            data = clients.data

        def send(topic: str, payload: bytes) -> None:
            with explained():
                data.publish(topic=topic, payload=payload, qos=qos, retain=retain)

        yield send


def check_topic(topic: str) -> None:
    """ToolError for a topic that AWS would end the connection for (aws-facts.md 1.5)."""
    basic_ingest = topic.startswith("$aws/rules/")
    counted = topic.split("/", 3)[-1] if basic_ingest else topic
    if not topic or "+" in topic or "#" in topic:
        raise ToolError(f"{topic!r} is no topic to publish to", "a whole name, without + and #")
    if counted.count("/") > 7 or len(counted.encode()) > 256:
        raise ToolError("the topic is too long", "AWS takes 256 bytes and 7 slashes")
