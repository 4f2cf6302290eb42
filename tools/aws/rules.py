"""The topic rules of a fleet as data: their SQL, actions, role and policy (aws-facts.md 8).

Two rules at most: NAME_readings hands every reading on, NAME_alarm only those that match. What
they cannot deliver goes to the topic NAME/rule-errors.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from firmware.core.telemetry import QUANTITIES
from tools.errors import ToolError

SQL_VERSION = "2016-03-23"
TAG = "fieldmouse"  # on everything that was made here; its value is the name of the rules
# Who sent it: the policy lets a certificate connect under the name of its thing only, whatever
# topics are configured, and a payload may claim what it likes ("n/a" when it came by HTTP).
SENDER = "clientid()"
# Sorts by time, then seq, as text: ten digits each (timestamps until 2286; seq has 32 bits). `+`
# adds numbers, and joins as soon as one side is text (AWS IoT SQL, Operators); lpad() would add so
# many spaces instead of filling up to a width (Functions). Without a timestamp or seq there is no
# key, so that the error action hears of it.
READING = "timestamp + '-' + (1000000000 + seq)"
TABLE_KEYS = (("device_id", "S", "HASH"), ("reading", "S", "RANGE"))
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,40}")
_FILTER = re.compile(r"[^'\s\x00-\x1f\x7f-\x9f]{1,256}")
_FIELDS = tuple(row[0].decode() for row in QUANTITIES)
# By name, not by *: what a payload calls device_id or reading must not come near a key.
_SELECTED = ", ".join(
    (
        f"{SENDER} AS device_id",
        "timestamp",
        "seq",
        *_FIELDS,
        "time",
        f"{READING} AS reading",
        "timestamp() AS received_ms",
    )
)
_TERM = re.compile(r"\s*(\w+)\s*(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)\s*")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True)
class Wanted:
    """What the user asked for; an empty text is not wanted."""

    name: str = "fieldmouse"
    topic: str = "devices/+/data"
    email: str = ""
    table: str = ""
    bucket: str = ""
    function: str = ""  # ARN of a Lambda function
    alarm: str = ""  # such as "temperature > 30"

    def check(self) -> Wanted:
        """Itself; ToolError for what AWS would refuse or nobody can mean."""
        if not _NAME.fullmatch(self.name):
            raise ToolError("the name must be a letter, then letters, digits and _")
        if not _FILTER.fullmatch(self.topic):
            raise ToolError(f"{self.topic!r} is no topic filter")
        if self.email and not _EMAIL.fullmatch(self.email):
            raise ToolError(f"{self.email!r} is no e-mail address")
        if self.function and ":function:" not in self.function:
            raise ToolError("--lambda takes the ARN of a function", "aws lambda list-functions")
        if not any((self.email, self.table, self.bucket, self.function, self.alarm)):
            raise ToolError(
                "nothing to do with the readings",
                "--sns-email, --dynamodb, --s3, --lambda or --alarm; together if you like",
            )
        condition(self.alarm)
        return self

    @property
    def notifies(self) -> bool:
        """True if an SNS topic is needed."""
        return bool(self.email or self.alarm)


@dataclass(frozen=True)
class Home:
    """The account and region it lives in."""

    partition: str
    region: str
    account: str

    def arn(self, service: str, resource: str, region: bool = True) -> str:
        """An ARN in this account."""
        place = self.region if region else ""
        return f"arn:{self.partition}:{service}:{place}:{self.account}:{resource}"


def condition(alarm: str) -> str:
    """The WHERE clause for an alarm: comparisons joined by AND or OR; "" for none."""
    if not alarm.strip():
        return ""
    words = re.split(r"\b(and|or)\b", alarm, flags=re.IGNORECASE)
    made = []
    for number, word in enumerate(words):
        if number % 2:
            made.append(word.upper())
            continue
        term = _TERM.fullmatch(word)
        if term is None or term.group(1) not in _FIELDS:
            raise ToolError(
                f"the alarm {alarm!r} is not understood",
                f"for example 'temperature > 30'; fields: {', '.join(_FIELDS)}; AND, OR",
            )
        made.append(" ".join(term.groups()))
    return " ".join(made)


def role_name(wanted: Wanted, home: Home) -> str:
    """IAM is global: the region is in the name."""
    return f"{wanted.name}-rules-{home.region}"


def topic_arn(wanted: Wanted, home: Home) -> str:
    """The SNS topic."""
    return home.arn("sns", wanted.name)


def rules(wanted: Wanted, home: Home) -> dict[str, dict[str, Any]]:
    """Rule name -> topicRulePayload, for every rule that is wanted."""
    role = f"arn:{home.partition}:iam::{home.account}:role/{role_name(wanted, home)}"
    sns = {"sns": {"targetArn": topic_arn(wanted, home), "roleArn": role, "messageFormat": "RAW"}}
    actions: list[dict[str, Any]] = []
    if wanted.table:
        actions.append({"dynamoDBv2": {"roleArn": role, "putItem": {"tableName": wanted.table}}})
    if wanted.bucket:
        # seq never repeats for a thing, so a reading delivered twice is one object.
        key = f"readings/${{{SENDER}}}/${{floor(timestamp)}}-${{floor(seq)}}.json"
        actions.append({"s3": {"roleArn": role, "bucketName": wanted.bucket, "key": key}})
    if wanted.function:
        actions.append({"lambda": {"functionArn": wanted.function}})
    if wanted.email and not wanted.alarm:
        actions.append(sns)
    made = {}
    sql = f"SELECT {_SELECTED} FROM '{wanted.topic}'"
    if actions:
        made[f"{wanted.name}_readings"] = _payload(wanted, role, sql, actions)
    if wanted.alarm:
        where = f"{sql} WHERE {condition(wanted.alarm)}"
        made[f"{wanted.name}_alarm"] = _payload(wanted, role, where, [sns])
    return made


def _payload(wanted: Wanted, role: str, sql: str, actions: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "sql": sql,
        "description": f"made by `tools rules apply`: {wanted.name}",
        "awsIotSqlVersion": SQL_VERSION,
        "ruleDisabled": False,
        "actions": actions,
        "errorAction": {
            "republish": {"roleArn": role, "topic": f"{wanted.name}/rule-errors", "qos": 1}
        },
    }


def trust(home: Home) -> dict[str, Any]:
    """Who may take the role: AWS IoT, and only for this account (no confused deputy)."""
    return _document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "iot.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": home.account}},
        }
    )


def permissions(wanted: Wanted, home: Home) -> dict[str, Any]:
    """What the role may do: just what the rules need."""
    allowed = [("iot:Publish", home.arn("iot", f"topic/{wanted.name}/rule-errors"))]
    if wanted.notifies:
        allowed.append(("sns:Publish", topic_arn(wanted, home)))
    if wanted.table:
        allowed.append(("dynamodb:PutItem", home.arn("dynamodb", f"table/{wanted.table}")))
    if wanted.bucket:
        bucket = f"arn:{home.partition}:s3:::{wanted.bucket}/readings/*"
        allowed.append(("s3:PutObject", bucket))
    return _document(
        *({"Effect": "Allow", "Action": action, "Resource": arn} for action, arn in allowed)
    )


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def same(found: Any, wanted: Any) -> bool:
    """True if AWS's copy of a document says what ours does; keys it adds do not count."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(same(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return all(same(a, b) for a, b in zip(found, wanted, strict=True))
    return bool(found == wanted)


def as_text(document: dict[str, Any]) -> str:
    """A policy document as AWS takes it."""
    return json.dumps(document, separators=(",", ":"))
