"""The pre-provisioning hook: a Lambda function with a list of serial numbers in its package."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tools.aws.errors import found
from tools.aws.rules import apply, documents
from tools.aws.rules.target import Home, Step
from tools.errors import ToolError
from tools.updates import claim_hook, claim_roles

_RUNTIME = "python3.13"


def role_name(home: Home) -> str:
    """Of its role."""
    return f"{home.name}-hook-{home.region}"


def name_of(home: Home) -> str:
    """Of the function."""
    return f"{home.name}-claim-hook"


def steps(home: Home, template_arn: str, serials: Sequence[str]) -> Iterator[Step]:
    """The function with its list, a role without rights, and AWS IoT's right to call it."""
    yield from claim_roles.role(home, role_name(home), "lambda", [])
    functions, name = home.clients.client("lambda"), name_of(home)
    package = bundle(serials)
    digest = base64.b64encode(hashlib.sha256(package).digest()).decode()
    want = {"list and code": digest, "serial numbers": len(serials)}

    def look() -> list[Any] | None:
        there = found(functions.get_function_configuration, FunctionName=name)
        if there and not str(there["Role"]).endswith(f"role/{role_name(home)}"):
            raise ToolError(f"the function {name} was not made here", "another --name")
        same = there and there.get("CodeSha256") == digest
        return there and [want if same else {"list and code": there.get("CodeSha256")}]

    def make() -> None:
        if look() is None:
            apply.when_role_is_known(lambda: _create(home, package))
        else:
            functions.update_function_code(FunctionName=name, ZipFile=package)
        functions.get_waiter("function_active_v2").wait(FunctionName=name)

    yield Step(f"function {name}", look, make, (want,))
    yield _permission(home, template_arn)


def _permission(home: Home, template_arn: str) -> Step:
    functions, name, sid = home.clients.client("lambda"), name_of(home), f"{home.name}-claim"

    def granted() -> list[Any] | None:
        answer = found(functions.get_policy, FunctionName=name)
        statements = documents.statements(answer["Policy"]) if answer else []
        return [sid] if any(s.get("Sid") == sid for s in statements) else None

    def grant() -> None:
        functions.add_permission(
            FunctionName=name,
            StatementId=sid,
            Action="lambda:InvokeFunction",
            Principal="iot.amazonaws.com",
            SourceAccount=home.account,
            SourceArn=template_arn,
        )

    return Step(f"permission of AWS IoT to call {name}", granted, grant, (sid,))


def _create(home: Home, package: bytes) -> None:
    home.clients.client("lambda").create_function(
        FunctionName=name_of(home),
        Runtime=_RUNTIME,
        Role=home.arn("iam", f"role/{role_name(home)}"),
        Handler="claim_hook.handler",
        Code={"ZipFile": package},
        Timeout=4,  # AWS IoT waits five seconds
        Tags={tag["Key"]: tag["Value"] for tag in home.tags},
    )


def bundle(serials: Sequence[str]) -> bytes:
    """The function's package, the same bytes for the same serial numbers."""
    code = Path(claim_hook.__file__).read_bytes()
    lines = "".join(f"{serial}\n" for serial in sorted(serials)).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (("claim_hook.py", code), (claim_hook.SERIALS, lines)):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return made.getvalue()
