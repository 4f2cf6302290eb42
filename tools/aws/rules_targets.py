"""What rules deliver to: SNS topic and subscription, DynamoDB table, S3 bucket; as steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tools.aws.errors import code_of, is_missing
from tools.aws.rules import TABLE_KEYS, TAG, same
from tools.errors import ToolError

THERE, MISSING, DIFFERS = "there", "missing", "differs"
_KEYS_OF_A_READING = (("device_id", "S"), ("reading", "S"), ("seq", "N"))
_CLOSED = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


@dataclass(frozen=True)
class Step:
    """One resource: ``look`` says THERE, MISSING or DIFFERS; ``make`` brings it to THERE."""

    what: str
    look: Callable[[], str]
    make: Callable[[], object]


def missing(error: Exception) -> bool:
    """True for "there is no such thing" in the words of any of these services."""
    return is_missing(error) or code_of(error) in ("404", "NotFound", "NoSuchBucket")


def found(ask: Callable[[], Any], wanted: Callable[[Any], str] = lambda answer: THERE) -> str:
    """MISSING if ``ask`` finds nothing, else what ``wanted`` makes of its answer."""
    try:
        answer = ask()
    except Exception as e:
        if not missing(e):
            raise
        return MISSING
    return wanted(answer)


def compared(there: Any, wanted: dict[str, Any]) -> str:
    """THERE or DIFFERS; AWS gives documents as text or as objects."""
    document = json.loads(there) if isinstance(there, str) else there
    return THERE if same(document, wanted) else DIFFERS


def tags(name: str) -> list[dict[str, str]]:
    """The mark of what was made here, so that `destroy` knows it again."""
    return [{"Key": TAG, "Value": name}]


def sns_topic(sns: Any, arn: str, name: str) -> Step:
    """The topic."""
    return Step(
        f"SNS topic {name}",
        lambda: found(lambda: sns.get_topic_attributes(TopicArn=arn)),
        lambda: sns.create_topic(Name=name, Tags=tags(name)),
    )


def sns_email(sns: Any, arn: str, email: str) -> Step:
    """The subscription, which its owner has to confirm."""

    def subscribed(answer: Any) -> str:
        there = {s["Endpoint"] for s in answer["Subscriptions"]}
        return THERE if email in there else MISSING

    return Step(
        f"SNS subscription of {email} (AWS sends a link to confirm)",
        lambda: found(lambda: sns.list_subscriptions_by_topic(TopicArn=arn), subscribed),
        lambda: sns.subscribe(TopicArn=arn, Protocol="email", Endpoint=email),
    )


def table(dynamodb: Any, name: str, mark: str) -> Step:
    """A table with one item a reading, paid by the request."""

    def fits(answer: Any) -> str:
        kinds = {
            a["AttributeName"]: a["AttributeType"] for a in answer["Table"]["AttributeDefinitions"]
        }
        keys = [
            (k["AttributeName"], kinds[k["AttributeName"]]) for k in answer["Table"]["KeySchema"]
        ]
        if ("timestamp", "N") in keys:  # DynamoDB cannot change the key of a table
            raise ToolError(
                f"the table {name} has the sort key timestamp, as 0.1.0 made it: of two readings "
                "in one second it keeps the last",
                f"--dynamodb {name}-2 makes a new one; {name} stays as it is (docs/aws.md)",
            )
        if any(key not in _KEYS_OF_A_READING for key in keys):
            text = ", ".join(f"{key} ({kind})" for key, kind in keys)
            raise ToolError(
                f"the table {name} has the key {text}, which no reading carries",
                "another --dynamodb TABLE; device_id (S) and reading (S) are right",
            )
        return THERE

    def make() -> None:
        dynamodb.create_table(
            TableName=name,
            AttributeDefinitions=[
                {"AttributeName": key, "AttributeType": kind} for key, kind, _ in TABLE_KEYS
            ],
            KeySchema=[{"AttributeName": key, "KeyType": role} for key, _, role in TABLE_KEYS],
            BillingMode="PAY_PER_REQUEST",
            Tags=tags(mark),
        )
        dynamodb.get_waiter("table_exists").wait(
            TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )

    ask = f"DynamoDB table {name}"
    return Step(ask, lambda: found(lambda: dynamodb.describe_table(TableName=name), fits), make)


def bucket(s3: Any, name: str, region: str, mark: str) -> Step:
    """A bucket closed to the public."""

    def make() -> None:
        place: dict[str, Any] = {}
        if region != "us-east-1":  # which S3 does not want to be named
            place["CreateBucketConfiguration"] = {"LocationConstraint": region}
        s3.create_bucket(Bucket=name, **place)
        s3.put_public_access_block(
            Bucket=name, PublicAccessBlockConfiguration=dict.fromkeys(_CLOSED, True)
        )
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags(mark)})

    return Step(f"S3 bucket {name}", lambda: found(lambda: s3.head_bucket(Bucket=name)), make)
