"""First boot by claim, AWS's side: the provisioning template with all it needs.

Each step looks before it acts, as those of `rules apply`. Boards get the policies of provision.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.aws.errors import explained, found
from tools.aws.rules import apply, documents
from tools.aws.rules.target import Home, Step
from tools.errors import ToolError
from tools.updates import claim_function, claim_roles

OURS = "made by `tools claim template`"  # the description of a template
_NAME = re.compile(r"[0-9A-Za-z_-]{1,36}")  # botocore's TemplateName
_MAX_VERSIONS = 5  # AWS keeps no more of one template


@dataclass(frozen=True)
class Wanted:
    """``policies``: name -> document; ``serials``: who may register, None: no hook is made."""

    policies: Mapping[str, str]
    serials: Sequence[str] | None = None


def check_name(name: str) -> str:
    """The name of a template, or a ToolError for one that AWS would refuse."""
    if not _NAME.fullmatch(name):
        raise ToolError(f"{name!r} is no name for a template", "1 to 36 letters, digits, _ or -")
    return name


def template_arn(home: Home) -> str:
    """The ARN of the template."""
    return home.arn("iot", f"provisioningtemplate/{home.name}")


def body(policies: Sequence[str]) -> dict[str, Any]:
    """The template: the thing is named by its serial number, its certificate is ACTIVE."""
    text = {"Type": "String"}
    certificate = {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"}
    resources: dict[str, Any] = {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": {"Ref": "SerialNumber"}},
        },
        "certificate": {"Type": "AWS::IoT::Certificate", "Properties": certificate},
    }
    for number, name in enumerate(sorted(policies)):
        properties = {"PolicyName": name}
        resources[f"policy{number}"] = {"Type": "AWS::IoT::Policy", "Properties": properties}
    parameters = {"SerialNumber": text, "AWS::IoT::Certificate::Id": text}
    return {"Parameters": parameters, "Resources": resources}


def rights(home: Home, policies: Sequence[str]) -> list[dict[str, Any]]:
    """What AWS IoT does with the role when a board registers, and no more."""

    def allow(actions: str, *resources: str) -> dict[str, Any]:
        arns = [home.arn("iot", resource) for resource in resources]
        action = [f"iot:{name}" for name in actions.split()]
        return {"Effect": "Allow", "Action": action, "Resource": arns}

    named = [f"policy/{name}" for name in sorted(policies)]
    return [
        allow("CreateThing DescribeThing UpdateThing", "thing/*"),
        allow("DescribeCertificate UpdateCertificate", "cert/*"),
        allow("AttachThingPrincipal", "thing/*", "cert/*"),
        allow("AttachPolicy AttachPrincipalPolicy", "cert/*", *named),
        allow("GetPolicy", *named),
    ]


def bench_policy(home: Home) -> dict[str, Any]:
    """The IAM policy of a bench: this one action, on this one template."""
    action, arn = "iot:CreateProvisioningClaim", template_arn(home)
    statement = {"Effect": "Allow", "Action": action, "Resource": arn}
    return {"Version": "2012-10-17", "Statement": [statement]}


def plan(home: Home, wanted: Wanted) -> list[Step]:
    """Every step of `claim template`; ToolError for a template that was not made here."""
    with explained():
        there = template(home)
        if there and there.get("description") != OURS:
            raise ToolError(f"the template {home.name} was not made here", "another --name")
        serials = wanted.serials
        hook = () if serials is None else claim_function.steps(home, template_arn(home), serials)
        return [
            *(_policy(home, *pair) for pair in sorted(wanted.policies.items())),
            *claim_roles.role(home, _role_name(home), "iot", rights(home, list(wanted.policies))),
            *hook,
            _template_step(home, wanted, there),
        ]


def remove(home: Home, dry_run: bool = False) -> Iterator[str]:
    """Take out template, hook and roles, a line each. The policies stay: boards have them.

    ``dry_run``: only the lines.
    """
    functions, name = home.clients.client("lambda"), claim_function.name_of(home)
    done = "would be removed" if dry_run else "removed"
    with explained():
        there = template(home)
        if there and there.get("description") != OURS:
            raise ToolError(f"the template {home.name} was not made here", "another --name")
        if there:
            if not dry_run:
                _remove_template(home)
            yield f"provisioning template {home.name}: {done}"
        if found(functions.get_function, FunctionName=name):
            if not dry_run:
                functions.delete_function(FunctionName=name)
            yield f"function {name}: {done}"
        for role in (_role_name(home), claim_function.role_name(home)):
            if line := claim_roles.remove(home, role, dry_run):
                yield line


def _remove_template(home: Home) -> None:
    iot = home.clients.iot
    for version in _versions(home):
        if not version.get("isDefaultVersion"):
            iot.delete_provisioning_template_version(
                templateName=home.name, versionId=version["versionId"]
            )
    iot.delete_provisioning_template(templateName=home.name)


def template(home: Home) -> dict[str, Any] | None:
    """The template as AWS has it, None without one."""
    answer = found(home.clients.iot.describe_provisioning_template, templateName=home.name)
    return dict(answer) if answer else None


def _versions(home: Home) -> list[dict[str, Any]]:
    iot = home.clients.iot
    return list(iot.list_provisioning_template_versions(templateName=home.name)["versions"])


def _policy(home: Home, name: str, text: str) -> Step:
    iot, wanted = home.clients.iot, documents.statements(text)

    def look() -> list[Any] | None:
        there = found(iot.get_policy, policyName=name)
        if there and json.loads(there["policyDocument"]) != json.loads(text):
            raise ToolError(
                f"the policy {name} in AWS is not the one this firmware needs",
                "python -m tools provision … --update-policy: for every thing that has it",
            )
        return there and wanted

    def make() -> None:
        iot.create_policy(policyName=name, policyDocument=text)

    return Step(f"policy {name}", look, make, tuple(wanted))


def _role_name(home: Home) -> str:
    return f"{home.name}-claim-{home.region}"


def _template_step(home: Home, wanted: Wanted, there: dict[str, Any] | None) -> Step:
    iot = home.clients.iot
    hook = (there or {}).get("preProvisioningHook")  # stays: it is what keeps others out
    if wanted.serials is not None:
        arn = home.arn("lambda", f"function:{claim_function.name_of(home)}")
        hook = {"payloadVersion": "2020-04-01", "targetArn": arn}
    made = body(list(wanted.policies))
    text = json.dumps(made, separators=(",", ":"))
    given = {"templateName": home.name, "enabled": True, "description": OURS}
    given["provisioningRoleArn"] = home.arn("iam", f"role/{_role_name(home)}")
    given |= {"preProvisioningHook": hook} if hook else {}

    def make() -> None:
        if not there:
            kind = "FLEET_PROVISIONING"
            iot.create_provisioning_template(templateBody=text, type=kind, tags=home.tags, **given)
            return
        if json.loads(there["templateBody"]) != made:
            _new_version(home, text)
        iot.update_provisioning_template(**given)

    return Step(
        f"provisioning template {home.name}",
        lambda: _parts(json.loads(there["templateBody"]), there) if there else None,
        lambda: apply.when_role_is_known(make),
        tuple(_parts(made, given)),
    )


def _parts(made: dict[str, Any], about: Mapping[str, Any]) -> list[Any]:
    """What is compared of a template: its resources, and the rest."""
    hook = about.get("preProvisioningHook") or {}
    rest = {
        "role": str(about["provisioningRoleArn"]).split("/")[-1],
        "enabled": bool(about["enabled"]),
        "hook": str(hook.get("targetArn", "none")).split(":")[-1],
    }
    resources = made["Resources"].items()
    return [*({name: resource["Properties"]} for name, resource in resources), rest]


def _new_version(home: Home, text: str) -> None:
    listed = _versions(home)
    if len(listed) >= _MAX_VERSIONS:
        old = min(v["versionId"] for v in listed if not v.get("isDefaultVersion"))
        home.clients.iot.delete_provisioning_template_version(
            templateName=home.name, versionId=old
        )
    home.clients.iot.create_provisioning_template_version(
        templateName=home.name, templateBody=text, setAsDefault=True
    )
