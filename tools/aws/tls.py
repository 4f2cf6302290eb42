"""TLS with a device's certificate: the context, boto3's client, and why a handshake fails."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.aws.clients import LIMITS, isolated
from tools.aws.errors import is_denied
from tools.aws.route import Identity, Route
from tools.errors import ToolError

_TIMEOUT_S = 10.0
_ALERT_S = 1.0  # for the alert of a server that refuses our certificate


@contextlib.contextmanager
def _files(identity: Identity) -> Iterator[tuple[str, str]]:
    """(certificate and key, authority) as files closed to others, for what reads no bytes."""
    with tempfile.TemporaryDirectory() as folder:
        own, ca = Path(folder, "own.pem"), Path(folder, "ca.pem")
        handle = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(identity.cert + identity.key)
        ca.write_bytes(identity.ca)
        yield str(own), str(ca)


def context(route: Route) -> ssl.SSLContext:
    """TLS that verifies the server and shows the device's certificate."""
    made = ssl.create_default_context(cadata=route.ca.decode() if route.ca else None)
    if route.via == "mqtt443":
        made.set_alpn_protocols(["x-amzn-mqtt-ca"])  # (aws-facts.md 1.1)
    if route.identity is not None:
        with _files(route.identity) as (own, _):
            made.load_cert_chain(own)
    return made


@contextlib.contextmanager
def device_data(route: Route) -> Iterator[Any]:
    """A boto3 "iot-data" client for port 8443: it shows the certificate instead of signing.

    HTTPS with a device certificate has the same paths as the data plane (aws-facts.md 4.7).
    """
    import botocore
    from botocore.config import Config

    assert route.identity is not None
    with _files(route.identity) as (own, ca), _by_policy():
        yield isolated().client(
            "iot-data",
            region_name="us-east-1",  # is not looked at
            endpoint_url=f"https://{route.endpoint}:{route.port}",
            verify=ca,
            config=Config(
                signature_version=botocore.UNSIGNED,
                client_cert=own,
                proxies={},
                retries={"total_max_attempts": 1},
                **LIMITS,
            ),
        )


@contextlib.contextmanager
def _by_policy() -> Iterator[None]:
    """What AWS denies a device is a matter of its policy, not of one's AWS credentials."""
    try:
        yield
    except ToolError as e:
        if is_denied(e.__cause__):
            e.hint = "the policy of the certificate; --help says what it needs"
        raise


def fault(route: Route) -> str:
    """Why a handshake with the server fails, in a few words; "" if it does not."""
    try:
        raw = socket.create_connection((route.endpoint, route.port), _TIMEOUT_S)
        with raw, context(route).wrap_socket(raw, server_hostname=route.endpoint) as link:
            link.settimeout(_ALERT_S)
            link.recv(1)  # with TLS 1.3 a refused client certificate shows at the first read only
    except ssl.SSLCertVerificationError as e:
        return f"the server's certificate: {e.verify_message}"
    except ssl.SSLError as e:
        return f"TLS: {(e.reason or 'failed').lower().replace('_', ' ')}"
    except (TimeoutError, ConnectionError):
        return ""
    except OSError as e:
        return str(e.strerror or e)
    return ""
