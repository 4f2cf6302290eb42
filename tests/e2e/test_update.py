"""Updates by jobs and streams, on a board with an ESP32's heap and the scripted AWS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.streams import Block
from tests.e2e.updates import Field, Kit, new_key
from tools.updates.release import SIGNATURE_BYTES, Release

_LONG_S = 90.0
pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def field(kit: Kit, tmp_path: Path) -> Iterator[Field]:
    with Field(kit, tmp_path) as made:
        yield made


def test_an_update_of_one_file(field: Field, kit: Kit) -> None:
    field.start()
    field.offer(kit.release())
    ended = field.ended()
    assert (ended.status, ended.details) == ("SUCCEEDED", {"version": "9.0.0"})
    assert field.slot() == "ba"
    field.reported(firmware="9.0.0")
    seqs = field.readings()
    assert sorted(set(seqs)) == list(range(1, max(seqs) + 1))


def _asked(field: Field, stream: str) -> list[int]:
    """The blocks of a stream that were asked for, in order."""
    found = [r for name, verb, r in field.streams.requests if (name, verb) == (stream, "get")]
    return [
        block for request in found for block in range(request["o"], request["o"] + request["n"])
    ]


def _blocks(made: Release, path: str | None = None) -> set[int]:
    """Those that the head is in, or one of the files."""
    at = len(made.manifest) + SIGNATURE_BYTES
    start = 0
    for file in made.files if path else ():
        start, at = at, at + file.size
        if file.path == path:
            break
    return set(range(start // 1024, (at - 1) // 1024 + 1))


def _done(field: Field, job: str, version: str, slot: str) -> None:
    ended = field.ended(job, _LONG_S)
    assert (ended.status, ended.details) == ("SUCCEEDED", {"version": version})
    assert field.slot() == slot
    field.reported(firmware=version)


def test_there_and_back_and_there(field: Field, kit: Kit) -> None:
    # Equal files are copied: of the stream only what differs is fetched.
    field.start()
    for number, slot in ((1, "ba"), (2, "aa"), (3, "ba")):
        made = kit.release(f"9.0.{number}")
        field.offer(made, f"job-{number}")
        _done(field, f"job-{number}", f"9.0.{number}", slot)
        asked = _asked(field, f"s-job-{number}")
        assert sorted(asked) == sorted(_blocks(made) | _blocks(made, "firmware/version.py"))
    field.complete()


_NEW = {"firmware/0.txt": b"0123456789abcdef" * 1250}  # 20 blocks


@pytest.mark.parametrize("what", ["lose", "double", "spoil", "shorten", "alias", "reverse"])
def test_blocks_that_come_otherwise(field: Field, kit: Kit, what: str) -> None:
    field.start()
    made = kit.release(changed=_NEW)
    if what == "reverse":
        field.streams.reverse(3)
    for k in (2, 9, 14):
        if what == "alias":
            field.streams.alias(k, "s-other")
        elif what != "reverse":
            getattr(field.streams, what)(k)
    field.offer(made)
    _done(field, "job-1", "9.0.0", "ba")
    asked = _asked(field, "s-job-1")
    wanted = _blocks(made) | _blocks(made, "firmware/0.txt") | _blocks(made, "firmware/version.py")
    assert set(asked) == wanted
    # At most four at once: what is asked for again is what had not come.
    again = 3 * 3 if what != "double" else 0
    assert len(asked) <= len(wanted) + again + 1
    field.complete()


@pytest.mark.parametrize("how", ["kick", "power", "away"])
def test_interrupted(field: Field, kit: Kit, how: str) -> None:
    field.start()
    made = kit.release(changed=_NEW)
    hits: list[int] = []

    def cut(block: Block) -> list[Block]:
        hits.append(1)
        return []

    field.streams.hurt(12, cut)
    field.offer(made)
    field.broker.wait_for(lambda: hits, _LONG_S)
    mark, so_far = len(field.board.log), len(_asked(field, "s-job-1"))
    if how == "kick":
        field.broker.kick()
    elif how == "power":
        field.board.kill()
        field.board.start()
    else:
        field.broker.listen(False)
        field.broker.kick()
        stored = len(field.readings())
        field.board.wait_for("link: .*next try", _LONG_S, mark)
        field.broker.listen(True)
        field.broker.wait_for(lambda: len(field.readings()) > stored, _LONG_S)
    _done(field, "job-1", "9.0.0", "ba")
    asked = _asked(field, "s-job-1")
    wanted = _blocks(made) | _blocks(made, "firmware/0.txt") | _blocks(made, "firmware/version.py")
    assert set(asked) == wanted
    assert len(asked) <= len(wanted) + 4 + 1, so_far
    field.complete()


def test_the_second_key_and_one_in_place_of_the_first(field: Field, kit: Kit) -> None:
    field.start()
    third, keys = new_key(), kit.firmware()["firmware/keys.txt"].split()
    numbers = [key.public_key().public_numbers().n for key in (kit.keys[1], third)]
    lines = b"".join(b"%0768x\n" % number for number in numbers)
    assert lines.split()[0] in keys
    changed = {"firmware/keys.txt": lines}
    field.offer(kit.release("9.0.1", changed, key=1), "job-1")
    _done(field, "job-1", "9.0.1", "ba")
    field.offer(kit.release("9.0.2", changed, key=0), "job-2")
    ended = field.ended("job-2")
    reason = "the signature is by no key that this board knows"
    assert (ended.status, ended.details) == ("FAILED", {"reason": reason})
    field.offer(kit.release("9.0.2", changed, key=third), "job-3")
    _done(field, "job-3", "9.0.2", "aa")
    # A replay: what was signed for the version before, and one that says that it may be older.
    field.offer(kit.release("9.0.1", changed, key=1), "job-4")
    ended = field.ended("job-4")
    assert ended.status == "FAILED"
    assert "is older than" in ended.details["reason"]
    field.offer(kit.release("9.0.1", changed, key=1, older=True), "job-5")
    _done(field, "job-5", "9.0.1", "ba")
    field.complete()


@pytest.mark.parametrize("how", ["cancel", "time_out"])
def test_ended_from_outside_while_it_is_fetched(field: Field, kit: Kit, how: str) -> None:
    # And the one behind it comes at once.
    field.start()
    field.streams.silent = True
    field.offer(kit.release())
    field.broker.wait_for(lambda: field.streams.requests, _LONG_S)
    field.offer(kit.release("9.0.1"), "job-2")
    mark = len(field.board.log)
    field.streams.silent = False
    if how == "cancel":
        field.jobs.cancel("job-1", force=True)
    else:
        field.jobs.time_out("job-1")
    field.board.wait_for("the job is no longer there", _LONG_S, mark)
    _done(field, "job-2", "9.0.1", "ba")
    assert not any(update.code for update in field.jobs.updates)
    field.complete()


def test_a_job_for_what_runs(field: Field, kit: Kit) -> None:
    field.start()
    field.offer(kit.release(kit.version, built=kit.built))
    field.offer(kit.release("9.0.1"), "job-2")
    ended = field.ended()
    assert ended.status == "SUCCEEDED"
    assert ended.details == {"version": kit.version, "info": "it runs already"}
    _done(field, "job-2", "9.0.1", "ba")
