"""Makes a release: the firmware as `stage` makes it, without what belongs to one thing.

The same commit and keys give the same file, byte for byte, on any computer.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.board import commits, stage
from tools.errors import ToolError
from tools.things import boards, signing_keys
from tools.updates import release
from tools.updates.release import Manifest, Release
from tools.updates.signers import Signer

MICROPYTHON = ("1.25", "1.26", "1.27", "1.28")
# What decides about the bytes of a release.
_SOURCES = ("boot.py", "main.py", "firmware", "tools/board", "tools/things", "tools/updates")
_NO_UPDATES = (
    "its code lies in ROMFS, it has no 3-argument pow and makes no key of its own, and nothing of "
    "an update could be tried (docs/updates.md)"
)


@dataclass(frozen=True)
class Made:
    """A release that was written; ``beside`` is the JSON about it, for `rollout`."""

    release: Release
    file: Path
    beside: Path
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """What is to become a release; ``sensors`` as for stage()."""

    board: str = "esp32"
    micropython: Sequence[str] = MICROPYTHON
    older: bool = False
    sensors: Sequence[str] = ()
    dirty: bool = False  # also from a tree that is no commit


def prepare(
    wanted: Wanted, source: Path = stage.ROOT, keys: Path | None = None
) -> tuple[Manifest, dict[str, bytes], list[str]]:
    """All but the signature: the manifest, its files, and what there is to be warned of.

    Raises ToolError for a board that takes no updates, a tree with changes, a folder without
    ``keys``, or files beyond the limits of a manifest.
    """
    kind = boards.get(wanted.board)
    if not kind.updates:
        raise ToolError(f"no release for an {kind.name}: {_NO_UPDATES}")
    folder = keys or signing_keys.keys_dir()
    if not signing_keys.load(folder):
        hint = f"{signing_keys.NEW_KEY}; then flash the boards, which get its public half"
        raise ToolError(f"{folder} has no *{signing_keys.SUFFIX}: no board would take it", hint)
    warnings: list[str] = []
    version, built = stage.version_of(source), _built(source, wanted.dirty, warnings)
    if not re.fullmatch(release.VERSION, version):
        raise ToolError(
            f"{version} is no version for a release", "as 1.2.3 in firmware/version.py"
        )
    files = stage.firmware(source, kind, wanted.sensors, keys=folder)
    files = {path: data for path, data in files.items() if path.startswith("firmware/")}
    files[stage.VERSION_FILE] = stage.version_file(version, built, kind, files)
    manifest = Manifest(
        version=version,
        built=built,
        board=kind.profile,
        micropython=_sorted(wanted.micropython),
        older=wanted.older,
        files=release.listed(files),
    )
    manifest.text()  # what does not keep to the form is not signed
    return manifest, files, warnings


def make(
    signer: Signer,
    out: Path,
    wanted: Wanted,
    source: Path = stage.ROOT,
    keys: Path | None = None,
) -> Made:
    """Make the release, sign it, and write it and the JSON about it into ``out``.

    ``keys`` has the public keys that go with it; signing_keys.keys_dir() if None. Raises
    ToolError as prepare(), or for a signature that is not right.
    """
    manifest, files, warnings = prepare(wanted, source, keys)
    public = signing_keys.load(keys or signing_keys.keys_dir())
    if not any(signing_keys.same(signer.public, key) for key in public.values()):
        warnings.append(
            f"the key that signs is not among {', '.join(path.name for path in public)}: "
            "a board takes this release only if it has that key from before, and loses it then"
        )
    text = manifest.text()
    payload = b"".join(files[file.path] for file in manifest.files)
    made = release.parse(text + signer.sign(text) + payload)
    release.verify(made, [signer.public])
    name = f"fieldmouse-{made.version}-{made.board}"
    file, beside = out / f"{name}.release", out / f"{name}.json"
    about = {
        "version": made.version,
        "board": made.board,
        "bytes": len(made.data()),
        "manifest_bytes": len(made.manifest),
        "sha256": hashlib.sha256(made.data()).hexdigest(),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        _replace(file, made.data())
        _replace(beside, json.dumps(about, indent=2).encode() + b"\n")
    except OSError as e:
        raise ToolError(f"cannot write {e.filename or out}: {e.strerror}") from e
    return Made(made, file, beside, tuple(warnings))


def _built(source: Path, dirty: bool, warnings: list[str]) -> int:
    """Seconds since 2000 of the commit; of a tree that is none, when it was last changed."""
    try:
        changed = commits.git(source, "status", "--porcelain", "--", *_SOURCES)
        # Not of the last that changed the firmware: a shallow clone does not know it.
        when = commits.git(source, "log", "-1", "--format=%ct").strip()
        why = f"there are changes: {changed.split()[1]} …" if changed else ""
    except (OSError, subprocess.SubprocessError):
        when, why = "", "this is no git checkout"
    if not why and when:
        return int(when) - stage.EPOCH_2000
    if not dirty:
        raise ToolError(f"no release: {why}", "git commit; or --dirty, for a try")
    warnings.append(f"{why}: nobody can make this release again")
    return stage.build_s2000(source, dt.datetime.now(dt.timezone.utc))


def _sorted(versions: Sequence[str]) -> tuple[str, ...]:
    """Those of MicroPython, as a manifest has them."""
    for version in versions:
        if not re.fullmatch(release.MICROPYTHON, version):
            raise ToolError(f"{version!r} is no version of MicroPython", "--micropython 1.25,1.26")
    return tuple(sorted(set(versions), key=lambda text: [int(n) for n in text.split(".")]))


def _replace(path: Path, data: bytes) -> None:
    """Write ``path`` whole or not at all."""
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        fresh = Path(scratch, path.name)
        fresh.write_bytes(data)
        fresh.replace(path)
