"""Plays MQTT file streams to the boards of the local AWS, which MiniStack cannot.

It listens for their requests with a certificate of its own and answers by the HTTPS data plane:
MiniStack, like AWS, lets no MQTT client write to the topics of the answers. The streams are those
that `create_stream` has made (tools/aws/local_streams.py), their files are in MiniStack's S3.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from tools.aws import local_streams, viewer
from tools.aws.clients import Clients
from tools.sim import blocks

FILTERS = [f"$aws/things/+/streams/+/{verb}/json" for verb in ("get", "describe")]
_TOPIC = re.compile(r"(\$aws/things/[^/]+/streams/([^/]+)/)(get|describe)/json")
_MAX_FILE = 24 * 1024 * 1024


@dataclass
class Played:
    """What has gone through: messages, and the bytes of their payloads."""

    requests: int = 0
    request_bytes: int = 0
    answers: int = 0
    answer_bytes: int = 0

    def copy(self) -> Played:
        """As it is now."""
        return replace(self)

    def since(self, before: Played) -> Played:
        """What has come on top of ``before``."""
        return Played(*(mine - its for mine, its in zip(self._all(), before._all(), strict=True)))

    def _all(self) -> tuple[int, ...]:
        return self.requests, self.request_bytes, self.answers, self.answer_bytes

    def __str__(self) -> str:
        up = f"{self.requests:,} requests, {self.request_bytes:,} bytes"
        return f"{up}; {self.answers:,} answers, {self.answer_bytes:,} bytes"


@contextlib.contextmanager
def playing(clients: Clients, say: Callable[[str], None] = lambda text: None) -> Iterator[Played]:
    """Answer the boards' requests meanwhile; ``clients`` are the local cloud's.

    ``say`` gets a sentence when that is not possible any more, or again. Yields what has been
    played so far.
    """
    played = Played()
    # One at a time, and not in awscrt's thread: what is asked later is answered later.
    with ThreadPoolExecutor(1, "streams") as worker:

        def answer(topic: str, payload: bytes) -> None:
            try:
                _answer(clients, topic, payload, played)
            except Exception as e:  # nobody waits for it: what is not said here is lost
                say(f"{topic}: {type(e).__name__}: {e}")

        def take(topic: str, payload: bytes) -> None:
            with contextlib.suppress(RuntimeError):  # the worker has ended
                worker.submit(answer, topic, payload)

        with viewer.listening(clients, FILTERS, take, say):
            yield played
        worker.shutdown(cancel_futures=True)


def _answer(clients: Clients, topic: str, payload: bytes, played: Played) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    found = _TOPIC.fullmatch(topic)
    assert found is not None, topic
    base, stream_id, verb = found.groups()
    played.requests += 1
    played.request_bytes += len(payload)
    request: dict[str, Any] = {}
    # A cloud that is being stopped answers nobody, as one that is not there.
    with contextlib.suppress(BotoCoreError, ClientError):
        try:
            request = blocks.parsed(payload, verb)
            for end, said in _ANSWERS[verb](clients.client("s3"), stream_id, request):
                _publish(clients, base + end, said | blocks.token(request), played)
        except blocks.Rejected as e:
            answer = e.answer() | blocks.token(request)
            _publish(clients, base + "rejected/json", answer, played)


def _publish(clients: Clients, topic: str, said: dict[str, Any], played: Played) -> None:
    payload = json.dumps(said).encode()
    clients.data.publish(topic=topic, qos=0, payload=payload)
    played.answers += 1
    played.answer_bytes += len(payload)


def _describe(
    s3: Any, stream_id: str, request: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    stream = _stream(s3, stream_id, request)
    sizes = [{"f": number, "z": size} for number, size in sorted(_sizes(s3, stream).items())]
    shown = {"s": stream["streamVersion"], "d": stream.get("description", ""), "r": sizes}
    yield "description/json", shown


def _get(s3: Any, stream_id: str, request: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    stream = _stream(s3, stream_id, request)
    asked = request.get("f")
    sizes = _sizes(s3, stream, asked if type(asked) is int else None)
    number, size, indexes = blocks.wanted(request, sizes)
    where = _places(stream)[number]
    data = _file(s3, where["Bucket"], where["Key"], sizes[number], stream["lastUpdatedAt"])
    for index in indexes:
        yield "data/json", blocks.block(number, index, data[index * size :][:size])


@functools.lru_cache(maxsize=2)  # a fleet asks for one file, a few blocks at a time
def _file(s3: Any, bucket: str, key: str, size: int, made: float) -> bytes:
    """All of a file; ``size`` and ``made`` say whether it is still the one that is kept."""
    found: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return found


_ANSWERS = {"describe": _describe, "get": _get}


def _stream(s3: Any, stream_id: str, request: dict[str, Any]) -> dict[str, Any]:
    stream = local_streams.get(s3, stream_id)
    if stream is None:
        raise blocks.Rejected("ResourceNotFound", f"no stream {stream_id}")
    version = stream["streamVersion"]
    if request.get("s", version) != version:
        raise blocks.Rejected("VersionMismatch", f"it has version {version}")
    return stream


def _places(stream: dict[str, Any]) -> dict[int, dict[str, str]]:
    """Where in S3 each file is."""
    found = {}
    for file in stream["files"]:
        where = file["s3Location"]
        found[file["fileId"]] = {"Bucket": where["bucket"], "Key": where["key"]}
    return found


def _sizes(s3: Any, stream: dict[str, Any], only: int | None = None) -> dict[int, int]:
    """Of all files, or of ``only`` one; of what is not in S3, or too large, none."""
    from botocore.exceptions import ClientError

    found = {}
    for number, place in _places(stream).items():
        if only in (None, number):
            with contextlib.suppress(ClientError):
                found[number] = int(s3.head_object(**place)["ContentLength"])
    return {number: size for number, size in found.items() if size <= _MAX_FILE}
