"""Target DynamoDB: one item a reading, in a table paid by the request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from tools.aws.errors import found
from tools.aws.rules import sql
from tools.aws.rules.target import Home, Step, Target, drop
from tools.errors import ToolError

_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_KEYS: dict[str, Any] = {
    "KeySchema": [
        {"AttributeName": "device_id", "KeyType": "HASH"},
        {"AttributeName": "reading", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "device_id", "AttributeType": "S"},
        {"AttributeName": "reading", "AttributeType": "S"},
    ],
}
_KINDS = {"device_id": "S", "reading": "S", "seq": "N"}  # what may be a key of the fields we know


class DynamoDB(Target):
    option, metavar, help = "--dynamodb", "TABLE", "made if missing"
    kind = "dynamoDBv2"

    def check(self, value: str) -> None:
        if not _NAME.fullmatch(value):
            hint = "3 to 255 letters, digits, '_', '-' and '.'"
            raise ToolError(f"{value!r} is no name of a table", hint)

    def action(self, value: str, home: Home) -> dict[str, Any]:
        return {"roleArn": home.role_arn, "putItem": {"tableName": value}}

    def allows(self, action: dict[str, Any], home: Home) -> tuple[str, str]:
        table = action["putItem"]["tableName"]
        return "dynamodb:PutItem", home.arn("dynamodb", f"table/{table}")

    def steps(self, value: str, home: Home, columns: list[str]) -> Iterator[Step]:
        dynamodb = home.clients.client("dynamodb")

        def look() -> list[Any] | None:
            answer = found(dynamodb.describe_table, TableName=value)
            _fits(value, answer["Table"] if answer else _KEYS, columns)
            return [] if answer else None

        def make() -> None:
            dynamodb.create_table(
                TableName=value, BillingMode="PAY_PER_REQUEST", Tags=home.tags, **_KEYS
            )
            dynamodb.get_waiter("table_exists").wait(
                TableName=value, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
            )

        yield Step(f"DynamoDB table {value}", look, make)

    def destroy(self, home: Home, data: bool) -> Iterator[str]:
        dynamodb = home.clients.client("dynamodb")
        for page in dynamodb.get_paginator("list_tables").paginate():
            for table in page["TableNames"]:
                arn = home.arn("dynamodb", f"table/{table}")
                tags = dynamodb.list_tags_of_resource(ResourceArn=arn).get("Tags", [])
                if home.tags[0] in tags:
                    remove = partial(dynamodb.delete_table, TableName=table)
                    yield drop(f"DynamoDB table {table}", data, remove)


def _fits(table: str, described: dict[str, Any], columns: list[str]) -> None:
    """ToolError for a table that takes no reading: AWS would refuse each."""
    kinds = {a["AttributeName"]: a["AttributeType"] for a in described["AttributeDefinitions"]}
    keys = [(k["AttributeName"], kinds[k["AttributeName"]]) for k in described["KeySchema"]]
    if ("timestamp", "N") in keys:  # DynamoDB cannot change the key of a table
        raise ToolError(
            f"the table {table} has the sort key timestamp, as 0.1.0 made it: of two readings "
            "in one second it keeps the last",
            f"--dynamodb {table}-2 makes a new one; {table} stays as it is (docs/aws.md)",
        )
    wrong = [
        key
        for key, kind in keys  # of a name that is the user's own the kind is not known
        if key not in columns or kind != _KINDS.get(key, "" if key in sql.FIELDS else kind)
    ]
    if wrong:
        text = ", ".join(f"{key} ({kind})" for key, kind in keys)
        raise ToolError(
            f"the key of the table {table} is {text}; SELECT gives no such {' and '.join(wrong)}",
            f"another --dynamodb TABLE; or in --select {sql.SENDER} AS device_id, "
            f"{sql.READING} AS reading",
        )
