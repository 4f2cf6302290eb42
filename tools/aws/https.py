"""HTTPS with a device certificate on port 8443: publish, and the shadow (aws-facts.md 4.7)."""

from __future__ import annotations

import http.client
import io
import json
import ssl
from typing import Any
from urllib.parse import quote

from tools.aws import tls
from tools.aws.route import Route
from tools.errors import ToolError

_TIMEOUT_S = 20.0


class Missing(ToolError):
    """AWS has no such thing."""

    response = {"Error": {"Code": "ResourceNotFoundException"}}  # what errors.is_missing() asks


def publish(route: Route, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> None:
    """Publish by `POST /topics/...`; ToolError when AWS refuses."""
    path = f"/topics/{quote(topic, safe='')}?qos={qos}" + ("&retain=true" if retain else "")
    _ask(route, "POST", path, payload, f"publish to {topic}")


class DeviceData:
    """The shadow calls of a boto3 "iot-data" client, made with a device's own certificate."""

    def __init__(self, route: Route) -> None:
        self._route = route

    def get_thing_shadow(self, thingName: str, shadowName: str = "") -> dict[str, Any]:
        """GET the shadow."""
        return self._shadow("GET", thingName, shadowName)

    def update_thing_shadow(
        self, thingName: str, payload: bytes, shadowName: str = ""
    ) -> dict[str, Any]:
        """POST a change of the shadow."""
        return self._shadow("POST", thingName, shadowName, payload)

    def delete_thing_shadow(self, thingName: str, shadowName: str = "") -> dict[str, Any]:
        """DELETE the shadow."""
        return self._shadow("DELETE", thingName, shadowName)

    def _shadow(
        self, method: str, thing: str, name: str, payload: bytes | None = None
    ) -> dict[str, Any]:
        path = f"/things/{quote(thing, safe='')}/shadow" + (f"?name={quote(name)}" if name else "")
        what = f"{method} the shadow of {thing}"
        return {"payload": io.BytesIO(_ask(self._route, method, path, payload, what))}


def _ask(route: Route, method: str, path: str, body: bytes | None, what: str) -> bytes:
    link = http.client.HTTPSConnection(
        route.endpoint, route.port, context=tls.context(route), timeout=_TIMEOUT_S
    )
    try:
        link.request(method, path, body)
        answer = link.getresponse()
        content = answer.read()
    except ssl.SSLError as e:
        hint = "is the certificate of this account active, and the CA the right one?"
        raise ToolError(f"cannot {what}: TLS with {route.endpoint} failed", hint) from e
    except (OSError, http.client.HTTPException) as e:
        where = f"{route.endpoint}:{route.port}"
        raise ToolError(f"cannot {what}: {where} cannot be reached", "is the network up?") from e
    finally:
        link.close()
    if answer.status == 404:
        raise Missing(f"cannot {what}: 404 {_message(content)}")
    if answer.status >= 400:
        hint = "the policy of the certificate; --help says what it needs"
        denied = answer.status in (401, 403)
        why = _message(content) or answer.reason
        raise ToolError(f"cannot {what}: {answer.status} {why}", hint if denied else "")
    return content


def _message(content: bytes) -> str:
    try:
        found = json.loads(content)
    except ValueError:
        return ""
    return str(found.get("message", "")) if isinstance(found, dict) else ""
