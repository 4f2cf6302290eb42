"""The least-privilege policies of a fleet, made from the topics the firmware really uses, in AWS.

Several documents, because AWS allows 2,048 characters each without whitespace (aws-facts.md 3.1)
and one would have more; the last, for updates by jobs, only for things that take them. Every
resource is pinned to `${iot:Connection.Thing.ThingName}`, which AWS fills in only if the client id
is the name of a thing the certificate is attached to; so all things of a fleet share them, and a
certificate of one can do nothing as another.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from firmware.core import topics as firmware_topics
from tools.aws.errors import code_of, created, found, is_missing
from tools.aws.undo import Undo
from tools.errors import ToolError
from tools.things import values

THING = "${iot:Connection.Thing.ThingName}"
MAX_CHARS = 2048  # of a document, whitespace not counted (AWS quota)
DATA_TOPIC, COMMAND_TOPIC = "devices/{thing}/data", "devices/{thing}/commands"
_MAX_VERSIONS = 5  # AWS keeps no more of one policy
_SEND, _HEAR = "fieldmouse-send", "fieldmouse-hear"
UPDATE = "fieldmouse-update"


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
    alarms = firmware_topics.alarms(status)
    sent = data, result, alarms, status, shadow + "get", shadow + "update"
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


def update_needs(thing: str, any_id: str = "*") -> list[Need]:
    """What more a board does that is updated by jobs; ``any_id``: of a job, or a stream.

    Filters are compared as text, so their + stays (aws-facts.md 3.5). The answers of Jobs come
    unasked; whether AWS wants a right for those is not known (5.1): they are allowed.
    """
    topics = firmware_topics.of(thing, DATA_TOPIC, COMMAND_TOPIC)
    usual = firmware_topics.subscribes(topics[1], topics[4])
    heard = firmware_topics.subscribes(topics[1], topics[4], True)[len(usual) :]
    # What firmware/updates/jobs.py publishes to; + is the id of a job, or of a stream.
    own = f"$aws/things/{thing}"
    get, update = f"{own}/jobs/$next/get", f"{own}/jobs/+/update"
    sent = get, update, f"{own}/streams/+/get/json"
    answers = [f"{topic}/{kind}" for topic in (get, update) for kind in ("accepted", "rejected")]
    return [
        *(Need("iot:Publish", f"topic/{t}".replace("+", any_id)) for t in sent),
        *(Need("iot:Subscribe", f"topicfilter/{t}") for t in heard),
        *(Need("iot:Receive", f"topic/{t}".replace("+", any_id)) for t in (*heard, *answers)),
    ]


def documents(
    arn_prefix: str,
    telemetry_topic: str = DATA_TOPIC,
    command_topic: str = COMMAND_TOPIC,
    updates: bool = False,
) -> dict[str, str]:
    """Policy name -> document for one account and region.

    ``arn_prefix`` is "arn:aws:iot:REGION:ACCOUNT:"; ``updates``: with the one for updates. Topics
    other than the usual ones give other policy names, so that both kinds of fleet can live in one
    account. ToolError for a topic that would mean more in a policy than it says: a wildcard, a
    variable.
    """
    own = (telemetry_topic, command_topic)
    wrong = values.telemetry_topic(telemetry_topic, "x"), values.command_topic(command_topic, "x")
    for key, problem in zip(("telemetry_topic", "command_topic"), wrong, strict=True):
        if problem:
            raise ToolError(f"no policy is made: {key}: {problem}")
    mark = ""
    if own != (DATA_TOPIC, COMMAND_TOPIC):
        mark = "-" + hashlib.sha256("\n".join(own).encode()).hexdigest()[:8]
    hearing = ("iot:Subscribe", "iot:Receive")
    both = needs(THING, *own)
    made = {
        _SEND + mark: _allowing([n for n in both if n.action not in hearing], arn_prefix),
        _HEAR + mark: _allowing([n for n in both if n.action in hearing], arn_prefix),
    }
    return {**made, UPDATE: _allowing(update_needs(THING), arn_prefix)} if updates else made


def _allowing(wanted: Sequence[Need], arn_prefix: str) -> str:
    grouped: dict[str, list[str]] = {}
    for need in wanted:
        grouped.setdefault(need.action, []).append(arn_prefix + need.resource)
    return document([_allow(action, resources) for action, resources in grouped.items()])


def _allow(action: str, resources: list[str]) -> dict[str, object]:
    statement: dict[str, object] = {"Effect": "Allow", "Action": action, "Resource": resources}
    if action == "iot:Connect":
        statement["Condition"] = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
    return statement


def document(statements: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


def arn_prefix(arn: str) -> str:
    """The part of an IoT ARN up to the resource: "arn:aws:iot:eu-west-1:123456789012:"."""
    return ":".join(arn.split(":")[:5]) + ":"


class Policies:
    """Makes sure of the policies once per account and topics; safe to share between threads."""

    def __init__(self, iot: Any, update: bool = False, keep: bool = False) -> None:
        """``update``: bring a policy that differs up to date, for every thing that has it.

        ``keep``: a policy made here stays when the thing it was made for fails; others of the
        fleet may be about to use it.
        """
        self._iot = iot
        self.update = update
        self._keep = keep
        self._sure: dict[tuple[str, str, str, bool], tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def ensure(self, arn_prefix: str, config: dict[str, Any], undo: Undo) -> tuple[str, ...]:
        """The names of the policies for a device with ``config``; makes what is missing.

        With ``config["updates"]`` the one for updates is among them.

        ToolError when one of that name says something else and ``update`` was not asked for.
        """
        topics = config["telemetry_topic"], config["command_topic"]
        key = (arn_prefix, *topics, config["updates"])
        with self._lock:
            if key not in self._sure:
                wanted = documents(*key)
                for name, document in wanted.items():
                    self._ensure(name, document, undo)
                self._sure[key] = tuple(wanted)
            return self._sure[key]

    def _ensure(self, name: str, document: str, undo: Undo) -> None:
        there = found(self._iot.get_policy, policyName=name)
        if there is None:
            made = created(self._iot.create_policy, policyName=name, policyDocument=document)
            if made and not self._keep:
                undo.call(f"policy {name}", self._remove_unused, name=name)
        elif json.loads(there["policyDocument"]) != json.loads(document):
            if not self.update:
                raise ToolError(
                    f"the policy {name} in AWS is not the one this firmware needs",
                    "add --update-policy: it changes for every thing that has it",
                )
            self._new_version(name, document, there["defaultVersionId"])

    def _new_version(self, name: str, document: str, current: str) -> None:
        listed = self._iot.list_policy_versions(policyName=name)["policyVersions"]
        if len(listed) >= _MAX_VERSIONS:
            oldest = min((v["versionId"] for v in listed if v["versionId"] != current), key=int)
            self._iot.delete_policy_version(policyName=name, policyVersionId=oldest)
        self._iot.create_policy_version(
            policyName=name, policyDocument=document, setAsDefault=True
        )

    def _remove_unused(self, name: str) -> None:
        """Delete a policy unless another thing has come to use it."""
        with self._lock:
            self._sure = {k: names for k, names in self._sure.items() if name not in names}
            remove_unused(self._iot, name)


def remove_unused(iot: Any, name: str) -> bool:
    """Delete a policy with all its versions if nothing has it attached; True if it is gone."""
    try:
        if iot.list_targets_for_policy(policyName=name, pageSize=1)["targets"]:
            return False
        current = iot.get_policy(policyName=name)["defaultVersionId"]
        for version in iot.list_policy_versions(policyName=name)["policyVersions"]:
            number = version["versionId"]
            if number != current:
                iot.delete_policy_version(policyName=name, policyVersionId=number)
        iot.delete_policy(policyName=name)
    except Exception as e:
        if code_of(e) == "DeleteConflictException":
            return False
        if not is_missing(e):
            raise
    return True
