"""Brings the rules into AWS, shows them and takes them out: each step looks before it acts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tools.aws.clients import Clients
from tools.aws.errors import explained, found, message_of
from tools.aws.policy import document
from tools.aws.rules import documents
from tools.aws.rules.documents import OURS, TARGETS, Wanted
from tools.aws.rules.target import Home, Step
from tools.errors import ToolError

THERE, MISSING, DIFFERS = "there", "missing", "differs"
Rules = dict[str, dict[str, Any]]  # rule name -> payload
_ROLE_WAIT_S = 40.0  # a new IAM role is not known everywhere at once
_PAUSE_S = 2.0


def home_of(clients: Clients, name: str) -> Home:
    with explained():
        arn = str(clients.client("sts").get_caller_identity()["Arn"]).split(":")
    return Home(clients, name, arn[1], clients.region, arn[4])


def plan(wanted: Wanted, home: Home) -> list[Step]:
    """Every step that ``wanted`` needs; ToolError when it makes no sense."""
    columns = wanted.check(home.name)
    with explained():
        before, foreign = existing(home)
        made = documents.payloads(wanted, home)
        if taken := foreign & made.keys():
            raise ToolError(f"the topic rule {min(taken)} was not made here", "another --name")
        if not made and (not before or wanted != Wanted()):
            options = ", ".join(target.option for target in TARGETS.values())
            hint = f"{options} or --alarm; together if you like"
            raise ToolError("nothing to do with the readings", hint)
        after = before | made
        return [
            *(
                step
                for targets in wanted.rules().values()
                for target, value in targets
                for step in target.steps(value, home, columns)
            ),
            *role(home, before, after),
            *(_rule(home, name, before.get(name), after[name]) for name in sorted(after)),
            *releases(home, before, after),
        ]


def apply(steps: list[Step], dry_run: bool = False) -> Iterator[tuple[str, str, list[str]]]:
    """Carry the steps out in order; yields (what, state it was in, difference) as each is done.

    All of them look before the first is made. ToolError on the first that fails; running it again
    continues there.
    """
    with explained():
        looked = [(step, *_state(step)) for step in steps]
    for step, state, lines in looked:
        if state != THERE and not dry_run:
            with explained():
                step.make()
        yield step.what, state, lines
    with explained():
        for step, state, _ in looked:
            if step.finish and state != THERE and not dry_run:
                step.finish()


def _state(step: Step) -> tuple[str, list[str]]:
    there = step.look()
    lines = documents.difference(there or [], step.want)
    if there is None:
        return MISSING, lines
    return (DIFFERS if any(not line.startswith("  ") for line in lines) else THERE), lines


def notes(wanted: Wanted | None, home: Home, again: str) -> list[str]:
    """What a person should know about the targets of ``wanted``, or of all that is there."""
    made = documents.payloads(wanted, home) if wanted else {}
    with explained():
        there = existing(home)[0]
        kinds = TARGETS.keys() - (wanted.to.keys() if wanted else ())
        actions = documents.actions((made if wanted else there).values())
        found = {TARGETS[kind].note(a, home, again): None for kind, a in actions if kind in kinds}
    readings = f"{home.name}_readings"
    kept = [kind for kind, _ in documents.actions([(there | made).get(readings, {})])]
    if f"{home.name}_alarm" in there | made and any(
        target.alarms and kind in kept for kind, target in TARGETS.items()
    ):
        say = "mails every reading beside the alarms: apply it with other targets, or destroy it"
        found[f"{readings} {say}"] = None
    return [note for note in found if note]


def show(home: Home) -> Iterator[tuple[str, str, list[str]]]:
    """As ``apply`` for what is there: the rules, and the role against what they need."""
    with explained():
        rules, _ = existing(home)
        steps = list(role(home, rules, rules)) if rules else []
    for name, payload in sorted(rules.items()):
        parts = documents.parts(payload)
        yield f"topic rule {name}", THERE, documents.difference(parts, parts)
    yield from apply(steps, dry_run=True)


def destroy(home: Home, data: bool = False) -> Iterator[str]:
    """Remove rules, permission, role and SNS topic; yields what is gone or kept, line by line.

    With ``data`` the tables and buckets go too, with all that is in them, if their tag says that
    they were made here.
    """
    with explained():
        rules, foreign = existing(home)
        for what, _, _ in apply(releases(home, rules, {})):
            yield f"{what}: removed"
        for rule in rules:
            home.clients.iot.delete_topic_rule(ruleName=rule)
            yield f"topic rule {rule}: removed"
        yield from (f"topic rule {rule}: kept, it was not made here" for rule in foreign)
        yield from _destroy_role(home)
        for target in TARGETS.values():
            yield from target.destroy(home, data)


def existing(home: Home) -> tuple[Rules, set[str]]:
    """The set's topic rules that are in AWS, and the names of those that others have made."""
    names = {f"{home.name}_readings", f"{home.name}_alarm"} & rule_names(home.clients.iot)
    rules = {n: home.clients.iot.get_topic_rule(ruleName=n)["rule"] for n in sorted(names)}
    ours = {n: r for n, r in rules.items() if str(r.get("description")).startswith(OURS)}
    return ours, names - ours.keys()


def rule_names(iot: Any) -> set[str]:
    """Every topic rule; asked this way because AWS says "denied" for one that is not there."""
    pages = iot.get_paginator("list_topic_rules").paginate()
    return {str(rule["ruleName"]) for page in pages for rule in page["rules"]}


def role(home: Home, before: Rules, after: Rules) -> Iterator[Step]:
    """The role and its policy: what the rules ``after`` need, and until then those ``before``."""
    iam, trust = home.clients.client("iam"), documents.trust(home)

    def look() -> list[Any] | None:
        there = found(iam.get_role, RoleName=home.role)
        return there and documents.statements(there["Role"]["AssumeRolePolicyDocument"])

    def make() -> None:
        text = document(trust)
        if look() is None:
            iam.create_role(RoleName=home.role, AssumeRolePolicyDocument=text, Tags=home.tags)
        else:
            iam.update_assume_role_policy(RoleName=home.role, PolicyDocument=text)

    yield Step(f"IAM role {home.role}", look, make, tuple(trust))

    policy = {"RoleName": home.role, "PolicyName": home.name}
    answer = found(iam.get_role_policy, **policy)
    there = documents.statements(answer["PolicyDocument"]) if answer else None
    want = documents.permissions(after.values(), home)
    if {kind for kind, _ in documents.actions(after.values())} - {*TARGETS, "republish"}:
        # Somebody has given a rule of ours another action: what it needs is not known here.
        want += [statement for statement in there or [] if statement not in want]
    both = want + [s for s in documents.permissions(before.values(), home) if s not in want]

    def put(statements: list[dict[str, Any]]) -> None:
        iam.put_role_policy(**policy, PolicyDocument=document(statements))

    yield Step(
        f"IAM policy {home.name} of the role",
        lambda: there,
        lambda: put(both),
        tuple(want),
        (lambda: put(want)) if both != want else None,
    )


def _rule(home: Home, name: str, there: dict[str, Any] | None, payload: dict[str, Any]) -> Step:
    iot, tag = home.clients.iot, home.tags[0]
    create = partial(iot.create_topic_rule, tags=f"{tag['Key']}={tag['Value']}")
    make = partial(
        iot.replace_topic_rule if there else create, ruleName=name, topicRulePayload=payload
    )
    return Step(
        f"topic rule {name}",
        lambda: documents.parts(there) if there else None,
        lambda: when_role_is_known(make),
        tuple(documents.parts(payload)),
    )


def releases(home: Home, before: Rules, after: Rules) -> list[Step]:
    """What the actions that the rules lose leave behind."""
    still = list(documents.actions(after.values()))
    gone = [pair for pair in documents.actions(before.values()) if pair not in still]
    steps = (s for kind, a in gone if kind in TARGETS for s in TARGETS[kind].release(a, home))
    return [step for step in steps if step.look()]


def _destroy_role(home: Home) -> Iterator[str]:
    iam, role = home.clients.client("iam"), home.role
    there = found(iam.get_role, RoleName=role)
    if there is None:
        return
    if home.tags[0] not in there["Role"].get("Tags", []):
        yield f"IAM role {role}: kept, it was not made here"
        return
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=policy)
    iam.delete_role(RoleName=role)
    yield f"IAM role {role}: removed"


def when_role_is_known(call: Callable[[], object]) -> None:
    """Make ``call``; again for a while, should AWS not know a role yet that was just made."""
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
