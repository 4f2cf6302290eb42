"""What a virtual board has built in, as bytecode: simulated hardware, its chips, umqtt.simple.

Compiled by mpy-cross once and kept in `.tools/sim/`, by content. All of it is loaded before the
firmware gets its memory (shims/_start.py). MicroPython interns names for all modules together, so
private names are given a suffix: none that the firmware has may be there already, free of charge.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
import tokenize
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools import toolchain
from tools.board import bytecode

SHIMS = Path(__file__).resolve().parent / "shims"
CHIPS = SHIMS.parent / "chips"
_SUFFIX = "_sim"
_PRIVATE = re.compile(r"_(?!_)\w*")
# What one profile has and the other has not (shims/_start.py takes the rest by name).
_ONLY = {"esp32": {"esp32.py"}, "esp8266": {"_axtls.py", "_sys.py"}}


def built_in(profile: str, umqtt: Path) -> tuple[Path, Path, Path]:
    """Folders of bytecode: the shims of ``profile``, the one above chips/, the one above umqtt/.

    Raises ToolError when mpy-cross is missing or refuses a file.
    """
    others = set().union(*_ONLY.values()) - _ONLY[profile]
    files = {path.name: path.read_bytes() for path in SHIMS.glob("*.py")}
    chips = {f"chips/{path.name}": path.read_bytes() for path in CHIPS.glob("*.py")}
    ours = {name: data for name, data in files.items() if name not in others}
    modules = {Path(name).stem for name in files} | {"_thread"}
    return (
        _made({name: _marked(data, modules) for name, data in ours.items()}),
        _made({name: _marked(data, modules) for name, data in chips.items()}),
        _umqtt(umqtt),
    )


def _umqtt(folder: Path) -> Path:
    if not (folder / "umqtt" / "simple.py").is_file():
        return folder  # bytecode already
    return _made({f"umqtt/{p.name}": p.read_bytes() for p in (folder / "umqtt").glob("*.py")})


def _made(files: dict[str, bytes]) -> Path:
    """The folder with these files as bytecode."""
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


def _marked(source: bytes, modules: set[str]) -> bytes:
    """The same code with a suffix at each private name that is not one of ``modules``."""
    found: list[tuple[int, int]] = []
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        private = token.type == tokenize.NAME and _PRIVATE.fullmatch(token.string)
        if private and token.string != "_" and token.string not in modules:
            found.append(token.end)
    lines = source.decode().splitlines(keepends=True)
    for row, column in reversed(found):
        line = lines[row - 1]
        lines[row - 1] = line[:column] + _SUFFIX + line[column:]
    return "".join(lines).encode()
