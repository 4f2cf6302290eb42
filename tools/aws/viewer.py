"""Listening from this computer: by WebSocket with AWS credentials, or a passing local identity."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tools.aws import certificates
from tools.aws.clients import Clients
from tools.aws.errors import explained
from tools.aws.mqtt import Connection
from tools.aws.policy import document
from tools.aws.provision import place_of
from tools.aws.route import Identity, Route, route


@contextlib.contextmanager
def listening(
    clients: Clients,
    filters: Sequence[str],
    on_message: Callable[[str, bytes], None],
    on_link: Callable[[str], None] = lambda text: None,
    certs_dir: Path | None = None,
) -> Iterator[Connection]:
    """A connection subscribed to ``filters`` at QoS 1; ToolError when it cannot be.

    With ``certs_dir`` by that certificate; else by WebSocket with the AWS credentials, which need
    iot:Connect on client/fieldmouse-*, iot:Subscribe and iot:Receive. MiniStack offers WebSocket
    without TLS only, so there it is a certificate made for the purpose and removed at the end.
    """
    name = f"fieldmouse-{uuid.uuid4().hex[:8]}"
    with contextlib.ExitStack() as stack:
        if certs_dir is not None:
            way = route(clients, "mqtt", certs_dir=certs_dir)
        elif clients.cloud is not None:
            way = stack.enter_context(passing(clients, name, filters))
        else:
            way = route(clients, "websocket")
        connection = stack.enter_context(Connection(way, clients, name, on_message, on_link))
        for pattern in filters:
            connection.subscribe(pattern)
        yield connection


@contextlib.contextmanager
def passing(
    clients: Clients, name: str, filters: Sequence[str] = (), topic: str = ""
) -> Iterator[Route]:
    """The way of a certificate for this once, which may subscribe to ``filters`` as ``name``.

    And publish to ``topic``. For the local AWS; both are removed at the end.
    """
    iot, place = clients.iot, place_of(clients)
    with explained():
        iot.create_policy(policyName=name, policyDocument=_policy(name, filters, topic))
        try:
            made = iot.create_keys_and_certificate(setAsActive=True)
            number, arn = made["certificateId"], made["certificateArn"]
            try:
                iot.attach_policy(policyName=name, target=arn)
                key = made["keyPair"]["PrivateKey"].encode()
                own = Identity(made["certificatePem"].encode(), key, place.ca_pem)
                yield Route("mqtt", place.endpoint, place.port, place.ca_pem, own)
            finally:
                with _gone():
                    certificates.discard(iot, number, arn)
        finally:
            with _gone():
                iot.delete_policy(policyName=name)


def _gone() -> contextlib.AbstractContextManager[None]:
    """The local AWS may have ended before its listener, and all that it held with it."""
    from botocore.exceptions import ConnectionError, HTTPClientError

    return contextlib.suppress(ConnectionError, HTTPClientError)


def _policy(name: str, filters: Sequence[str], topic: str) -> str:
    allowed = [
        ("iot:Connect", f"client/{name}"),
        *(("iot:Subscribe", f"topicfilter/{f}") for f in filters),
        *(("iot:Receive", "topic/" + f.replace("+", "*").replace("#", "*")) for f in filters),
        *((action, f"topic/{topic}") for action in ("iot:Publish", "iot:RetainPublish") if topic),
    ]
    return document(
        [{"Effect": "Allow", "Action": a, "Resource": f"arn:aws:iot:*:*:{r}"} for a, r in allowed]
    )
