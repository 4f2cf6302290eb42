"""Ports and HTTP on this machine, past any proxy that the environment names."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import Any

_TIMEOUT_S = 10.0
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def free_port() -> int:
    """A TCP port that nothing listens on, on any interface, for the moment."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether ``port`` can be bound on every interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except (OSError, OverflowError):
            return False
        return True


def get(url: str) -> bytes:
    """What ``url`` answers; OSError if it does not."""
    with _open(url, timeout=_TIMEOUT_S) as answer:
        return bytes(answer.read())


def get_json(url: str) -> dict[str, Any]:
    """The JSON object that ``url`` answers, also with an error status; empty if there is none."""
    try:
        found = json.loads(get(url))
    except urllib.error.HTTPError as e:
        with e:
            found = _loads(e.read())
    except (OSError, ValueError):
        found = None
    return found if isinstance(found, dict) else {}


def _loads(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
