"""The ways to AWS IoT's data plane, and which one a command takes (aws-facts.md 1.1).

via          port  who says so            what it can
mqtt         8883  X.509 certificate      publish, subscribe
mqtt443       443  X.509, ALPN            publish, subscribe (through firewalls)
websocket     443  AWS credentials        publish, subscribe (through proxies)
https        8443  X.509 certificate      publish
https-sigv4   443  AWS credentials        publish
"""

from __future__ import annotations

import datetime as dt
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tools.aws.clients import Clients
from tools.aws.provision import place_of
from tools.errors import ToolError
from tools.things import certs

PORTS = {"mqtt": 8883, "mqtt443": 443, "websocket": 443, "https": 8443, "https-sigv4": 443}
WITH_CERTIFICATE = ("mqtt", "mqtt443", "https")
SUBSCRIBING = ("mqtt", "mqtt443", "websocket")
# Of these MiniStack has MQTT on one port, with TLS, and HTTP without.
_NOT_LOCAL = {
    "mqtt443": "MQTT on port 443",
    "websocket": "WebSocket with TLS",
    "https": "HTTPS with certificates",
}


@dataclass(frozen=True)
class Identity:
    """A certificate, its key, and the authority of the server; all PEM."""

    cert: bytes
    key: bytes
    ca: bytes


@dataclass(frozen=True)
class Route:
    """Where to connect and how.

    ``endpoint`` is empty where boto3 knows it: https-sigv4 to one's own account. ``ca`` is None
    where the system's authorities are right; ``proxy`` is (host, port) of an HTTP proxy that is
    asked for a tunnel.
    """

    via: str
    endpoint: str
    port: int
    ca: bytes | None
    identity: Identity | None
    proxy: tuple[str, int] | None = None


def identity(folder: Path) -> Identity:
    """The certificates in ``folder`` under any of the usual names; ToolError when unusable."""
    found, problems = certs.load(folder, "esp32", dt.datetime.now(dt.timezone.utc))
    if found is None:
        raise ToolError("\n  ".join(["the certificates cannot be used:", *problems]))
    return Identity(found.cert, found.key, found.ca)


def route(
    clients: Clients, via: str, endpoint: str = "", port: int = 0, certs_dir: Path | None = None
) -> Route:
    """The way ``via``; endpoint and port default to the account's, or the local cloud's."""
    if via not in PORTS:
        raise ToolError(f"no such way: {via}", f"--via {', '.join(PORTS)}")
    if clients.cloud is not None and via in _NOT_LOCAL and not endpoint:
        raise ToolError(f"the local AWS has no {_NOT_LOCAL[via]}", "--via mqtt")
    if via in WITH_CERTIFICATE and certs_dir is None:
        raise ToolError(
            f"--via {via} needs a certificate",
            "-C FOLDER with it, or --via websocket with your AWS credentials",
        )
    if via == "mqtt443" and port not in (0, 443):  # on no other is ALPN announced
        raise ToolError(
            f"--via mqtt443 is MQTT on port 443, not {port}", f"--via mqtt --port {port}"
        )
    own = identity(certs_dir) if via in WITH_CERTIFICATE and certs_dir else None
    host, ca = endpoint, own.ca if own else None
    if via != "https-sigv4" and (not host or clients.cloud is not None):
        place = place_of(clients)
        host, ca = host or place.endpoint, ca or (place.ca_pem if clients.cloud else None)
        port = port or (place.port if via == "mqtt" else 0)
    number = port or PORTS[via]
    proxy = _proxy(host) if number == 443 and clients.cloud is None else None
    return Route(via, host, number, ca, own, proxy)


def _proxy(host: str) -> tuple[str, int] | None:
    """What HTTPS_PROXY says, unless NO_PROXY excludes ``host``."""
    given = urllib.request.getproxies().get("https", "")
    if not given or urllib.request.proxy_bypass(host):
        return None
    parts = urllib.parse.urlsplit(given if "//" in given else f"//{given}")
    if not parts.hostname:
        raise ToolError("HTTPS_PROXY is not an address", "HTTPS_PROXY=http://proxy.example:3128")
    return parts.hostname, parts.port or 3128
