"""Target Lambda: a function of the user's, which the rule is permitted to invoke."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tools.aws.errors import found
from tools.aws.rules.target import Home, Step, Target
from tools.errors import ToolError

_ARN = re.compile(r"arn:[\w-]+:lambda:[\w-]+:\d{12}:function:[\w-]{1,64}(?::[\w$-]+)?")


class Lambda(Target):
    option, metavar, help = "--lambda", "ARN", "gets each reading"
    kind = "lambda"

    def check(self, value: str) -> None:
        if not _ARN.fullmatch(value):
            raise ToolError("--lambda takes the ARN of a function", "aws lambda list-functions")

    def action(self, value: str, home: Home) -> dict[str, Any]:
        return {"functionArn": value}

    def allows(self, action: dict[str, Any], home: Home) -> None:
        """No right of the role: the function has a policy of its own."""

    def steps(self, value: str, home: Home, columns: list[str]) -> Iterator[Step]:
        functions = home.clients.client("lambda")
        yield Step(
            _what(value),
            lambda: _granted(functions, value, home.name) or None,
            lambda: functions.add_permission(
                FunctionName=value,
                StatementId=home.name,
                Action="lambda:InvokeFunction",
                Principal="iot.amazonaws.com",
                SourceAccount=home.account,
                SourceArn=home.arn("iot", f"rule/{home.name}_readings"),
            ),
            (home.name,),
        )

    def release(self, action: dict[str, Any], home: Home) -> Iterator[Step]:
        functions, function = home.clients.client("lambda"), str(action["functionArn"])
        yield Step(
            _what(function),
            lambda: _granted(functions, function, home.name),
            lambda: functions.remove_permission(FunctionName=function, StatementId=home.name),
        )


def _what(function: str) -> str:
    return f"permission of the rule to invoke {function.partition(':function:')[2]}"


def _granted(functions: Any, function: str, sid: str) -> list[Any]:
    answer = found(functions.get_policy, FunctionName=function)
    statements = json.loads(answer["Policy"])["Statement"] if answer else []
    return [sid for statement in statements if statement.get("Sid") == sid]
