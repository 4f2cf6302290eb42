"""Decides what IoT policies allow: by asking AWS, or as AWS does; for `doctor` and for tests.

Rules (aws-facts.md 3): deny by default, an explicit Deny wins, `*` is any run of characters and
`?` any one, MQTT's + and # are ordinary characters, a variable without a value matches nothing.
Only the conditions `Bool`, `StringEquals` and `StringLike` on connection variables are known; any
other makes an Allow not count and a Deny count, so an answer errs on the strict side.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.aws.errors import explained
from tools.aws.policy import Need
from tools.errors import ToolError

_VARIABLE = re.compile(r"\$\{([^}]+)\}")
# API reference, AuthInfo: these actions and no others, ten at a time.
_AUTH_ACTIONS = ("iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive")
_AUTH_AT_ONCE = 10
_WILD = re.compile(r"[*$+?#]")  # a value with one of these is not filled in (3.3)


@dataclass(frozen=True)
class Session:
    """Who asks: the client id, and the things its certificate is attached to."""

    client_id: str
    attached_things: frozenset[str]
    arn_prefix: str

    def variables(self) -> dict[str, str]:
        """Policy variables by lower-case name."""
        attached = self.client_id in self.attached_things
        filled = {
            "iot:clientid": self.client_id,
            "iot:connection.thing.isattached": str(attached).lower(),
        }
        if attached:
            filled["iot:connection.thing.thingname"] = self.client_id
        return {k: v for k, v in filled.items() if not _WILD.search(v) and len(v) <= 1024}


def allows(policies: Iterable[str], session: Session, action: str, resource: str) -> bool:
    """True if the documents allow ``action`` on ``resource`` ("topic/a/b", "client/x")."""
    arn, known = session.arn_prefix + resource, session.variables()
    effects = set()
    for statement in _statements(policies):
        effect = statement.get("Effect")
        if not _names_action(statement, action) or not _names_resource(statement, arn, known):
            continue
        holds = _condition(statement.get("Condition", {}), known)
        if holds or (holds is None and effect == "Deny"):
            effects.add(effect)
    return "Allow" in effects and "Deny" not in effects


def by_aws(
    iot: Any, principal: str, session: Session, needs: Sequence[Need]
) -> dict[Need, tuple[str, ...] | None]:
    """What `TestAuthorization` says: None for what is allowed, else the policies that deny it.

    No policy denies it where none allows it. Left out is what AWS cannot be asked for
    (RetainPublish), or did not know enough for (missingContextValues); all of it without the
    permission, and on the local AWS, which has no such call.
    """
    asked = [n for n in needs if n.action in _AUTH_ACTIONS]
    found: dict[Need, tuple[str, ...] | None] = {}
    for i in range(0, len(asked), _AUTH_AT_ONCE):
        infos = [
            {
                "actionType": n.action.removeprefix("iot:").upper(),
                "resources": [session.arn_prefix + n.resource],
            }
            for n in asked[i : i + _AUTH_AT_ONCE]
        ]
        try:
            with explained():
                answer = iot.test_authorization(
                    principal=principal, clientId=session.client_id, authInfos=infos
                )
        except ToolError:
            return {}
        results = {_key(r["authInfo"]): r for r in answer["authResults"]}
        for need, info in zip(asked[i:], infos, strict=False):
            result = results.get(_key(info), {})
            if result.get("missingContextValues") or "authDecision" not in result:
                continue
            denies = result.get("denied", {}).get("explicitDeny", {}).get("policies", [])
            allowed = result["authDecision"] == "ALLOWED"
            found[need] = None if allowed else tuple(p["policyName"] for p in denies)
    return found


def _key(info: Mapping[str, Any]) -> tuple[str, ...]:
    return info["actionType"], *info["resources"]


def _statements(policies: Iterable[str]) -> Iterator[dict[str, Any]]:
    for text in policies:
        found = json.loads(text)["Statement"]
        yield from [found] if isinstance(found, dict) else found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _names_action(statement: Mapping[str, Any], action: str) -> bool:
    wanted = action.lower()
    return any(_like(a.lower(), wanted) for a in _list(statement.get("Action", [])))


def _names_resource(statement: Mapping[str, Any], arn: str, known: Mapping[str, str]) -> bool:
    if "NotResource" in statement:
        others = _list(statement["NotResource"])
        return not any(_like(_fill(r, known), arn) for r in others)
    return any(_like(_fill(r, known), arn) for r in _list(statement.get("Resource", [])))


def _fill(pattern: str, known: Mapping[str, str]) -> str | None:
    """The pattern with its variables, or None when one of them has no value."""
    names = _VARIABLE.findall(pattern)
    if any(name.lower() not in known for name in names):
        return None
    return _VARIABLE.sub(lambda found: known[found.group(1).lower()], pattern)


def _like(pattern: str | None, text: str) -> bool:
    if pattern is None:
        return False
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), text, re.S) is not None


def _condition(condition: Mapping[str, Any], known: Mapping[str, str]) -> bool | None:
    """True, False, or None when it holds a test that is not known here."""
    for test, wanted in condition.items():
        if test not in ("Bool", "StringEquals", "StringLike"):
            return None
        for name, values in wanted.items():
            value = known.get(name.lower())
            texts = [_fill(str(v), known) for v in _list(values)]
            if value is None:
                return False
            if test == "Bool":
                met = value in {(t or "").lower() for t in texts}
            elif test == "StringLike":
                met = any(_like(t, value) for t in texts)
            else:
                met = value in texts
            if not met:
                return False
    return True
