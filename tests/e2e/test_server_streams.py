"""The file streams of the scripted broker: blocks, limits, and how they can go wrong."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import pki
from tests.e2e.server import Server
from tests.e2e.streams import Streams
from tests.e2e.test_server_jobs import Thing

BASE = "$aws/things/barn/streams/s-1/"
FILE = bytes(n * 7 % 251 for n in range(1000))


@pytest.fixture
def streams(broker: Server) -> Streams:
    made = Streams(broker)
    made.put("s-1", {0: FILE, 7: bytes(300_000)}, ["barn"], version=3, description="a release")
    return made


@pytest.fixture
def barn(streams: Streams, broker: Server, ca: pki.Authority, tmp_path: Path) -> Thing:
    thing = Thing(broker, ca, tmp_path)
    thing.subscribe("$aws/things/barn/streams/+/data/json")
    return thing


def get(barn: Thing, **request: Any) -> list[dict[str, Any]]:
    """The blocks that come."""
    barn.tell(BASE + "get/json", {"f": 0, "l": 256, **request})
    found = barn.messages()
    assert {topic for topic, _ in found} <= {BASE + "data/json"}
    return [block for _, block in found]


def joined(blocks: list[dict[str, Any]]) -> bytes:
    parts = [base64.b64decode(block["p"], validate=True) for block in blocks]
    assert [len(part) for part in parts] == [block["l"] for block in blocks]
    return b"".join(parts)


def test_a_file_in_blocks(barn: Thing) -> None:
    blocks = get(barn, n=4, c="me", s=3)
    assert joined(blocks) == FILE
    assert [(b["c"], b["f"], b["i"], b["l"]) for b in blocks] == [
        ("me", 0, i, size) for i, size in enumerate((256, 256, 256, 232))
    ]
    assert joined(get(barn, o=3, n=9)) == FILE[768:]  # beyond the end: what there is


def test_a_bitmap_is_lowest_bit_first_and_from_the_offset(barn: Thing, streams: Streams) -> None:
    # The developer guide's: blocks 20, 21, 24 and 43 with an offset of 20.
    for text in ("0x130080", "130080"):
        blocks = get(barn, f=7, o=20, b=text)
        assert [b["i"] for b in blocks] == [20, 21, 24, 43]
    assert [b["i"] for b in get(barn, f=7, o=20, b="130080", n=2)] == [20, 21]


def test_more_than_128_kb_are_silently_cut(barn: Thing) -> None:
    assert [b["i"] for b in get(barn, f=7, l=8192, n=30)] == list(range(16))
    (block,) = get(barn, f=7, l=131072 // 4 * 3, n=2)
    assert block["l"] == 98304


def test_describe_and_rejected_go_to_subscribers_only(barn: Thing, streams: Streams) -> None:
    assert barn.tell(BASE + "describe/json", {}).messages() == []
    barn.subscribe(BASE + "description/json", BASE + "rejected/json")
    end, said = barn.ask_for(BASE + "describe/json", {"c": "me"})
    assert end == BASE + "description/json"
    files = [{"f": 0, "z": 1000}, {"f": 7, "z": 300_000}]
    assert said == {"c": "me", "s": 3, "d": "a release", "r": files}
    end, said = barn.ask_for(BASE + "get/json", {"c": "me"})
    assert end == BASE + "rejected/json"
    assert (said["c"], said["o"]) == ("me", "InvalidRequest")


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"", "InvalidJson"),
        (b"[]", "InvalidJson"),
        ({"bogus": 1}, "InvalidRequest"),
        ({"c": "x" * 65}, "InvalidRequest"),
        ({"n": None}, "InvalidRequest"),
        ({"n": True}, "InvalidRequest"),
        ({"n": 0}, "BlockCountLimitExceeded"),
        ({"n": 98305}, "BlockCountLimitExceeded"),
        ({"f": 256}, "InvalidRequest"),
        ({"f": "0"}, "InvalidRequest"),
        ({"f": 1}, "ResourceNotFound"),
        ({"s": 2}, "VersionMismatch"),
        ({"l": 255}, "BlockSizeOutOfBounds"),
        ({"l": 131073}, "BlockSizeOutOfBounds"),
        ({"o": -1}, "OffsetOutOfBounds"),
        ({"o": 98305}, "OffsetOutOfBounds"),
        ({"o": 4}, "OffsetOutOfBounds"),
        ({"b": "zz"}, "InvalidRequest"),
        ({"b": "123"}, "InvalidRequest"),
        ({"b": "00"}, "OffsetOutOfBounds"),
        ({"b": "01" * 12288}, "BlockBitmapLimitExceeded"),
    ],
)
def test_what_is_refused(barn: Thing, streams: Streams, request_: Any, code: str) -> None:
    good = {"f": 0, "l": 256, "o": 0, "n": 1}
    content = request_ if isinstance(request_, bytes) else good | request_
    assert barn.tell(BASE + "get/json", content).messages() == []
    assert streams.rejected == [code]


def test_neither_count_nor_bitmap(barn: Thing, streams: Streams) -> None:
    assert get(barn) == []
    assert streams.rejected == ["InvalidRequest"]


def test_streams_that_are_not_there_or_not_for_it(barn: Thing, streams: Streams) -> None:
    streams.put("s-2", {0: b"x"}, ["other"])
    for stream_id in ("s-2", "s-3"):
        barn.tell(f"$aws/things/barn/streams/{stream_id}/get/json", {"f": 0, "l": 256, "n": 1})
    streams.delete("s-1")
    assert get(barn, n=1) == []
    assert streams.rejected == ["Unauthorized", "ResourceNotFound", "ResourceNotFound"]


def test_the_streams_of_another_thing_end_the_connection(barn: Thing, broker: Server) -> None:
    barn.tell("$aws/things/other/streams/s-1/get/json", {"f": 0, "l": 256, "n": 1})
    assert barn.closed()
    assert broker.violations == ["barn on the streams of other"]


def test_blocks_are_lost_doubled_and_come_backwards(barn: Thing, streams: Streams) -> None:
    streams.lose(2)
    streams.double(3)
    assert [b["i"] for b in get(barn, n=4)] == [0, 2, 2, 3]
    assert [b["i"] for b in get(barn, n=4)] == [0, 1, 2, 3]  # each fault is over
    streams.reverse()
    assert [b["i"] for b in get(barn, n=4)] == [3, 2, 1, 0]
    assert [b["i"] for b in get(barn, n=4)] == [0, 1, 2, 3]
    streams.silent = True
    assert get(barn, n=4) == []
    assert len(streams.requests) == 5


def test_blocks_that_are_wrong(barn: Thing, streams: Streams) -> None:
    streams.shorten(1, by=6)
    streams.spoil(2)
    short, spoiled, good = get(barn, n=3)
    assert (short["l"], base64.b64decode(short["p"])) == (250, FILE[:250])
    with pytest.raises(ValueError, match="base64"):
        base64.b64decode(spoiled["p"], validate=True)
    assert joined([good]) == FILE[512:768]
    streams.alias(1, "s-9")
    barn.tell(BASE + "get/json", {"f": 0, "l": 256, "n": 2})
    topics = [topic for topic, _ in barn.messages()]
    assert topics == ["$aws/things/barn/streams/s-9/data/json", BASE + "data/json"]


@pytest.mark.parametrize(
    ("stream_id", "files"),
    [("s 1", {0: b"x"}), ("s", {}), ("s", {256: b"x"}), ("s", {0: b""})],
)
def test_a_stream_that_aws_would_not_make(
    streams: Streams, stream_id: str, files: dict[int, bytes]
) -> None:
    with pytest.raises(ValueError, match=r"stream id|files"):
        streams.put(stream_id, files, ["barn"])
