"""Takes the rules out of AWS again: what `rules apply` has made under a name, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tools.aws import rules
from tools.aws.clients import Clients
from tools.aws.errors import explained
from tools.aws.rules import Home, Wanted
from tools.aws.rules_aws import rule_names
from tools.aws.rules_targets import missing

_MOST = 1000  # objects S3 deletes in one call


def destroy(clients: Clients, name: str, home: Home, data: bool = False) -> Iterator[str]:
    """Remove rules, permission, role and SNS topic; yields what is gone or kept, line by line.

    With ``data`` the tables and buckets go too, with all that is in them, if their tag says that
    they were made here.
    """
    wanted = Wanted(name)
    with explained():
        payloads = _rules(clients.iot, name)
        for rule in payloads:
            clients.iot.delete_topic_rule(ruleName=rule)
            yield f"topic rule {rule}: removed"
        for function in _targets(payloads, "lambda", "functionArn"):
            yield from _permission(clients.client("lambda"), function, name)
        yield from _role(clients.client("iam"), rules.role_name(wanted, home))
        yield from _topic(clients.client("sns"), rules.topic_arn(wanted, home), name)
        for table in _tables(clients.client("dynamodb"), home, name):
            yield from _data(f"DynamoDB table {table}", data, partial(_drop, clients, table))
        for bucket in _buckets(clients.client("s3"), name):
            yield from _data(f"S3 bucket {bucket}", data, partial(_empty, clients, bucket))


def _rules(iot: Any, name: str) -> dict[str, Any]:
    there = rule_names(iot)
    ours = [rule for rule in (f"{name}_readings", f"{name}_alarm") if rule in there]
    return {rule: iot.get_topic_rule(ruleName=rule)["rule"] for rule in ours}


def _targets(payloads: dict[str, Any], action: str, key: str) -> list[str]:
    actions = [a for payload in payloads.values() for a in payload.get("actions", [])]
    return [str(a[action][key]) for a in actions if action in a]


def _permission(functions: Any, function: str, sid: str) -> Iterator[str]:
    if _gone(lambda: functions.remove_permission(FunctionName=function, StatementId=sid)):
        yield f"permission to invoke {function.rsplit(':', 1)[-1]}: removed"


def _role(iam: Any, role: str) -> Iterator[str]:
    def remove() -> None:
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            iam.delete_role_policy(RoleName=role, PolicyName=policy)
        iam.delete_role(RoleName=role)

    if _gone(remove):
        yield f"IAM role {role}: removed"


def _topic(sns: Any, arn: str, name: str) -> Iterator[str]:
    def remove() -> None:
        sns.get_topic_attributes(TopicArn=arn)  # deleting one that is not there is no error
        if not _tagged(sns.list_tags_for_resource(ResourceArn=arn)["Tags"], name):
            raise _Foreign
        sns.delete_topic(TopicArn=arn)

    try:
        if _gone(remove):
            yield f"SNS topic {name}: removed"
    except _Foreign:
        yield f"SNS topic {name}: kept, it was not made here"


class _Foreign(Exception):
    """Somebody else's."""


def _gone(remove: Callable[[], object]) -> bool:
    """True if ``remove`` removed something, False if there was nothing."""
    try:
        remove()
    except Exception as e:
        if isinstance(e, _Foreign) or not missing(e):
            raise
        return False
    return True


def _tagged(tags: list[dict[str, str]], name: str) -> bool:
    return {"Key": rules.TAG, "Value": name} in tags


def _tables(dynamodb: Any, home: Home, name: str) -> Iterator[str]:
    for page in dynamodb.get_paginator("list_tables").paginate():
        for table in page["TableNames"]:
            arn = home.arn("dynamodb", f"table/{table}")
            if _tagged(dynamodb.list_tags_of_resource(ResourceArn=arn).get("Tags", []), name):
                yield str(table)


def _buckets(s3: Any, name: str) -> Iterator[str]:
    for bucket in s3.list_buckets()["Buckets"]:
        try:
            tags = s3.get_bucket_tagging(Bucket=bucket["Name"])["TagSet"]
        except Exception:  # no tags is an error in S3, and other people's buckets may be closed
            continue
        if _tagged(tags, name):
            yield str(bucket["Name"])


def _data(what: str, data: bool, remove: Callable[[], object]) -> Iterator[str]:
    if data:
        remove()
    yield f"{what}: {'removed' if data else 'kept, --with-data removes it'}"


def _drop(clients: Clients, table: str) -> None:
    clients.client("dynamodb").delete_table(TableName=table)


def _empty(clients: Clients, bucket: str) -> None:
    s3 = clients.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
        for start in range(0, len(keys), _MOST):
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys[start : start + _MOST]})
    s3.delete_bucket(Bucket=bucket)
