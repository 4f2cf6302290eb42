"""ROMFS: code that runs in place from flash and costs no heap (MicroPython 1.25, ESP8266 build).

The image is made by mpremote (as a program) from bytecode; the same code gives the same image.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from tools.board import bytecode, program
from tools.board.image import write_files
from tools.errors import ToolError

_LIMIT_S = 120


def split(tree: Mapping[str, bytes]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Split a staged tree: (what stays on LittleFS, what goes into ROMFS).

    main.py and boot.py stay: the board looks for them on its own file system first.
    """
    code = {p: data for p, data in tree.items() if p.startswith("firmware/") or _is_flat(p)}
    return {path: data for path, data in tree.items() if path not in code}, code


def _is_flat(path: str) -> bool:
    return "/" not in path and path.endswith(".mpy")  # tools/board/groups.py


def build(code: Mapping[str, bytes], size: int) -> bytes:
    """Return the image; ToolError when it is larger than the partition's ``size`` bytes."""
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        root, out = Path(scratch, "rom"), Path(scratch, "rom.img")
        write_files(root, bytecode.compile_all(dict(code)))
        ran = program.run(
            "mpremote", ["romfs", "--no-mpy", "-o", str(out), "build", str(root)], _LIMIT_S
        )
        if not ran.ok or not out.is_file():
            last = (ran.text.strip().splitlines() or ["nothing"])[-1]
            raise ToolError(f"the ROMFS image could not be made: {last}", "make setup")
        made = out.read_bytes()
    if len(made) > size:
        raise ToolError(f"the code takes {len(made):,} bytes, ROMFS has {size:,}", "less code")
    return made
