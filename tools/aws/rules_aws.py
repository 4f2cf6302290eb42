"""Brings the rules into AWS: steps in an order that works, each of which looks before it acts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from tools.aws import rules
from tools.aws import rules_targets as targets
from tools.aws.clients import Clients
from tools.aws.errors import code_of, explained, message_of
from tools.aws.rules import Home, Wanted
from tools.aws.rules_targets import MISSING, THERE, Step, compared, found

_ROLE_WAIT_S = 40.0  # a new IAM role is not known everywhere at once
_PAUSE_S = 2.0


def home_of(clients: Clients) -> Home:
    """The account behind the credentials."""
    with explained():
        arn = str(clients.client("sts").get_caller_identity()["Arn"]).split(":")
    return Home(arn[1], clients.region, arn[4])


def apply(steps: list[Step], dry_run: bool = False) -> Iterator[tuple[str, str]]:
    """Carry the steps out in order; yields (what, state it was in) as each is done.

    ToolError on the first that fails; running it again continues there.
    """
    for step in steps:
        with explained():
            state = step.look()
            if state != THERE and not dry_run:
                step.make()
        yield step.what, state


def plan(clients: Clients, wanted: Wanted, home: Home) -> list[Step]:
    """Every step that ``wanted`` needs; ToolError when it makes no sense."""
    client, name = clients.client, wanted.check().name
    arn = rules.topic_arn(wanted, home)
    steps = []
    if wanted.notifies:
        steps.append(targets.sns_topic(client("sns"), arn, name))
    if wanted.email:
        steps.append(targets.sns_email(client("sns"), arn, wanted.email))
    if wanted.table:
        steps.append(targets.table(client("dynamodb"), wanted.table, name))
    if wanted.bucket:
        steps.append(targets.bucket(client("s3"), wanted.bucket, home.region, name))
    steps.append(_role(client("iam"), wanted, home))
    steps.append(_policy(client("iam"), wanted, home))
    for rule, payload in rules.rules(wanted, home).items():
        steps.append(_rule(clients.iot, rule, payload, name))
    if wanted.function:
        steps.append(_permission(client("lambda"), wanted, home))
    return steps


def _role(iam: Any, wanted: Wanted, home: Home) -> Step:
    name, document = rules.role_name(wanted, home), rules.trust(home)

    def make() -> None:
        text = rules.as_text(document)
        try:
            mark = targets.tags(wanted.name)
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=text, Tags=mark)
        except Exception as e:
            if code_of(e) != "EntityAlreadyExists":
                raise
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=text)

    def fits(answer: Any) -> str:
        return compared(answer["Role"]["AssumeRolePolicyDocument"], document)

    return Step(f"IAM role {name}", lambda: found(lambda: iam.get_role(RoleName=name), fits), make)


def _policy(iam: Any, wanted: Wanted, home: Home) -> Step:
    which = {"RoleName": rules.role_name(wanted, home), "PolicyName": wanted.name}
    document = rules.permissions(wanted, home)
    actions = ", ".join(str(s["Action"]) for s in document["Statement"])
    return Step(
        f"IAM policy {wanted.name} of the role: {actions}",
        lambda: found(
            lambda: iam.get_role_policy(**which),
            lambda answer: compared(answer["PolicyDocument"], document),
        ),
        lambda: iam.put_role_policy(**which, PolicyDocument=rules.as_text(document)),
    )


def _rule(iot: Any, name: str, payload: dict[str, Any], mark: str) -> Step:
    def look() -> str:
        if name not in rule_names(iot):
            return MISSING
        return compared(iot.get_topic_rule(ruleName=name)["rule"], payload)

    def make() -> None:
        arguments: dict[str, Any] = {"ruleName": name, "topicRulePayload": payload}
        if name in rule_names(iot):
            _when_role_is_known(lambda: iot.replace_topic_rule(**arguments))
        else:
            arguments["tags"] = f"{rules.TAG}={mark}"
            _when_role_is_known(lambda: iot.create_topic_rule(**arguments))

    return Step(f"topic rule {name}: {payload['sql']}", look, make)


def _permission(functions: Any, wanted: Wanted, home: Home) -> Step:
    function, sid = wanted.function, wanted.name

    def granted(answer: Any) -> str:
        there = [s.get("Sid") for s in json.loads(answer["Policy"])["Statement"]]
        return THERE if sid in there else MISSING

    return Step(
        f"permission of the rule to invoke {function.rsplit(':', 1)[-1]}",
        lambda: found(lambda: functions.get_policy(FunctionName=function), granted),
        lambda: functions.add_permission(
            FunctionName=function,
            StatementId=sid,
            Action="lambda:InvokeFunction",
            Principal="iot.amazonaws.com",
            SourceAccount=home.account,
            SourceArn=home.arn("iot", f"rule/{sid}_readings"),
        ),
    )


def rule_names(iot: Any) -> set[str]:
    """Every topic rule; asked this way because AWS says "denied" for one that is not there."""
    names: set[str] = set()
    token: dict[str, str] = {}
    while True:
        page = iot.list_topic_rules(**token)
        names |= {str(rule["ruleName"]) for rule in page["rules"]}
        if not page.get("nextToken"):
            return names
        token = {"nextToken": page["nextToken"]}


def _when_role_is_known(call: Callable[[], object]) -> None:
    end = time.monotonic() + _ROLE_WAIT_S
    while True:
        try:
            call()
            return
        except Exception as e:
            unknown = "AssumeRole" in message_of(e) or "assume role" in message_of(e)
            if not unknown or time.monotonic() >= end:
                raise
            time.sleep(_PAUSE_S)
