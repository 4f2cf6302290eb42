"""Target SNS: a topic, and the e-mail address that is subscribed to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tools.aws.errors import found
from tools.aws.rules.target import Home, Step, Target, exists
from tools.errors import ToolError

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class Sns(Target):
    option, metavar = "--sns-email", "ADDRESS"
    help = "readings, or with --alarm only those"
    kind, alarms = "sns", True

    def check(self, value: str) -> None:
        if not _EMAIL.fullmatch(value):
            raise ToolError(f"{value!r} is no e-mail address")

    def action(self, value: str, home: Home) -> dict[str, Any]:
        arn = home.arn("sns", home.name)
        return {"targetArn": arn, "roleArn": home.role_arn, "messageFormat": "RAW"}

    def allows(self, action: dict[str, Any], home: Home) -> tuple[str, str]:
        return "sns:Publish", action["targetArn"]

    def steps(self, value: str, home: Home, columns: list[str]) -> Iterator[Step]:
        sns, arn = home.clients.client("sns"), home.arn("sns", home.name)
        yield Step(
            f"SNS topic {home.name}",
            lambda: exists(lambda: sns.get_topic_attributes(TopicArn=arn)),
            lambda: sns.create_topic(Name=home.name, Tags=home.tags),
        )
        if value:
            yield Step(
                f"SNS subscription of {value} (AWS sends a link to confirm)",
                lambda: [] if value in _subscribers(sns, arn) else None,
                lambda: sns.subscribe(TopicArn=arn, Protocol="email", Endpoint=value),
            )

    def note(self, action: dict[str, Any], home: Home, again: str) -> str:
        arn = str(action["targetArn"])
        there = _subscribers(home.clients.client("sns"), arn)
        if not there:
            topic = arn.rpartition(":")[2]
            return f"nobody hears the SNS topic {topic}; {again} {self.option} {self.metavar}"
        if set(there.values()) == {"PendingConfirmation"}:
            return f"{', '.join(there)}: not confirmed yet, the link is in the mail from AWS"
        return ""

    def destroy(self, home: Home, data: bool) -> Iterator[str]:
        sns, arn = home.clients.client("sns"), home.arn("sns", home.name)
        if found(sns.get_topic_attributes, TopicArn=arn) is None:
            return
        if home.tags[0] in sns.list_tags_for_resource(ResourceArn=arn)["Tags"]:
            sns.delete_topic(TopicArn=arn)
            yield f"SNS topic {home.name}: removed"
        else:
            yield f"SNS topic {home.name}: kept, it was not made here"


def _subscribers(sns: Any, arn: str) -> dict[str, str]:
    """Endpoint -> ARN of the subscription, "PendingConfirmation" until the link was followed."""
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn)
    every = found(lambda: [s for page in pages for s in page["Subscriptions"]]) or []
    return {str(s["Endpoint"]): str(s["SubscriptionArn"]) for s in every}
