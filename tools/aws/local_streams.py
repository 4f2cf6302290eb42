"""File streams of the local AWS: what MiniStack does not have of the `iot` API, kept in its S3.

``attach`` makes `create_stream`, `describe_stream`, `update_stream`, `delete_stream` and
`list_streams` of a boto3 client work as AWS's: botocore checks the parameters and raises the
exceptions, only the request does not leave. Each stream is an object in a bucket of MiniStack's;
tools/sim/streams.py plays them to the boards.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
import urllib.parse
from collections.abc import Callable
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

BUCKET = "fieldmouse-local-streams"
_MAX_FILES = 10
_ARN = "arn:aws:iot:us-east-1:000000000000:stream/"


class _Failed(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def attach(iot: Any, s3: Callable[[], Any]) -> None:
    """Let the calls about streams of ``iot`` work on what the client ``s3()`` keeps."""
    for operation in ("Create", "Describe", "Update", "Delete"):
        act = globals()["_" + operation.lower()]
        iot.meta.events.register(f"before-call.iot.{operation}Stream", _answering(act, s3))
    iot.meta.events.register("before-call.iot.ListStreams", _answering(_list, s3))


def get(s3: Any, stream_id: str) -> dict[str, Any] | None:
    """A stream as it was made, with its streamVersion; None when there is none."""
    from botocore.exceptions import ClientError

    try:
        found = s3.get_object(Bucket=BUCKET, Key=stream_id)["Body"].read()
    except ClientError as e:
        if e.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket"):
            return None
        raise
    return dict(json.loads(found))


def _answering(act: Callable[..., dict[str, Any]], s3: Callable[[], Any]) -> Any:
    """The handler by which botocore has its answer before it has asked."""

    def answer(params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        stream_id = urllib.parse.unquote(params["url_path"].rpartition("/")[2])
        body = params.get("body") or b"{}"
        status, said = 200, {}
        try:
            said = act(s3(), stream_id, json.loads(body))
        except _Failed as e:
            status, said = e.status, {"Error": {"Code": e.code, "Message": str(e)}}
        meta = {"ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}}}
        return SimpleNamespace(status_code=status, headers={}), {**said, **meta}

    return answer


def _create(s3: Any, stream_id: str, asked: dict[str, Any]) -> dict[str, Any]:
    if get(s3, stream_id) is not None:
        raise _Failed(409, "ResourceAlreadyExistsException", f"Stream {stream_id} already exists")
    _check(stream_id, asked)
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=BUCKET)
    return _put(s3, stream_id, asked | {"streamVersion": 1, "createdAt": time.time()})


def _update(s3: Any, stream_id: str, asked: dict[str, Any]) -> dict[str, Any]:
    known = _known(s3, stream_id)
    fresh = known | asked | {"streamVersion": known["streamVersion"] + 1}
    _check(stream_id, fresh)
    return _put(s3, stream_id, fresh)


def _describe(s3: Any, stream_id: str, _asked: dict[str, Any]) -> dict[str, Any]:
    known = _known(s3, stream_id)
    times = ("createdAt", "lastUpdatedAt")
    dates = {name: datetime.fromtimestamp(known[name], timezone.utc) for name in times}
    known.pop("tags", None)
    return {"streamInfo": _named(stream_id) | known | dates}


def _delete(s3: Any, stream_id: str, _asked: dict[str, Any]) -> dict[str, Any]:
    _known(s3, stream_id)
    s3.delete_object(Bucket=BUCKET, Key=stream_id)
    return {}


def _list(s3: Any, _stream_id: str, _asked: dict[str, Any]) -> dict[str, Any]:
    try:
        keys = [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    except s3.exceptions.NoSuchBucket:
        keys = []
    found = [(key, get(s3, key)) for key in keys]
    return {"streams": [_named(key) | _short(one) for key, one in found if one is not None]}


def _known(s3: Any, stream_id: str) -> dict[str, Any]:
    found = get(s3, stream_id)
    if found is None:
        raise _Failed(404, "ResourceNotFoundException", f"Stream {stream_id} does not exist")
    return found


def _put(s3: Any, stream_id: str, stream: dict[str, Any]) -> dict[str, Any]:
    kept = json.dumps(stream | {"lastUpdatedAt": time.time()})
    s3.put_object(Bucket=BUCKET, Key=stream_id, Body=kept.encode())
    return _named(stream_id) | _short(stream)


def _named(stream_id: str) -> dict[str, Any]:
    return {"streamId": stream_id, "streamArn": _ARN + stream_id}


def _short(stream: dict[str, Any]) -> dict[str, Any]:
    return {key: stream[key] for key in ("description", "streamVersion") if key in stream}


def _check(stream_id: str, stream: dict[str, Any]) -> None:
    """What AWS checks itself: botocore knows lengths, and no patterns."""
    numbers = [file.get("fileId") for file in stream["files"]]
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", stream_id):
        raise _Failed(400, "InvalidRequestException", f"stream id {stream_id!r}")
    if not 1 <= len(numbers) <= _MAX_FILES or len(set(numbers)) < len(numbers):
        raise _Failed(400, "InvalidRequestException", "1 to 10 files, each with its own id")
    if not all(type(number) is int and 0 <= number <= 255 for number in numbers):
        raise _Failed(400, "InvalidRequestException", "file ids are 0 to 255")
    if not all(file.get("s3Location", {}).keys() >= {"bucket", "key"} for file in stream["files"]):
        raise _Failed(400, "InvalidRequestException", "a file without bucket and key")
    if not re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:role/.+", stream["roleArn"]):
        raise _Failed(400, "InvalidRequestException", f"roleArn {stream['roleArn']!r}")
