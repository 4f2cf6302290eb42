"""Target S3: one object a reading, in a bucket closed to the public."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from tools.aws.rules.sql import SENDER
from tools.aws.rules.target import Home, Step, Target, drop, exists
from tools.errors import ToolError

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CLOSED = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
# From the message, whatever SELECT gives. seq never repeats for a thing, so a reading delivered
# twice is one object; floor() leaves nothing but digits of what the payload claims.
_KEY = f"readings/${{{SENDER}}}/${{floor(timestamp)}}-${{floor(seq)}}.json"


class S3(Target):
    option, metavar, help = "--s3", "BUCKET", "made if missing"
    kind = "s3"

    def check(self, value: str) -> None:
        if not _NAME.fullmatch(value):
            raise ToolError(
                f"{value!r} is no name of a bucket", "3 to 63 of a-z, 0-9, '-' and '.'"
            )

    def action(self, value: str, home: Home) -> dict[str, Any]:
        return {"roleArn": home.role_arn, "bucketName": value, "key": _KEY}

    def allows(self, action: dict[str, Any], home: Home) -> tuple[str, str]:
        folder = str(action["key"]).split("$")[0]
        return "s3:PutObject", f"arn:{home.partition}:s3:::{action['bucketName']}/{folder}*"

    def steps(self, value: str, home: Home, columns: list[str]) -> Iterator[Step]:
        s3 = home.clients.client("s3")

        def make() -> None:
            place: dict[str, Any] = {}
            if home.region != "us-east-1":  # which S3 does not want to be named
                place["CreateBucketConfiguration"] = {"LocationConstraint": home.region}
            s3.create_bucket(Bucket=value, **place)
            s3.put_public_access_block(
                Bucket=value, PublicAccessBlockConfiguration=dict.fromkeys(_CLOSED, True)
            )
            s3.put_bucket_tagging(Bucket=value, Tagging={"TagSet": home.tags})

        yield Step(
            f"S3 bucket {value}", lambda: exists(lambda: s3.head_bucket(Bucket=value)), make
        )

    def destroy(self, home: Home, data: bool) -> Iterator[str]:
        s3 = home.clients.client("s3")
        for name in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
            try:
                tags = s3.get_bucket_tagging(Bucket=name)["TagSet"]
            except Exception:  # no tags is an error in S3, and other people's may be closed
                continue
            if home.tags[0] in tags:
                yield drop(f"S3 bucket {name}", data, partial(_empty, s3, name))


def _empty(s3: Any, bucket: str) -> None:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
        if keys:  # at most 1,000, which is also what one call deletes
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})
    s3.delete_bucket(Bucket=bucket)
