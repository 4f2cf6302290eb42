"""A classic shadow on the scripted broker, as aws-facts 4.2 to 4.5 describe the service."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.e2e.server import Server

Reply = list[tuple[str, bytes]]
TOKEN = "DeviceAdvisorShadowTestCaseSetup"


class Shadow:
    """Answers the device's ``get`` and ``update``; ``desire()`` is what Device Advisor sets."""

    def __init__(self, thing: str, broker: Server) -> None:
        self.prefix = f"$aws/things/{thing}/shadow/"
        self.state: dict[str, dict[str, Any]] = {}
        self.version = 0
        self.updates: list[dict[str, Any]] = []
        """What the device has sent, oldest first."""
        self._broker = broker
        broker.responders.append(self._respond)

    def desire(self, **desired: Any) -> None:
        """Set ``desired`` from outside; the device gets the messages that this brings."""
        for topic, payload in self.desired(**desired):
            self._broker.deliver(topic, payload)

    def desired(self, **desired: Any) -> Reply:
        """The same, but the messages are only returned."""
        return self._update({"state": {"desired": desired}, "clientToken": TOKEN})

    def reported(self, **wanted: Any) -> bool:
        """Whether the device has reported all of it."""
        known = self.state.get("reported", {})
        return all(known.get(key) == value for key, value in wanted.items())

    def delta(self) -> dict[str, Any]:
        """What is desired and not reported."""
        return _delta(self.state.get("desired", {}), self.state.get("reported", {}))

    def _respond(self, _client: str, topic: str, payload: bytes) -> Reply:
        if topic == self.prefix + "get":
            return self._get(json.loads(payload or b"{}"))
        if topic == self.prefix + "update":
            document = json.loads(payload)
            self.updates.append(document)
            return self._update(document)
        return []

    def _get(self, document: dict[str, Any]) -> Reply:
        token = document.get("clientToken")
        if not self.version:
            error = {"code": 404, "message": "No shadow exists with name: 'x'"}
            return [self._say("get/rejected", error, token)]
        state: dict[str, Any] = dict(self.state)
        if self.delta():
            state["delta"] = self.delta()
        return [self._say("get/accepted", {"state": state}, token)]

    def _update(self, document: dict[str, Any]) -> Reply:
        state, token = document["state"], document.get("clientToken")
        if document.get("version", self.version) != self.version:
            error = {"code": 409, "message": "Version conflict"}
            return [self._say("update/rejected", error, token)]
        for section, given in state.items():
            merged = _merge(self.state.get(section, {}), given or {})
            self.state[section] = {} if given is None else merged
        self.version += 1
        replies = [self._say("update/accepted", {"state": state}, token)]
        if self.delta():
            replies.append(self._say("update/delta", {"state": self.delta()}, token))
        return replies

    def _say(self, name: str, document: dict[str, Any], token: str | None) -> tuple[str, bytes]:
        if "code" not in document:
            document = document | {"version": self.version, "timestamp": int(time.time())}
        if token is not None:
            document["clientToken"] = token
        return self.prefix + name, json.dumps(document).encode()


def _merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            former = merged.get(key)
            merged[key] = _merge(former if isinstance(former, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def _delta(desired: dict[str, Any], reported: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in desired.items():
        known = reported.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            if inner := _delta(value, known):
                found[key] = inner
        elif known != value or isinstance(known, bool) != isinstance(value, bool):
            found[key] = value
    return found
