"""What it takes to start a virtual board: the interpreter, its path, its memory, its code."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.board import boards, romfs
from tools.errors import ToolError
from tools.sim import hardware

PROFILES = ("esp32", "esp8266")
# Bytes on a 32-bit chip (shared/memory-facts.md 5 and 6). ESP32: what Python's heap starts with;
# it must never outgrow that. ESP8266: 38 KB less the tables of the collector and what _boot.py and
# the file system take.
HEAPS = {"esp32": 56_000, "esp8266": 38 * 1024 - 922 - 2560}
_LEAST_HEAP = 8 * 1024
_MOST_HEAP = 1024**3
_HEAP = re.compile(r"(?:(esp32|esp8266):)?(\d{1,12})(w?)([km]?)")
_ROOM = 256 * 1024  # on 32 bits: for the simulated hardware, which is not the firmware's
_PROBE = "import sys, ffi, uctypes, vfs; print(64 if sys.maxsize > 2**32 else 32, vfs.VfsRom)"


@dataclass(frozen=True)
class Launch:
    """How to start it: ``argv`` and ``env`` are all of it; ``told`` what its settings need."""

    argv: tuple[str, ...]
    env: dict[str, str]
    told: dict[str, Any]

    @property
    def profile(self) -> str:
        """Which chip it is: a name of PROFILES."""
        return str(self.told["profile"])


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

    A number may end in k or m, and have a w before it to be scaled too: MicroPython's own way. It
    is an ESP32's unless "esp8266:" stands before it.
    """
    if text in HEAPS:
        return text, HEAPS[text] * bits // 32
    found = _HEAP.fullmatch(text.lower())
    size = int(found[2]) * {"": 1, "k": 1024, "m": 1024**2}[found[4]] if found else 0
    if found and found[3]:
        size = size * bits // 32
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
    shims, chips, library = hardware.built_in(profile, _umqtt(umqtt))
    # In front of these comes the device's own folder, its working directory: as on a board.
    path = [str(shims), str(library), ".frozen", "lib"]
    env = {"MICROPYPATH": ":".join(path), "TZ": "UTC", "HOME": "/nonexistent"}
    argv = (*program, "-X", f"heapsize={size + _ROOM * bits // 32}", "-c", "import _start")
    return Launch(argv, env, {"profile": profile, "heap": size, "chips": str(chips)})


def rom(folder: Path, scratch: Path) -> Path | None:
    """The code of a staged folder as the image that an ESP8266 runs in place, in ``scratch``.

    None if there is no code. Raises ToolError when it is larger than the partition.
    """
    code = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted((folder / "firmware").rglob("*"))
        if path.is_file()
    }
    if not code:
        return None
    key = hashlib.sha256(repr(sorted(code.items())).encode()).hexdigest()[:16]
    image = scratch / f"rom-{key}.img"
    if not image.is_file():
        place = boards.get("esp8266").romfs
        assert place is not None
        image.write_bytes(romfs.build(code, place.size))
    return image


def _interpreter(micropython: Path | None, bits: int) -> tuple[str, ...]:
    if bits not in (32, 64):
        raise ToolError(f"bits: {bits} is not 32 or 64", "--bits 64")
    if micropython is None:
        from tools import toolchain

        return tuple(toolchain.micropython(bits))
    if not os.access(micropython, os.X_OK) or micropython.is_dir():
        raise ToolError(f"{micropython} is not a program", "give --micropython the unix port")
    return (str(micropython.resolve()),)


def _umqtt(given: Path | None) -> Path:
    if given is None:
        from tools import toolchain

        given = toolchain.umqtt_dir()
    folder = given
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
