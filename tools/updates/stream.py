"""Brings a release to where boards fetch it: an S3 object, a role that may read it, a stream."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.aws.clients import Clients
from tools.aws.errors import found
from tools.aws.policy import document
from tools.aws.rules import apply as rules
from tools.aws.rules import documents
from tools.aws.rules.s3 import S3
from tools.aws.rules.target import Home, Step
from tools.errors import ToolError

ROLE = "fieldmouse-streams"
_FOLDER = "releases/"  # of the bucket; the role may read nothing else
_MARK_CHARS = 8  # of the hash, in names
_VERSION_CHARS = 20  # of a version, in a job's id: AWS takes 64 for all of it


@dataclass(frozen=True)
class Image:
    """A release as it lies in its file, and what the JSON beside it says."""

    version: str
    board: str
    manifest_bytes: int
    sha256: str
    data: bytes

    @property
    def stream(self) -> str:
        """The id of its stream; AWS takes no dots."""
        version = re.sub("[^a-zA-Z0-9]", "-", self.version)[:_VERSION_CHARS]
        return f"fieldmouse-{version}-{self.sha256[:_MARK_CHARS]}"

    @property
    def key(self) -> str:
        """Where it lies in the bucket."""
        return f"{_FOLDER}{self.stream}.release"

    def document(self) -> dict[str, Any]:
        """The job document (docs/updates.md, Jobs)."""
        return {
            "fieldmouse": "update",
            "version": self.version,
            "stream": self.stream,
            "manifest_bytes": self.manifest_bytes,
        }


def image(wanted: str, releases: Path) -> Image:
    """The release of a version in ``releases``, or in a file; ToolError if it is damaged."""
    path = Path(wanted)
    if path.suffix != ".release":
        path = releases / f"fieldmouse-{wanted}-esp32.release"
    try:
        data = path.read_bytes()
        about = json.loads(path.with_suffix(".json").read_text("utf-8"))
        made = Image(
            str(about["version"]),
            str(about["board"]),
            int(about["manifest_bytes"]),
            hashlib.sha256(data).hexdigest(),
            data,
        )
        whole = (about["bytes"], about["sha256"]) == (len(data), made.sha256)
    except OSError as e:
        there = sorted(p.name for p in path.parent.glob("*.release"))
        hint = f"there: {', '.join(there)}" if there else "python -m tools release"
        raise ToolError(f"{e.filename}: {e.strerror}", hint) from e
    except (ValueError, KeyError, TypeError) as e:
        text = f"{path.with_suffix('.json')} does not describe a release"
        raise ToolError(text, "make the release again: python -m tools release") from e
    if not whole:
        text = f"{path} is not what {path.with_suffix('.json').name} says"
        raise ToolError(text, "make the release again: python -m tools release")
    return made


def home_of(clients: Clients) -> Home:
    """Account and region; what is made there is marked with the role's name."""
    return rules.home_of(clients, ROLE)


def bucket_of(home: Home) -> str:
    """The bucket that is used unless another is named."""
    return f"fieldmouse-releases-{home.account}-{home.region}"


def role_arn(home: Home, role: str) -> str:
    """The ARN of a role that is given by name or ARN; "": the one that is made."""
    return role if role.startswith("arn:") else home.arn("iam", f"role/{role or ROLE}")


def steps(home: Home, made: Image, bucket: str, role: str) -> Iterator[Step]:
    """All that has to be there before a job, in order; ``role`` as role_arn() takes it."""
    S3().check(bucket)
    yield from S3().steps(bucket, home, [])
    yield _object(home, made, bucket)
    if not role:
        yield from _role(home, bucket)
    yield _stream(home, made, bucket, role_arn(home, role))


def _object(home: Home, made: Image, bucket: str) -> Step:
    s3, place = home.clients.client("s3"), {"Bucket": bucket, "Key": made.key}

    def look() -> list[Any] | None:
        there = found(s3.head_object, **place)
        same = there and there["Metadata"].get("sha256") == made.sha256
        return [] if same and there["ContentLength"] == len(made.data) else None

    def make() -> None:
        s3.put_object(**place, Body=made.data, Metadata={"sha256": made.sha256})

    return Step(f"S3 object {made.key}", look, make)


def _role(home: Home, bucket: str) -> Iterator[Step]:
    iam, trust = home.clients.client("iam"), documents.trust(home)

    def look() -> list[Any] | None:
        there = found(iam.get_role, RoleName=ROLE)
        return there and documents.statements(there["Role"]["AssumeRolePolicyDocument"])

    def make() -> None:
        if look() is not None:
            raise ToolError(
                f"the role {ROLE} is not one that AWS IoT may take in this account",
                "delete it, or name another: --role",
            )
        text = document(trust)
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=text, Tags=home.tags)

    yield Step(f"IAM role {ROLE}", look, make, tuple(trust))

    # One for each bucket: a role is of all regions, a bucket of one.
    policy = {"RoleName": ROLE, "PolicyName": bucket}
    arn = f"arn:{home.partition}:s3:::{bucket}/{_FOLDER}*"
    want = [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": arn}]

    def allowed() -> list[Any] | None:
        answer = found(iam.get_role_policy, **policy)
        return documents.statements(answer["PolicyDocument"]) if answer else None

    def put() -> None:
        iam.put_role_policy(**policy, PolicyDocument=document(want))

    yield Step(f"IAM policy {bucket} of the role", allowed, put, tuple(want))


def _stream(home: Home, made: Image, bucket: str, role: str) -> Step:
    iot = home.clients.iot
    file = {"fileId": 0, "s3Location": {"bucket": bucket, "key": made.key}}

    def look() -> list[Any] | None:
        there = found(iot.describe_stream, streamId=made.stream)
        if there is None:
            return None
        info = there["streamInfo"]
        return [*info["files"], {"role": info["roleArn"]}]

    def make() -> None:
        call = iot.create_stream if look() is None else iot.update_stream
        rules.when_role_is_known(lambda: call(streamId=made.stream, files=[file], roleArn=role))

    return Step(f"stream {made.stream}", look, make, (file, {"role": role}))
