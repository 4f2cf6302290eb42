"""An MQTT connection to AWS IoT with awsiotsdk: by certificate, by ALPN, or over WebSocket."""

from __future__ import annotations

import concurrent.futures
import uuid
from collections.abc import Callable
from typing import Any

from tools.aws import tls
from tools.aws.clients import Clients
from tools.aws.route import Route
from tools.errors import ToolError

_CONNECT_S = 20.0
_ANSWER_S = 10.0  # for PUBACK and SUBACK; AWS drops the connection instead of refusing
_KEEP_ALIVE_S = 60
_POLICY = "the certificate or role may not; the policy it needs: --help"
# awscrt's error name -> (what it means, hint)
_CLOSED = (
    "it closed the connection without an answer",
    "client id, certificate or policy; python -m tools doctor THING",
)
_CAUSES = {
    "AWS_IO_DNS": ("its name cannot be resolved", "is the endpoint spelled right? -e"),
    "AWS_IO_SOCKET_CLOSED": _CLOSED,
    "AWS_ERROR_MQTT_UNEXPECTED_HANGUP": _CLOSED,
    "AWS_IO_SOCKET": ("it cannot be reached", "is the network up? --via mqtt443 passes firewalls"),
    "AWS_IO_TLS": (
        "the TLS handshake failed",
        "is the certificate of this account active, and the CA the right one?",
    ),
    "AWS_ERROR_HTTP_WEBSOCKET": (
        "it refused the WebSocket",
        "are the AWS credentials valid here?",
    ),
}


class Refused(ToolError):
    """AWS has closed the connection instead of accepting it: client id, certificate or policy."""


class Connection:
    """One connection; it reconnects by itself and subscribes again when the session is lost.

    ``on_message(topic, payload)`` and ``on_link(text)`` are called in a thread of awscrt's;
    ``on_link`` gets a sentence when the connection goes and when it comes back.
    """

    def __init__(
        self,
        route: Route,
        clients: Clients,
        client_id: str = "",
        on_message: Callable[[str, bytes], None] = lambda topic, payload: None,
        on_link: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._route = route
        self._on_message, self._on_link = on_message, on_link
        self._lost = 0  # times the connection has gone
        self._mqtt = _connection(
            route,
            clients,
            endpoint=route.endpoint,
            port=route.port,
            client_id=client_id or f"fieldmouse-{uuid.uuid4().hex[:8]}",
            clean_session=True,
            keep_alive_secs=_KEEP_ALIVE_S,
            reconnect_min_timeout_secs=1,
            reconnect_max_timeout_secs=60,
            on_connection_interrupted=self._interrupted,
            on_connection_resumed=self._resumed,
        )

    def __enter__(self) -> Connection:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Connect; ToolError with cause and remedy."""
        try:
            self._mqtt.connect().result(_CONNECT_S)
        except Exception as e:
            why = "" if self._route.proxy else tls.fault(self._route)
            if why:
                # awscrt says less, and after a TLS error lets half a minute pass first.
                where = f"{self._route.endpoint}:{self._route.port}"
                raise ToolError(f"cannot connect: {where}: {why}", _CAUSES["AWS_IO_TLS"][1]) from e
            raise self._explained("cannot connect", e) from e

    def close(self) -> None:
        """Disconnect, waiting no longer than two seconds."""
        try:
            self._mqtt.disconnect().result(2.0)
        except Exception:  # gone already
            return

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> None:
        """Publish and wait until it is out, at QoS 1 until it is acknowledged."""
        from awscrt.mqtt import QoS

        done, _ = self._mqtt.publish(topic, payload, QoS(qos), retain)
        self._await(done, f"publish to {topic}")

    def subscribe(self, pattern: str, qos: int = 1) -> None:
        """Subscribe and wait until it is granted."""
        from awscrt.mqtt import QoS

        def received(topic: str, payload: bytes, **_: Any) -> None:
            self._on_message(topic, payload)

        done, _ = self._mqtt.subscribe(pattern, QoS(qos), received)
        self._await(done, f"subscribe to {pattern}")

    def _await(self, done: Any, what: str) -> None:
        before = self._lost
        try:
            done.result(_ANSWER_S)
        except Exception as e:
            if self._lost > before or "CLEAN_SESSION" in str(getattr(e, "name", "")):
                # AWS's way to say no (aws-facts.md 1.9); awscrt gives up what was under way.
                raise ToolError(f"cannot {what}: AWS closed the connection", _POLICY) from e
            raise self._explained(f"cannot {what}", e) from e

    def _explained(self, what: str, error: Exception) -> ToolError:
        name = str(getattr(error, "name", "") or error)
        where = f"{self._route.endpoint}:{self._route.port}"
        if isinstance(error, (concurrent.futures.TimeoutError, TimeoutError)):
            return ToolError(f"{what}: {where}: no answer", "is the network up?")
        for start, (means, hint) in _CAUSES.items():
            if start in name:
                kind = Refused if (means, hint) == _CLOSED else ToolError
                return kind(f"{what}: {where}: {means} ({name})", hint)
        return ToolError(f"{what}: {where}: {type(error).__name__} {name}".rstrip())

    def _interrupted(self, error: Any = None, **_: Any) -> None:
        self._lost += 1
        self._on_link(f"connection lost ({getattr(error, 'name', error)}); trying again")

    def _resumed(self, session_present: bool = False, **_: Any) -> None:
        if not session_present:
            self._mqtt.resubscribe_existing_topics()
        self._on_link("connected again")


def _connection(route: Route, clients: Clients, **options: Any) -> Any:
    from awscrt.auth import AwsCredentials, AwsCredentialsProvider
    from awscrt.http import HttpProxyOptions
    from awsiot import mqtt_connection_builder as builder

    options["http_proxy_options"] = HttpProxyOptions(*route.proxy) if route.proxy else None
    if route.identity is not None:  # on port 443 with ALPN
        own = route.identity
        return builder.mtls_from_bytes(own.cert, own.key, ca_bytes=route.ca or own.ca, **options)

    def current() -> Any:
        # Asked at every (re)connect, so that renewed credentials are used.
        return AwsCredentials(*clients.credentials())

    return builder.websockets_with_default_aws_signing(
        region=clients.region,
        credentials_provider=AwsCredentialsProvider.new_delegate(current),
        ca_bytes=route.ca,
        **options,
    )
