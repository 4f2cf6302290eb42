"""The least-privilege policies of a fleet, made from the topics the firmware really uses.

Two documents, because AWS allows 2,048 characters each without whitespace (aws-facts.md 3.1) and
one would have more. Every resource is pinned to `${iot:Connection.Thing.ThingName}`, which AWS
fills in only if the client id is the name of a thing the certificate is attached to; so all things
of a fleet share them, and a certificate of one can do nothing as another.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from firmware.core import topics as firmware_topics
from tools.errors import ToolError
from tools.things import values

THING = "${iot:Connection.Thing.ThingName}"
MAX_CHARS = 2048  # of a document, whitespace not counted (AWS quota)
DATA_TOPIC, COMMAND_TOPIC = "devices/{thing}/data", "devices/{thing}/commands"
_SEND, _HEAR = "fieldmouse-send", "fieldmouse-hear"


@dataclass(frozen=True, order=True)
class Need:
    """One thing a device does: an IoT action on a resource such as "topic/devices/x/data"."""

    action: str
    resource: str


def publishes(topics: tuple[str, ...]) -> list[tuple[str, bool]]:
    """(topic, retained?) of everything the firmware sends, the last will included.

    Only status is retained: AWS refuses that on every topic that starts with $.
    """
    data, _, result, status, shadow = topics
    sent = data, result, status, shadow + "get", shadow + "update"
    return [(topic, topic == status) for topic in sent]


def needs(
    thing: str, telemetry_topic: str = DATA_TOPIC, command_topic: str = COMMAND_TOPIC
) -> list[Need]:
    """Everything the firmware does as ``thing``, in the order of the documents."""
    topics = firmware_topics.of(thing, telemetry_topic, command_topic)
    sent = publishes(topics)
    heard = firmware_topics.subscribes(topics[1], topics[4])  # exact topics: the same may arrive
    return [
        Need("iot:Connect", f"client/{thing}"),
        *(Need("iot:Publish", f"topic/{topic}") for topic, _ in sent),
        *(Need("iot:RetainPublish", f"topic/{topic}") for topic, retained in sent if retained),
        *(Need("iot:Subscribe", f"topicfilter/{t}") for t in heard),
        *(Need("iot:Receive", f"topic/{t}") for t in heard),
    ]


def documents(
    arn_prefix: str, telemetry_topic: str = DATA_TOPIC, command_topic: str = COMMAND_TOPIC
) -> dict[str, str]:
    """Policy name -> document for one account and region.

    ``arn_prefix`` is "arn:aws:iot:REGION:ACCOUNT:". Topics other than the usual ones give other
    policy names, so that both kinds of fleet can live in one account. ToolError for a topic that
    would mean more in a policy than it says: a wildcard, a variable.
    """
    own = (telemetry_topic, command_topic)
    wrong = values.telemetry_topic(telemetry_topic, "x"), values.command_topic(command_topic, "x")
    for key, problem in zip(("telemetry_topic", "command_topic"), wrong, strict=True):
        if problem:
            raise ToolError(f"no policy is made: {key}: {problem}")
    mark = ""
    if own != (DATA_TOPIC, COMMAND_TOPIC):
        mark = "-" + hashlib.sha256("\n".join(own).encode()).hexdigest()[:8]
    grouped: dict[str, list[str]] = {}
    for need in needs(THING, *own):
        grouped.setdefault(need.action, []).append(arn_prefix + need.resource)
    hearing = ("iot:Subscribe", "iot:Receive")
    send = [_allow(a, r) for a, r in grouped.items() if a not in hearing]
    hear = [_allow(a, r) for a, r in grouped.items() if a in hearing]
    return {_SEND + mark: _document(send), _HEAR + mark: _document(hear)}


def _allow(action: str, resources: list[str]) -> dict[str, object]:
    statement: dict[str, object] = {"Effect": "Allow", "Action": action, "Resource": resources}
    if action == "iot:Connect":
        statement["Condition"] = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
    return statement


def _document(statements: list[dict[str, object]]) -> str:
    body = {"Version": "2012-10-17", "Statement": statements}
    return json.dumps(body, separators=(",", ":"))


def arn_prefix(arn: str) -> str:
    """The part of an IoT ARN up to the resource: "arn:aws:iot:eu-west-1:123456789012:"."""
    return ":".join(arn.split(":")[:5]) + ":"
