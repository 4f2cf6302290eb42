"""IAM roles of claims: made with the least they need, known again by their tag."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.aws import policy
from tools.aws.errors import found
from tools.aws.rules import documents
from tools.aws.rules.target import Home, Step


def _trust(home: Home, service: str) -> list[dict[str, Any]]:
    statement = dict(documents.trust(home)[0], Principal={"Service": f"{service}.amazonaws.com"})
    if service == "lambda":  # it takes the role of a function in its own name
        del statement["Condition"]
    return [statement]


def role(home: Home, name: str, service: str, wanted: list[dict[str, Any]]) -> Iterator[Step]:
    """A role for ``service`` with the statements ``wanted``; without any it has no rights."""
    iam, trust = home.clients.client("iam"), _trust(home, service)

    def look() -> list[Any] | None:
        there = found(iam.get_role, RoleName=name)
        return there and documents.statements(there["Role"]["AssumeRolePolicyDocument"])

    def make() -> None:
        text = policy.document(trust)
        if look() is None:
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=text, Tags=home.tags)
        else:
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=text)

    yield Step(f"IAM role {name}", look, make, tuple(trust))
    inline = {"RoleName": name, "PolicyName": home.name}

    def look_at_rights() -> list[Any] | None:
        there = found(iam.get_role_policy, **inline)
        return there and documents.statements(there["PolicyDocument"])

    def put() -> None:
        iam.put_role_policy(**inline, PolicyDocument=policy.document(wanted))

    if wanted:
        yield Step(f"IAM policy {home.name} of the role", look_at_rights, put, tuple(wanted))


def remove(home: Home, name: str, dry_run: bool = False) -> str:
    """Remove a role that was made here; the line to say, "" where there is none."""
    iam = home.clients.client("iam")
    there = found(iam.get_role, RoleName=name)
    if there is None:
        return ""
    if home.tags[0] not in there["Role"].get("Tags", []):
        return f"IAM role {name}: kept, it was not made here"
    if dry_run:
        return f"IAM role {name}: would be removed"
    for inline in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=inline)
    iam.delete_role(RoleName=name)
    return f"IAM role {name}: removed"
