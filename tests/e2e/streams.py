"""The MQTT file streams of AWS IoT for ``server.py``, stricter than AWS's, never kinder.

    streams = Streams(broker)                        # the thing is the client id
    streams.put("s-1", {0: release}, things=["t-1"])
    streams.lose(3)                                  # the third block from now on

All that a stream sends goes to subscribers that are there, at QoS 0. ``streams.requests`` has
what was asked: (stream id, verb, request). To disturb: ``lose``, ``double``, ``shorten``,
``spoil``, ``alias``, each for the k-th block sent from now on (1: the next); ``reverse(n)``: the
blocks of the next n requests come backwards; ``silent = True``: no answers at all.

Stricter: a request must have ``n`` or ``b``, of which one block at least is in the file, and has
no unknown keys; a stream is for the things that it was put for.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tests.e2e.packets import Violation
from tests.e2e.server import Server
from tests.e2e.session import Message
from tools.sim import blocks

MAX_FILE = 24 * 1024 * 1024
MAX_FILES = 10
_TOPIC = re.compile(r"\$aws/things/([^/]+)/streams/([^/]+)/(get|describe)/json")
_STREAM_ID = re.compile(r"[a-zA-Z0-9_-]{1,128}")

Block = tuple[str, dict[str, Any]]
"""Topic and content of one data message."""


@dataclass
class Stream:
    files: dict[int, bytes]
    things: Collection[str]
    version: int
    description: str


class Streams:
    """See the text of the module."""

    def __init__(self, broker: Server) -> None:
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.rejected: list[str] = []
        self.silent = False
        self.sent = 0
        self._streams: dict[str, Stream] = {}
        self._faults: dict[int, Callable[[Block], list[Block]]] = {}
        self._backwards = 0
        broker.responders.append(self._respond)

    # --- for the tests

    def put(
        self,
        stream_id: str,
        files: Mapping[int, bytes],
        things: Collection[str],
        version: int = 1,
        description: str = "",
    ) -> None:
        """Make a stream, or another version of it."""
        good = 1 <= len(files) <= MAX_FILES and all(0 <= n <= 255 for n in files)
        if not good or not all(0 < len(data) <= MAX_FILE for data in files.values()):
            raise ValueError("1 to 10 files, 0 to 255, of at most 24 MB")
        if not _STREAM_ID.fullmatch(stream_id):
            raise ValueError(f"stream id {stream_id!r}")
        self._streams[stream_id] = Stream(dict(files), things, version, description)

    def delete(self, stream_id: str) -> None:
        """It is gone."""
        del self._streams[stream_id]

    def lose(self, k: int) -> None:
        """The k-th block from now is not sent."""
        self.hurt(k, lambda block: [])

    def double(self, k: int) -> None:
        """The k-th block from now comes twice."""
        self.hurt(k, lambda block: [block, block])

    def shorten(self, k: int, by: int = 1) -> None:
        """The k-th block from now says, and has, some bytes less."""

        def cut(block: Block) -> list[Block]:
            topic, data = block
            rest = base64.b64decode(data["p"])[:-by]
            return [(topic, data | {"l": len(rest), "p": base64.b64encode(rest).decode()})]

        self.hurt(k, cut)

    def spoil(self, k: int, start: str = "!") -> None:
        """The base64 of the k-th block from now begins with something else: no base64."""
        self.hurt(k, lambda b: [(b[0], b[1] | {"p": start + b[1]["p"][len(start) :]})])

    def alias(self, k: int, stream_id: str) -> None:
        """The k-th block from now comes on the topic of another stream."""

        def move(block: Block) -> list[Block]:
            parts = block[0].split("/")
            parts[4] = stream_id
            return [("/".join(parts), block[1])]

        self.hurt(k, move)

    def hurt(self, k: int, how: Callable[[Block], list[Block]]) -> None:
        """In place of the k-th block from now, what ``how`` makes of it."""
        self._faults[self.sent + k] = how

    def reverse(self, requests: int = 1) -> None:
        """The blocks of the next requests come backwards."""
        self._backwards = requests

    # --- what devices ask

    def _respond(self, client_id: str, topic: str, payload: bytes) -> list[Message]:
        found = _TOPIC.fullmatch(topic)
        if not found:
            return []
        thing, stream_id, verb = found.groups()
        if thing != client_id:
            raise Violation(f"{client_id} on the streams of {thing}")
        request: dict[str, Any] = {}
        self.requests.append((stream_id, verb, request))
        if self.silent:
            return []
        base = topic.removesuffix(f"{verb}/json")
        try:
            request.update(blocks.parsed(payload, verb))
            token = blocks.token(request)
            stream = self._found(thing, stream_id, request)
            if verb == "describe":
                sizes = [{"f": n, "z": len(data)} for n, data in sorted(stream.files.items())]
                said = {"s": stream.version, "d": stream.description, "r": sizes}
                return [_message(base + "description/json", token | said)]
            sizes_of = {n: len(data) for n, data in stream.files.items()}
            number, size, indexes = blocks.wanted(request, sizes_of)
        except blocks.Rejected as e:
            self.rejected.append(e.code)
            said = e.answer() | blocks.token(request)
            return [_message(base + "rejected/json", said)]
        if self._backwards:
            self._backwards -= 1
            indexes.reverse()
        data = stream.files[number]
        whole = [blocks.block(number, i, data[i * size :][:size]) for i in indexes]
        return [
            _message(*sent)
            for one in whole
            for sent in self._disturbed((base + "data/json", token | one))
        ]

    def _found(self, thing: str, stream_id: str, request: dict[str, Any]) -> Stream:
        stream = self._streams.get(stream_id)
        if stream is None:
            raise blocks.Rejected("ResourceNotFound", f"no stream {stream_id}")
        if thing not in stream.things:
            raise blocks.Rejected("Unauthorized", f"{stream_id} is not for {thing}")
        if request.get("s", stream.version) != stream.version:
            raise blocks.Rejected("VersionMismatch", f"it has version {stream.version}")
        return stream

    def _disturbed(self, block: Block) -> list[Block]:
        self.sent += 1
        how = self._faults.pop(self.sent, None)
        return how(block) if how else [block]


def _message(topic: str, content: dict[str, Any]) -> Message:
    return Message(topic, json.dumps(content).encode(), 0)
