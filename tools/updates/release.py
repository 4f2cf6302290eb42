"""The form of a release, as docs/updates.md has it: manifest, signature, files.

What is read here is what a board would take: anything else is refused, also what a board would
never look at.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tools.errors import ToolError
from tools.things import signing_keys

SIGNATURE_BYTES = signing_keys.BITS // 8
MOST_LINE, MOST_MANIFEST, MOST_FILE, MOST_IN_ALL = 160, 16_384, 65_536, 200_000
REQUIRED = ("firmware/version.py", signing_keys.BOARD_FILE)

_NUMBER = r"(?:0|[1-9][0-9]{0,9})"
VERSION = rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-[a-z0-9]{{1,16}})?"
MICROPYTHON = rf"{_NUMBER}\.{_NUMBER}"
_HEAD = re.compile(
    rf"fieldmouse 1\nversion ({VERSION})\nbuilt ({_NUMBER})\nboard ([a-z0-9]{{1,16}})\n"
    rf"micropython ({MICROPYTHON}(?: {MICROPYTHON})*)\nolder (yes|no)\nfiles ({_NUMBER})\n\n"
)
_PATH = r"firmware(?:/[a-z0-9_]+){1,3}\.(?:mpy|py|txt)"
_FILE = re.compile(rf"({_PATH}) ({_NUMBER}) ([0-9a-f]{{64}})\n")


class File(NamedTuple):
    """A line of the manifest."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What is signed."""

    version: str
    built: int  # seconds since 2000
    board: str  # the profile, as in boards.json
    micropython: tuple[str, ...]
    older: bool  # a board may go back to it from a newer version
    files: tuple[File, ...]

    def text(self) -> bytes:
        """As it is signed; ToolError for what the form does not allow."""
        head = (
            "fieldmouse 1",
            f"version {self.version}",
            f"built {self.built}",
            f"board {self.board}",
            f"micropython {' '.join(self.micropython)}",
            f"older {'yes' if self.older else 'no'}",
            f"files {len(self.files)}",
            "",
        )
        rows = (f"{file.path} {file.size} {file.sha256}" for file in self.files)
        made = "".join(f"{line}\n" for line in (*head, *rows)).encode()
        _parse(made)
        return made


@dataclass(frozen=True)
class Release(Manifest):
    """A whole release; ``payload`` has the files, one after the other."""

    manifest: bytes
    signature: bytes
    payload: bytes

    def contents(self) -> dict[str, bytes]:
        """Path -> content."""
        return _split(self.files, self.payload)

    def data(self) -> bytes:
        """As it lies in the file."""
        return self.manifest + self.signature + self.payload


def listed(files: Mapping[str, bytes]) -> tuple[File, ...]:
    """The lines of a manifest for ``files``, path -> content, in its order."""
    return tuple(
        File(path, len(files[path]), hashlib.sha256(files[path]).hexdigest())
        for path in sorted(files)
    )


def order(version: str, built: int) -> tuple[int, int, int, int]:
    """By which releases are compared: of two, the newer has the larger one."""
    major, minor, patch = version.partition("-")[0].split(".")
    return int(major), int(minor), int(patch), built


def read(path: Path) -> Release:
    """The release in the file ``path``; ToolError for anything that is not exactly the form.

    The hashes of its files are checked, its signature is not: verify().
    """
    try:
        size = path.stat().st_size
        if size > MOST_MANIFEST + SIGNATURE_BYTES + MOST_IN_ALL:
            raise _not_a_release(f"has {size:,} bytes", str(path))
        return parse(path.read_bytes(), str(path))
    except OSError as e:
        raise ToolError(f"cannot read {path}: {e.strerror}") from e


def parse(data: bytes, name: str = "this") -> Release:
    """The release in ``data``, as read(); ``name`` is for what the error says."""
    manifest, length = _parse(data, name)
    start = length + SIGNATURE_BYTES
    signature, payload = data[length:start], data[start:]
    wanted = sum(file.size for file in manifest.files)
    if len(payload) != wanted:
        has = f"has {len(data):,} bytes, its manifest says {start + wanted:,}"
        raise _not_a_release(has, name)
    contents = _split(manifest.files, payload)
    for file in manifest.files:
        if hashlib.sha256(contents[file.path]).hexdigest() != file.sha256:
            raise _not_a_release(f"{file.path} is damaged (SHA-256)", name)
    return Release(**vars(manifest), manifest=data[:length], signature=signature, payload=payload)


def verify(release: Release, keys: Iterable[rsa.RSAPublicKey]) -> rsa.RSAPublicKey:
    """The one of ``keys`` that has signed ``release``; ToolError if none has."""
    for key in keys:
        try:
            key.verify(release.signature, release.manifest, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            continue
        return key
    raise ToolError(
        f"{release.version}: none of the keys has signed it", "is it whole, and signed by us?"
    )


def _parse(data: bytes, name: str = "this") -> tuple[Manifest, int]:
    """The manifest that ``data`` begins with, and its length."""
    # Not ASCII: is in no place where the form has anything but ASCII.
    text = data[: MOST_MANIFEST + 1].decode("latin-1")
    head = _HEAD.match(text)
    if head is None:
        raise _not_a_release("it does not begin with a manifest", name)
    version, built, board, micropython, older, count = head.groups()
    at, files = head.end(), list[File]()
    while len(files) < int(count):
        row = _FILE.match(text, at)
        if row is None:
            raise _not_a_release(_why_no_row(text, at, len(files), int(count)), name)
        files.append(File(row[1], int(row[2]), row[3]))
        at = row.end()
    pythons = micropython.split()
    problem = _problem(text[:at], files, pythons)
    if problem:
        raise _not_a_release(problem, name)
    yes = older == "yes"
    return Manifest(version, int(built), board, tuple(pythons), yes, tuple(files)), at


def _why_no_row(text: str, at: int, number: int, count: int) -> str:
    line, end, _ = text[at:].partition("\n")
    if not end and len(text) > MOST_MANIFEST:
        return f"the manifest is longer than {MOST_MANIFEST:,} bytes"
    return f"file {number + 1} of {count} in the manifest is not right: {line[:MOST_LINE]!r}"


def _problem(text: str, files: Sequence[File], pythons: Sequence[str]) -> str:
    """What of the limits the manifest ``text`` does not keep, "" if all are kept."""
    if len(text) > MOST_MANIFEST:
        return f"the manifest has {len(text):,} bytes, more than {MOST_MANIFEST:,}"
    longest = max(text.splitlines(), key=len)
    if len(longest) > MOST_LINE:
        return f"a line has {len(longest)} bytes, more than {MOST_LINE}: {longest}"
    paths = [file.path for file in files]
    if any(a >= b for a, b in pairwise(paths)):
        return "the files are not sorted, or one is there twice"
    missing = [path for path in REQUIRED if path not in paths]
    if missing:
        return f"{missing[0]} is not among the files"
    if len(set(pythons)) != len(pythons):
        return "a version of MicroPython is there twice"
    large = [file for file in files if file.size > MOST_FILE]
    if large:
        return f"{large[0].path} has {large[0].size:,} bytes, more than {MOST_FILE:,}"
    total = sum(file.size for file in files)
    if total > MOST_IN_ALL:
        return f"the files have {total:,} bytes, more than {MOST_IN_ALL:,}"
    return ""


def _split(files: Iterable[File], payload: bytes) -> dict[str, bytes]:
    found, at = dict[str, bytes](), 0
    for file in files:
        found[file.path] = payload[at : at + file.size]
        at += file.size
    return found


def _not_a_release(why: str, name: str) -> ToolError:
    return ToolError(f"{name} is not a release: {why}", "docs/updates.md has the form")
