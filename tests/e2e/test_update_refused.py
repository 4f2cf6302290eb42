"""What a board must not take: it says so in words, goes on with its readings, and runs nothing.

One board for all of them: whatever one leaves behind must not spoil the next.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import updates
from tests.e2e.jobs import Execution
from tests.e2e.updates import Field, Kit
from tools.updates import release

_numbers = itertools.count(1)
_LONG_S = 30.0


@pytest.fixture(scope="module")
def field(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with Field(kit, tmp_path_factory.mktemp("field")) as made:
        made.start()
        yield made
        seqs = list(dict.fromkeys(made.readings()))
        assert seqs == list(range(1, len(seqs) + 1))
        assert made.repeated() == []
        assert made.board.boots == 1
        assert not made.broker.violations


def _done(field: Field, data: release.Release | bytes, **document: Any) -> Execution:
    job, mark = f"job-{next(_numbers)}", len(field.board.log)
    field.offer(data, job, **document)
    ended = field.ended(job, _LONG_S)
    field.board.wait_for("update: (FAILED|SUCCEEDED)", after=mark)
    so_far = len(field.readings())
    field.broker.wait_for(lambda: len(field.readings()) > so_far, 30)
    assert field.slot() == ""
    return ended


def _refused(field: Field, data: release.Release | bytes, **document: Any) -> str:
    """The reason, in words."""
    ended = _done(field, data, **document)
    assert ended.status == "FAILED", ended.details
    assert set(ended.details) == {"reason"}
    return ended.details["reason"]


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _document(made: release.Release) -> dict[str, Any]:
    return {"version": made.version, "manifest_bytes": len(made.manifest)}


# --- what is signed, and still not for this board


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"board": "esp8266"}, "wrong board: it is for esp8266"),
        ({"micropython": ("1.24", "1.99")}, "is not in its list"),
        ({"version": "0.0.9"}, "version 0.0.9 is older than"),
    ],
)
def test_a_signed_release_that_does_not_fit(
    field: Field, kit: Kit, fields: dict[str, Any], reason: str
) -> None:
    assert reason in _refused(field, kit.release(**fields))
    assert not field.streams.rejected


def test_the_same_version_built_before(field: Field, kit: Kit) -> None:
    # The rollback attack within one version.
    own = kit.version
    assert "is older than" in _refused(field, kit.release(own, built=kit.built - 1))


def test_the_version_that_runs(field: Field, kit: Kit) -> None:
    ended = _done(field, kit.release(kit.version, built=kit.built))
    assert ended.status == "SUCCEEDED"
    assert ended.details == {"version": kit.version, "info": "it runs already"}


# --- signatures


def test_a_key_that_the_board_does_not_know(field: Field, kit: Kit) -> None:
    reason = _refused(field, kit.release(key=updates.new_key()))
    assert reason == "the signature is by no key that this board knows"


@pytest.mark.parametrize("where", ["manifest", "signature", "start", "end"])
def test_one_bit(field: Field, kit: Kit, where: str) -> None:
    made = kit.release()
    length = len(made.manifest)
    at = {"manifest": length - 2, "signature": length + 200}
    at |= {"start": length, "end": length + release.SIGNATURE_BYTES - 1}
    reason = _refused(field, _flipped(made.data(), at[where]), **_document(made))
    assert reason == "the signature is by no key that this board knows"


@pytest.mark.parametrize("value", [0, 1])
def test_a_signature_that_is_a_small_number(field: Field, kit: Kit, value: int) -> None:
    # 0 and 1 to any power are themselves; and one that is the modulus and more is no signature.
    made = kit.release()
    forged = made.manifest + value.to_bytes(release.SIGNATURE_BYTES, "big") + made.payload
    assert "by no key" in _refused(field, forged, **_document(made))


def test_a_signature_above_the_modulus(field: Field, kit: Kit) -> None:
    moduli = [key.public_key().public_numbers().n for key in kit.keys]
    which = moduli.index(min(moduli))
    for more in range(400):  # not every one fits into its 384 bytes
        made = kit.release(key=which, built=kit.built + 1 + more)
        value = int.from_bytes(made.signature, "big") + moduli[which]
        if value < 1 << 3072:
            break
    forged = made.manifest + value.to_bytes(release.SIGNATURE_BYTES, "big") + made.payload
    assert "by no key" in _refused(field, forged, **_document(made))


def test_without_keys(field: Field, kit: Kit) -> None:
    path = field.folder / "firmware/keys.txt"
    keys = path.read_bytes()
    for content in (None, b"", b"\n"):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        assert _refused(field, kit.release()) == "no release key is on this board"
    path.write_bytes(keys)


def test_keys_that_are_none(field: Field, kit: Kit) -> None:
    path = field.folder / "firmware/keys.txt"
    keys = path.read_bytes()
    for content in (b"xyz\n", b"0\n", b"1\n", b"-3\n", b"\xff\xfe\n"):
        path.write_bytes(content)
        assert _refused(field, kit.release())
    path.write_bytes(keys)


# --- files


@pytest.mark.parametrize("number", [0, -1])
def test_one_bit_of_a_file(field: Field, kit: Kit, number: int) -> None:
    made = kit.release(changed={f"firmware/{name}.txt": name.encode() * 2000 for name in "0z"})
    at = 0 if not number else -1
    data = bytearray(made.data())
    data[at or len(made.manifest) + release.SIGNATURE_BYTES] ^= 0x80
    path = made.files[number].path
    reason = _refused(field, bytes(data), **_document(made))
    assert reason == f"b/{path} is damaged: SHA-256 differs"
    assert not (field.folder / "b" / path).exists()


def test_sizes_that_lie(field: Field, kit: Kit) -> None:
    # By a byte each, so that the sum is right.
    made = kit.release(changed={"firmware/0.txt": b"0" * 3000, "firmware/1.txt": b"1" * 3000})
    first, second, *others = made.files
    for by in (1, -1):
        lying = first._replace(size=first.size + by), second._replace(size=second.size - by)
        text = dataclasses.replace(_manifest(made), files=(*lying, *others)).text()
        reason = _refused(field, kit.forged(text, made.contents()), manifest_bytes=len(text))
        assert reason == "b/firmware/0.txt is damaged: SHA-256 differs"


def _manifest(made: release.Release) -> release.Manifest:
    names = [one.name for one in dataclasses.fields(release.Manifest)]
    return release.Manifest(**{name: getattr(made, name) for name in names})


# --- manifests that no tool of ours writes: by who has the key, or has found a fault in the tool

_HASH = hashlib.sha256(b"evil").hexdigest()


def _head(made: release.Release, count: int, **changed: str) -> str:
    known = dict(line.split(" ", 1) for line in made.manifest.decode().splitlines()[:6])
    known |= {"files": str(count)} | changed
    return "".join(f"{key} {value}\n" for key, value in known.items()) + "\n"


def _rows(*rows: str) -> str:
    return "".join(f"{row}\n" for row in sorted(rows))


_BAD = {
    "../config.json": "refused",
    "config.json": "refused",
    "boot.py": "refused",
    "certs/key.pem": "refused",
    "/firmware/x.py": "refused",
    "firmware/../boot.py": "refused",
    "firmware/Boot.py": "refused",
    f"firmware/{'x' * 100}.py": "a line is cut off or too long",
}


@pytest.mark.parametrize(("path", "reason"), _BAD.items())
def test_a_path_that_leads_elsewhere(field: Field, kit: Kit, path: str, reason: str) -> None:
    made = kit.release()
    rows = [" ".join(map(str, file)) for file in made.files]
    text = (_head(made, len(rows) + 1) + _rows(*rows, f"{path} 4 {_HASH}")).encode()
    forged = kit.forged(text, made.contents() | {path: b"evil"})
    said = _refused(field, forged, manifest_bytes=len(text))
    assert said.startswith("manifest: ")
    assert reason in said
    assert (field.folder / "boot.py").read_bytes() == (kit.device / "boot.py").read_bytes()
    assert not (field.folder / "firmware/x.py").exists()


_ROW = f"firmware/a.py 4 {_HASH}\n"
_FORMS = {
    "not sorted": (2, f"firmware/b.py 4 {_HASH}\n" + _ROW, "is not in order"),
    "twice": (2, _ROW + _ROW, "is not in order"),
    "count": (3, _ROW, "sizes are wrong"),
    "too large": (1, _ROW.replace(" 4 ", " 65537 "), "refused"),
    "nothing": (1, _ROW.replace(" 4 ", " 0 "), "refused"),
    "negative": (1, _ROW.replace(" 4 ", " -4 "), "refused"),
    "in all": (
        4,
        "".join(_ROW.replace("a.py 4 ", f"{name}.py 60000 ") for name in "abcd"),
        "sizes are wrong",
    ),
    "no end": (1, _ROW[:-1], "a line is cut off"),
}


@pytest.mark.parametrize(("count", "rows", "reason"), _FORMS.values(), ids=_FORMS)
def test_a_list_of_files_that_is_wrong(
    field: Field, kit: Kit, count: int, rows: str, reason: str
) -> None:
    text = (_head(kit.release(), count) + rows).encode()
    said = _refused(field, kit.forged(text, {"x": b"evil" * 1000}), manifest_bytes=len(text))
    assert said.startswith("manifest: ")
    assert reason in said


_HEADS: dict[str, tuple[dict[str, str], str]] = {
    "form": ({"fieldmouse": "2"}, "manifest: of a newer form than this firmware knows"),
    "version": ({"version": "9.x"}, "version: must be numbers with points"),
    "no version": ({"version": "-"}, "version: must be numbers with points"),
    "built": ({"built": "later"}, ""),
    "board": ({"board": "esp32 esp8266"}, "wrong board"),
    "older": ({"version": "0.0.1", "older": "no yes"}, "is older than"),
}


@pytest.mark.parametrize(("changed", "reason"), _HEADS.values(), ids=_HEADS)
def test_a_head_that_is_wrong(
    field: Field, kit: Kit, changed: dict[str, str], reason: str
) -> None:
    text = (_head(kit.release(), 1, **changed) + _ROW).encode()
    said = _refused(field, kit.forged(text, {"x": b"evil"}), manifest_bytes=len(text))
    assert reason in said


def test_a_manifest_that_is_none(field: Field, kit: Kit) -> None:
    for text in (b"x", b"\n" * 300, b"\xff" * 100, b"fieldmouse 1\n", b"\0" * 16_384):
        said = _refused(field, kit.forged(text, {"x": b"evil"}), manifest_bytes=len(text))
        assert said


# --- job documents


@pytest.mark.parametrize("size", [0, -1, 16_385, 10**9, 10**20, 1.5, True, "12", None])
def test_manifest_bytes_that_cannot_be(field: Field, kit: Kit, size: Any) -> None:
    before = len(field.streams.requests)
    said = _refused(field, kit.release(), manifest_bytes=size)
    assert said == "manifest_bytes: must be 1 to 16384"
    assert len(field.streams.requests) == before


@pytest.mark.parametrize("by", [-1, 1, 100])
def test_manifest_bytes_of_another_length(field: Field, kit: Kit, by: int) -> None:
    made = kit.release()
    said = _refused(field, made, manifest_bytes=len(made.manifest) + by)
    assert said == "the signature is by no key that this board knows"


@pytest.mark.parametrize("stream", ["", "a/b", "#", "+", "x" * 129, "ü", "\0", 7, None, ["s"]])
def test_a_stream_that_has_no_name(field: Field, kit: Kit, stream: Any) -> None:
    # Published to a topic with a wildcard AWS would end every session.
    assert _refused(field, kit.release(), stream=stream) == "stream: no name of one"


@pytest.mark.parametrize(
    "document",
    [
        {"operation": "reboot"},
        {"fieldmouse": None},
        {"fieldmouse": ["update"]},
        {"fieldmouse": {"update": 1}},
        {},
        [],
        "update",
        7,
        None,
    ],
)
def test_a_job_of_somebody_else(field: Field, document: Any) -> None:
    job = f"job-{next(_numbers)}"
    field.jobs.create(updates.THING, job, document)
    ended = field.ended(job, _LONG_S)
    reason = "not a job of Fieldmouse: no known kind in the job document"
    assert (ended.status, ended.details) == ("FAILED", {"reason": reason})


def test_a_job_document_of_32_kb(field: Field) -> None:
    # It never gets into the memory of the board, and must not block what comes behind it.
    job = f"job-{next(_numbers)}"
    field.jobs.create(updates.THING, job, {"fieldmouse": "update", "x": "x" * 32_000})
    field.broker.kick()
    ended = field.ended(job, _LONG_S)
    assert ended.status == "FAILED"
    assert ended.details == {"reason": "the job document is longer than this board can read"}


def test_a_board_that_sleeps(field: Field, kit: Kit) -> None:
    path = field.folder / "config.json"
    before = path.read_text()
    for text in (',"power":"battery"}', ', "power": "battery"\n}', ',"power" : "battery" }'):
        path.write_text(before.rstrip()[:-1] + text)
        said = _refused(field, kit.release())
        assert said == "power mode: a board that sleeps takes no updates"
    path.write_text(before)


# --- replayed


def test_an_old_job_document(field: Field, kit: Kit) -> None:
    # Again, under another id: its stream may be gone or have what it had.
    made = kit.release("0.0.9")
    first = _refused(field, made)
    assert _refused(field, made) == first
