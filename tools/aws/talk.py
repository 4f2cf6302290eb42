"""Publishing by whichever way a Route says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tools.aws import https
from tools.aws.clients import Clients
from tools.aws.errors import explained
from tools.aws.mqtt import Connection
from tools.aws.route import Route
from tools.errors import ToolError

Send = Callable[[str, bytes], None]
MAX_BYTES = 128 * 1024  # of a payload (AWS quota)


@contextlib.contextmanager
def sender(
    route: Route, clients: Clients, client_id: str = "", qos: int = 1, retain: bool = False
) -> Iterator[Send]:
    """A function send(topic, payload) that returns when AWS has the message; ToolError if not."""
    if route.via == "https":
        yield _checked(lambda t, p: https.publish(route, t, p, qos, retain))
    elif route.via == "https-sigv4":
        data = clients.data
        if route.endpoint:
            data = clients.client_at("iot-data", route.endpoint, route.port)
        yield _checked(lambda t, p: _by_sigv4(data, t, p, qos, retain))
    else:
        with Connection(route, clients, client_id) as connection:
            yield _checked(lambda t, p: connection.publish(t, p, qos, retain))


def _by_sigv4(data: Any, topic: str, payload: bytes, qos: int, retain: bool) -> None:
    with explained():
        data.publish(topic=topic, payload=payload, qos=qos, retain=retain)


def _checked(send: Send) -> Send:
    def checked(topic: str, payload: bytes) -> None:
        check_topic(topic)
        if len(payload) > MAX_BYTES:
            raise ToolError(f"{len(payload)} bytes are more than AWS takes: 128 KB")
        send(topic, payload)

    return checked


def check_topic(topic: str) -> None:
    """ToolError for a topic that AWS would end the connection for (aws-facts.md 1.5)."""
    basic_ingest = topic.startswith("$aws/rules/")
    counted = topic.split("/", 3)[-1] if basic_ingest else topic
    if not topic or "+" in topic or "#" in topic:
        raise ToolError(f"{topic!r} is no topic to publish to", "a whole name, without + and #")
    if counted.count("/") > 7 or len(counted.encode()) > 256:
        raise ToolError("the topic is too long", "AWS takes 256 bytes and 7 slashes")
