"""TLS as Python's own library does it: the context for a route, and why a handshake fails."""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
from pathlib import Path

from tools.aws.route import Route

ALPN = "x-amzn-mqtt-ca"  # MQTT with a certificate on port 443 (aws-facts.md 1.1)
_TIMEOUT_S = 10.0
_ALERT_S = 1.0  # for the alert of a server that refuses our certificate


def context(route: Route) -> ssl.SSLContext:
    """TLS that verifies the server and shows the device's certificate.

    Python reads certificates from files only: they are there, closed to others, for a moment.
    """
    made = ssl.create_default_context(cadata=route.ca.decode() if route.ca else None)
    if route.via == "mqtt443":
        made.set_alpn_protocols([ALPN])
    if route.identity is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "both.pem")
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(route.identity.cert + route.identity.key)
            made.load_cert_chain(path)
    return made


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
