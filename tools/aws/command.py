"""Commands to devices: checked by the firmware's own table before they are sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from firmware.core import commands, topics
from tools.aws.errors import explained
from tools.aws.folder import Folder, things_dir
from tools.errors import ToolError

ACTIONS: tuple[str, ...] = commands.ACTIONS
_DEFAULT_TOPIC = "devices/{thing}/commands"


def build(action: str, arguments: Mapping[str, Any], ident: str = "") -> bytes:
    """The payload of a command; ToolError when the device would refuse it.

    The device acts on an ``ident`` once, however often the message arrives; by default a new one.
    """
    document = {"id": ident or uuid.uuid4().hex[:12], "action": action, **arguments}
    payload = json.dumps(document).encode()
    *_, problem = commands.parse(payload, ())
    if problem:
        hint = "for example: set_reporting_interval interval_seconds=30"
        raise ToolError(f"the device would refuse this: {problem}", hint)
    return payload


def topic_of(thing: str) -> str:
    """Where the thing listens: as its folder on this machine says, else the usual topic."""
    raw = Folder(things_dir() / thing).read_config() or {}
    template = raw.get("command_topic", _DEFAULT_TOPIC)
    return str(topics.of(thing, "", template)[1])


def send(data: Any, topic: str, payload: bytes) -> None:
    """Publish at QoS 1 through a boto3 "iot-data" client."""
    with explained():
        data.publish(topic=topic, qos=1, payload=payload)
