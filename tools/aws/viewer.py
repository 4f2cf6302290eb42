"""Listening from this computer: by WebSocket with AWS credentials, or a passing local identity."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tools.aws import certificates
from tools.aws.clients import Clients
from tools.aws.errors import explained
from tools.aws.mqtt import Connection
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
            way = stack.enter_context(_passing(clients, name, filters))
        else:
            way = route(clients, "websocket")
        connection = stack.enter_context(Connection(way, clients, name, on_message, on_link))
        for pattern in filters:
            connection.subscribe(pattern)
        yield connection


@contextlib.contextmanager
def _passing(clients: Clients, name: str, filters: Sequence[str]) -> Iterator[Route]:
    iot, place = clients.iot, place_of(clients)
    with explained():
        iot.create_policy(policyName=name, policyDocument=_policy(name, filters))
        try:
            made = iot.create_keys_and_certificate(setAsActive=True)
            number, arn = made["certificateId"], made["certificateArn"]
            try:
                iot.attach_policy(policyName=name, target=arn)
                key = made["keyPair"]["PrivateKey"].encode()
                own = Identity(made["certificatePem"].encode(), key, place.ca_pem)
                yield Route("mqtt", place.endpoint, place.port, place.ca_pem, own)
            finally:
                certificates.discard(iot, number, arn)
        finally:
            iot.delete_policy(policyName=name)


def _policy(name: str, filters: Sequence[str]) -> str:
    topics = [f.replace("+", "*").replace("#", "*") for f in filters]
    allowed = {
        "iot:Connect": [f"client/{name}"],
        "iot:Subscribe": [f"topicfilter/{f}" for f in filters],
        "iot:Receive": [f"topic/{t}" for t in topics],
    }
    statements = [
        {"Effect": "Allow", "Action": action, "Resource": [f"arn:aws:iot:*:*:{r}" for r in found]}
        for action, found in allowed.items()
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
