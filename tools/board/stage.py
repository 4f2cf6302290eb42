"""Makes the device file system: `boot.py main.py config.json certs/ firmware/`.

Everything is checked first and written beside ``out``; only a whole tree is moved in. What a stage
wrote is listed in its `firmware/version.py`, so that the next one removes exactly that.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tools.board import bytecode, commits, groups, image, partitions, romfs, room
from tools.errors import ToolError
from tools.things import boards, certs, signing_keys
from tools.things import config as thing_config

ROOT = Path(__file__).resolve().parents[2]
VERSION_FILE = "firmware/version.py"
# boot.py of a board without slots: the names of the whole one would take memory of an ESP8266.
BOOT_WITHOUT_SLOTS = b"import gc\n\ngc.collect()\ngc.threshold(4096)\n"
EPOCH_2000 = 946_684_800  # Unix seconds at 2000-01-01: the zero of every *_s2000
_LISTED = "# files: "
VERSION = re.compile(r"^VERSION = \"([^\"]+)\"$", re.M)


@dataclass(frozen=True)
class Staged:
    """What was written; ``files`` are relative to ``out``, ``config`` is the complete one."""

    out: Path
    files: tuple[str, ...]
    config: dict[str, Any]
    version: str
    build_s2000: int
    certificates: certs.Certificates


def stage(
    config_file: Path,
    certs_dir: Path,
    out: Path,
    board: str = "esp32",
    source: Path = ROOT,
    now: dt.datetime | None = None,
    compiled: bool = True,
    sensors: Sequence[str] = (),
    keys: Path | None = None,
    keyless: bool = False,
) -> Staged:
    """Check everything, then write the file system of ``board``, one of boards.json, to ``out``.

    ``compiled``: the firmware as .mpy, which is what fits a board; else as .py. ``sensors``: whose
    drivers go on; none: the one the configuration names, else those of the board's profile.
    ``keys``: the folder with the public keys that go on; None: signing_keys.keys_dir().
    ``keyless``: without the key of the certificate, which the board has made.

    Raises ToolError with every problem of configuration and certificates, or for an outbox that
    leaves no room; ``out`` is then as it was. `data/`, and what no stage wrote, is never touched.
    """
    kind = boards.get(board)
    now = now or dt.datetime.now(dt.timezone.utc)
    config, problems = thing_config.read(config_file, kind.defaults, kind.chip)
    pair, wrong = certs.load(certs_dir, board, now, keyless)
    problems += wrong
    chosen = _sensors(kind, config, sensors, problems)
    if problems or config is None or pair is None:
        raise ToolError("\n  ".join(["nothing was staged:", *problems]))
    former = _former_files(out)
    files = firmware(source, kind, chosen, config["power"], compiled, keys)
    version, build = version_of(source), build_s2000(source, now)
    files |= {"config.json": thing_config.for_board(config), **pair.files()}
    files[VERSION_FILE] = version_file(version, build, kind, files)
    _check_room(kind, config, files)
    _write(out, files, former)
    return Staged(out, tuple(sorted(files)), config, version, build, pair)


def firmware(
    source: Path,
    board: boards.Board,
    sensors: Sequence[str] = (),
    power: str = "mains",
    compiled: bool = True,
    keys: Path | None = None,
) -> dict[str, bytes]:
    """What of a board's file system is the same for all things, path on the board -> content.

    That is boot.py, main.py, and the firmware with drivers for ``sensors`` (none: those of the
    board's profile) and the public keys in the folder ``keys`` (None: signing_keys.keys_dir()).
    version.py is the one in the sources: version_file() comes in its place.
    """
    problems: list[str] = []
    chosen = _sensors(board, None, sensors, problems)
    if problems:
        raise ToolError("; ".join(problems))
    files = _taken(source, board, chosen, power)
    if compiled:
        files = bytecode.compile_all(files, boards.together(power), board.flat)
    public = signing_keys.load(keys or signing_keys.keys_dir()) if board.updates else {}
    if public:
        files[signing_keys.BOARD_FILE] = signing_keys.board_file(public.values())
    return files


def _check_room(board: boards.Board, config: dict[str, Any], files: dict[str, bytes]) -> None:
    stays = romfs.split(files)[0] if board.romfs else files
    fs = image.FileSystem(stays, partitions.least_bytes(board))
    updates = board.updates and config.get("updates", False)
    if problem := room.problem(config["outbox_bytes"], fs, updates):
        raise ToolError("\n  ".join(["nothing was staged:", problem]))


def _sensors(
    board: boards.Board, config: dict[str, Any] | None, asked: Sequence[str], problems: list[str]
) -> list[str]:
    """The sensors whose drivers go onto the board; adds what is wrong to ``problems``."""
    drivers = boards.drivers()
    unknown = [name for name in asked if name not in drivers]
    problems += [f"no such sensor: {name}; use {', '.join(drivers)}" for name in unknown]
    chosen = list(asked) or board.sensors
    has = {drivers[name] for name in chosen if name in drivers}
    missing = [name for name in _named(config) if drivers[name] not in has]
    if unknown or not missing:
        return chosen
    if asked:
        problems.append(f"sensor: is {missing[0]}, and its driver is not asked for")
    return _named(config)


def _named(config: dict[str, Any] | None) -> list[str]:
    """The chips that `sensor` names; none: whichever is found."""
    sensor = config["sensor"] if config else "auto"
    rows = sensor if isinstance(sensor, list) else [{"chip": sensor.partition("@")[0]}]
    return [row["chip"] for row in rows if row["chip"] != "auto"]


def source_lines(
    text: str, board: str = "esp32", source: Path = ROOT, power: str = "mains"
) -> str:
    """A traceback of a board with the files and lines of the sources (merge.py)."""
    kind = boards.get(board)
    files, together = _taken(source, kind, kind.sensors, power), boards.together(power)
    if kind.flat:
        together = groups.flat_groups(files, together)
    return groups.source_lines(files, together, text)


def _taken(
    source: Path, board: boards.Board, sensors: Sequence[str], power: str
) -> dict[str, bytes]:
    """Those of sources() that go onto such a board."""
    files = {
        path: data
        for path, data in sources(source).items()
        if not path.startswith("firmware/") or board.takes(path, sensors, power)
    }
    return files if board.updates else files | {"boot.py": BOOT_WITHOUT_SLOTS}


def sources(source: Path) -> dict[str, bytes]:
    """The firmware's own files, path on the board -> content."""
    found = [source / "boot.py", source / "main.py"]
    found += (
        p for p in sorted((source / "firmware").rglob("*.py")) if "__pycache__" not in p.parts
    )
    try:
        return {p.relative_to(source).as_posix(): p.read_bytes() for p in found}
    except OSError as e:
        hint = "get it back with: git checkout -- boot.py main.py firmware"
        raise ToolError(f"the firmware is incomplete: {e.filename}: {e.strerror}", hint) from e


def version_of(source: Path) -> str:
    """The firmware's version, from its one place."""
    try:
        found = VERSION.search((source / VERSION_FILE).read_text("utf-8"))
    except OSError:
        found = None
    if found is None:
        raise ToolError(
            f"no VERSION in {source / VERSION_FILE}", f"git checkout -- {VERSION_FILE}"
        )
    return found.group(1)


def build_s2000(source: Path, now: dt.datetime) -> int:
    """When this firmware was made, in seconds since 2000: the board believes no earlier clock.

    `SOURCE_DATE_EPOCH` if set; else the last commit of a clean tree; else the newest file.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    unix_s = int(given) if given.isdecimal() else commits.clean_s(source)
    if unix_s is None:
        unix_s = int(max((source / p).stat().st_mtime for p in sources(source)))
    return min(unix_s, int(now.timestamp())) - EPOCH_2000


def version_file(version: str, build: int, board: boards.Board, files: dict[str, bytes]) -> bytes:
    """The version.py that goes onto ``board`` with ``files``, which it lists."""
    listed = " ".join(sorted({*files, VERSION_FILE}))
    head = "# Written by `python -m tools stage`, or `release`."
    values = f'VERSION = "{version}"\nBUILD_S2000 = {build}'
    if board.updates:  # what a release for it must be for; names cost memory
        values += f'\nBOARD = "{board.profile}"'
    return f"{head}\n{values}\n{_LISTED}{listed}\n".encode()


def _former_files(out: Path) -> set[str]:
    """What an earlier stage wrote to ``out``; a ToolError if something else lives there."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return set()
    if not out.is_dir():
        raise ToolError(f"{out} is not a folder", "give --out a folder that stage may fill")
    try:
        lines = (out / VERSION_FILE).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    listed = [line for line in lines if line.startswith(_LISTED)]
    if not listed:
        hint = "give --out a new or empty folder, or one that stage has written"
        raise ToolError(f"{out} is not empty, and no stage wrote it", hint)
    return {name for name in listed[0][len(_LISTED) :].split() if _is_ours(name)}


def _is_ours(name: str) -> bool:
    # The list is a file on disk: it must never lead us out of the folder or into data/.
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.parts[0] != "data"


def _write(out: Path, files: dict[str, bytes], former: set[str]) -> None:
    fresh = not out.exists()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            new, old = Path(scratch, "new"), Path(scratch, "old")
            for name, data in files.items():
                _put(new / name, data, 0o600 if _is_secret(name) else 0o644)
            (new / "certs").chmod(0o700)
            new.chmod(0o700)
            if fresh:
                new.rename(out)
            else:
                _move_in(new, out, old, sorted(set(files) | former))
    except OSError as e:
        raise ToolError(
            f"cannot write {out}: {e.strerror}: {e.filename}", "free space? rights?"
        ) from e


def _is_secret(name: str) -> bool:
    # config.json holds the Wi-Fi password.
    return name == "config.json" or name.startswith("certs/key.")


def _put(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def _move_in(new: Path, out: Path, old: Path, names: list[str]) -> None:
    """Replace the files of the former stage by the new ones, or leave everything as it was."""
    with ExitStack() as undo:
        for name in names:
            target, kept, made = out / name, old / name, new / name
            if target.is_file() or target.is_symlink():
                kept.parent.mkdir(parents=True, exist_ok=True)
                target.rename(kept)
                undo.callback(kept.rename, target)
            if made.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                made.rename(target)
                undo.callback(target.unlink)
        (out / "certs").chmod(0o700)
        undo.pop_all()
    for folder in sorted({(out / n).parent for n in names} - {out}, reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)
