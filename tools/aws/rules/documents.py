"""The rules of a set as data: what is wanted, the topic rules, the rights of their role.

Two rules at most: NAME_readings hands every reading on, NAME_alarm only those that match. What
they cannot deliver goes to the topic NAME/rule-errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tools.aws.rules import sql
from tools.aws.rules.dynamodb import DynamoDB
from tools.aws.rules.function import Lambda
from tools.aws.rules.s3 import S3
from tools.aws.rules.sns import Sns
from tools.aws.rules.target import Home, Target
from tools.errors import ToolError

TARGETS: dict[str, Target] = {t.kind: t for t in (Sns(), DynamoDB(), S3(), Lambda())}
OURS = "made by `tools rules apply`: "  # how the description of a rule begins
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,40}")  # so that role and rule names fit (64, 128)
_LEVEL = r"(?:\+|[^+#'\s\x00-\x1f\x7f-\x9f/]*)"
_FILTER = re.compile(rf"(?!$)(?:{_LEVEL}/){{0,7}}(?:#|{_LEVEL})")  # at most 7 slashes
_FILTER_BYTES = 256


@dataclass(frozen=True)
class Wanted:
    to: dict[str, str] = field(default_factory=dict)  # kind of a target -> value of its option
    topic: str = sql.TOPIC
    select: str = sql.SELECT
    where: str = ""
    alarm: str = ""  # such as "temperature > 30"

    def check(self, name: str) -> list[str]:
        """The columns of SELECT; ToolError for what AWS would refuse or nobody can mean."""
        if not _NAME.fullmatch(name):
            raise ToolError("the name must be a letter, then at most 40 letters, digits and _")
        size = len(self.topic.encode("utf-8", "replace"))
        if not _FILTER.fullmatch(self.topic) or size > _FILTER_BYTES:
            hint = f"at most 7 slashes and {_FILTER_BYTES} bytes; + is a whole level, # the last"
            raise ToolError(f"{self.topic!r} is no topic filter", hint)
        for target, value in self.targets():
            target.check(value)
        sql.check_condition(self.where, self.topic, "--where")
        sql.check_condition(self.alarm, self.topic, "--alarm")
        return sql.columns(self.select, self.topic)

    def targets(self) -> list[tuple[Target, str]]:
        return [(target, self.to[kind]) for kind, target in TARGETS.items() if self.to.get(kind)]

    def rules(self) -> dict[str, list[tuple[Target, str]]]:
        """End of a rule's name -> its targets; an alarm reaches SNS also where nobody is named."""
        alarms = [(t, v) for t, v in self.targets() if t.alarms and self.alarm]
        if self.alarm and not alarms:
            alarms = [(t, "") for t in TARGETS.values() if t.alarms]
        readings = [pair for pair in self.targets() if pair not in alarms]
        return {end: to for end, to in (("readings", readings), ("alarm", alarms)) if to}


def payloads(wanted: Wanted, home: Home) -> dict[str, dict[str, Any]]:
    """Rule name -> topicRulePayload, for every rule that is wanted."""
    topic = f"{home.name}/rule-errors"
    alarms = {"readings": "", "alarm": wanted.alarm}
    return {
        f"{home.name}_{end}": {
            "sql": sql.statement(wanted.select, wanted.topic, wanted.where, alarms[end]),
            "description": OURS + home.name,
            "awsIotSqlVersion": sql.VERSION,
            "ruleDisabled": False,
            "actions": [{target.kind: target.action(value, home)} for target, value in targets],
            "errorAction": {"republish": {"roleArn": home.role_arn, "topic": topic, "qos": 1}},
        }
        for end, targets in wanted.rules().items()
    }


def parts(payload: dict[str, Any]) -> list[Any]:
    """A topic rule in parts that can be compared and shown, a line each."""
    return [
        *re.split(r" (?=FROM '|WHERE )", payload["sql"]),
        *({"action": action} for action in payload.get("actions", [])),
        {"errorAction": payload.get("errorAction")},
        {key: payload.get(key) for key in ("awsIotSqlVersion", "ruleDisabled")},
    ]


def actions(rules: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kind, action) of every action of the payloads, the error actions too."""
    for payload in rules:
        for action in (payload.get("errorAction") or {}, *payload.get("actions", [])):
            yield from action.items()


def permissions(rules: Iterable[dict[str, Any]], home: Home) -> list[dict[str, Any]]:
    """The statements of the role's policy: what the actions of these payloads need, no more."""
    allowed: dict[tuple[str, str], None] = {}
    for kind, action in actions(rules):
        if kind == "republish":
            allowed["iot:Publish", home.arn("iot", f"topic/{action['topic']}")] = None
        elif kind in TARGETS:
            right = TARGETS[kind].allows(action, home)
            allowed |= {right: None} if right else {}
    return [{"Effect": "Allow", "Action": right, "Resource": arn} for right, arn in allowed]


def trust(home: Home) -> list[dict[str, Any]]:
    """Who may take the role: AWS IoT, and only for this account (no confused deputy)."""
    return [
        {
            "Effect": "Allow",
            "Principal": {"Service": "iot.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": home.account}},
        }
    ]


def statements(found: Any) -> list[Any]:
    """The statements of a document as AWS gives it: text or object, one or a list."""
    made = (json.loads(found) if isinstance(found, str) else found).get("Statement", [])
    return made if isinstance(made, list) else [made]


def same(found: Any, wanted: Any) -> bool:
    """True if AWS's copy says what ours does; keys it adds count in statements only."""
    if isinstance(wanted, dict) and isinstance(found, dict) and "Effect" not in found:
        return all(same(found.get(key), value) for key, value in wanted.items())
    return bool(found == wanted)


def difference(found: list[Any], wanted: Iterable[Any]) -> list[str]:
    """A line a part: "  " stays, "- " goes, "+ " comes."""
    wanted = list(wanted)
    kept = [any(same(part, other) for other in wanted) for part in found]
    new = [part for part in wanted if not any(same(other, part) for other in found)]
    old = [("  " if stays else "- ") + _line(p) for p, stays in zip(found, kept, strict=True)]
    return old + ["+ " + _line(part) for part in new]


def _line(part: Any) -> str:
    if isinstance(part, str):
        return part
    words = [json.dumps(value) for value in part.values()]
    if "Effect" not in part:  # the values of a statement say it all
        words = [f"{key} {word}" for key, word in zip(part, words, strict=True)]
    text = re.sub(r'"roleArn": "arn:[^"]*:role/', '"role": "', " ".join(words))
    return text.replace('"', "")
