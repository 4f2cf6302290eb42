"""docs/aws.md says what the code does: commands, ways, and every permission."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name

from tools.aws import route

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "aws.md").read_text("utf-8")
SERVICES = ("iot", "iot-data", "sts", "iam", "sns", "dynamodb", "s3", "lambda")
# API names whose permission is called otherwise; and the rest of the table by hand.
OTHERWISE = {
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListObjectsV2": "ListBucket",
    "DeleteObjects": "DeleteObject",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
LOCAL_ONLY = {"CreateKeysAndCertificate"}  # viewer.py, never against AWS


def calls() -> set[str]:
    """Every AWS operation that is called by its name anywhere in the tools that ask AWS."""
    session = boto3.session.Session()
    known: dict[str, str] = {}
    for service in SERVICES:
        client = session.client(
            service, "eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        known |= {xform_name(n): n for n in client.meta.service_model.operation_names}
    found = set()
    files = [
        p for part in ("aws", "doctor", "updates") for p in (ROOT / "tools" / part).rglob("*.py")
    ]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and "_" in node.attr and node.attr in known:
                found.add(known[node.attr])
            if isinstance(node, ast.Constant) and node.value in known and "_" in str(node.value):
                found.add(known[node.value])  # get_paginator("list_things")
    return found


def test_every_permission_is_listed() -> None:
    section = TEXT.split("## What the tools need in IAM")[1].split("\n## ")[0]
    listed = set(re.findall(r"(?:\w+:)?(\w+)", section))
    wanted = {OTHERWISE.get(name, name) for name in calls() - LOCAL_ONLY}
    assert len(wanted) > 40
    assert wanted - listed == set()


@pytest.mark.parametrize("via", route.PORTS)
def test_every_way_is_in_the_table(via: str) -> None:
    (row,) = re.findall(rf"^\| `{via}` \| (\d+) \|.*\| (yes|no) \| (yes|no) \|", TEXT, re.M)
    assert row == (str(route.PORTS[via]), "yes", "yes" if via in route.SUBSCRIBING else "no")


def test_every_command_exists(said: Any) -> None:
    known = set(re.findall(r"^│ (\w[\w-]*) ", said("--help").out, re.M))
    named = set(re.findall(r"python -m tools ([a-z]+)", TEXT))
    named |= set(re.findall(r"^\| `([a-z]+) ?(?:THING)?", TEXT.split("## A fleet")[0], re.M))
    named -= {"config", "certs", "thing"}  # files of the first table
    assert named >= {"provision", "rotate", "rules", "watch"}
    assert named - known == set()
