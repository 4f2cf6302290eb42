"""The quick loop on a flashed board: send what changed, restart, and read what it left behind."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import wire
from tools.board import mpremote, ports, rescue, romfs
from tools.board.mpremote import Note
from tools.board.names import NUMBERED
from tools.errors import ToolError
from tools.things.boards import Board

# In which what is not ours is removed; with `slot` and `b` what was sent is what runs.
OWNED = ["firmware", "certs", "slot", "b"]
_SLOT, _CERT, _KEY = "slot", "certs/cert.pem", "certs/key.pem"
CRASH_LOG = "data/crash.log"
# Prints the SHA-256 of the first n bytes of the ROMFS partition, or nothing where there is none.
_ROMFS = """
import vfs,hashlib,binascii
try:
 m=vfs.rom_ioctl(2,0)
 print('romfs',binascii.hexlify(hashlib.sha256(memoryview(m)[:{size}]).digest()).decode())
except (AttributeError,OSError,TypeError):
 print('romfs none')
"""


@dataclass(frozen=True)
class Deployed:
    """Paths that were sent and removed; ``romfs`` is true if the code in place was renewed."""

    sent: list[str]
    removed: list[str]
    romfs: bool


def reach(port: str, config: Mapping[str, Any], note: Note, wait: bool = True) -> str:
    """The port of the board that has this config.json; one that sleeps is waited for and woken.

    ``note`` gets a line when it waits. Raises ToolError as ports.wait().
    """
    if config.get("power") != "battery":
        return ports.choose(port)
    where = ports.wait(port, note, ports.WAIT_S * wait)
    mpremote.wake(where)
    return where


def deploy(port: str, board: Board, tree: Mapping[str, bytes], note: Note) -> Deployed:
    """Make the board's files equal to the staged ``tree`` and restart it; data/ is left alone.

    Keys that are on the board only stay, and the slot of its certificates, unless the tree brings
    another certificate and its key. ToolError where one without a key is not the board's.
    """
    files, renewed, owned = dict(tree), False, OWNED
    if board.updates:
        owned = _keep_slot(port, files, note)
    if board.romfs:
        stays, code = romfs.split(files)
        made = romfs.build(code, board.romfs.size)
        found = mpremote.run(port, ["exec", _ROMFS.format(size=len(made))], note=note)
        if "romfs none" not in found:
            files = stays
            renewed = hashlib.sha256(made).hexdigest() not in found
            if renewed:
                _send_romfs(port, made)
    # With new code the crashes of the old no longer keep the board in safe mode.
    # On a build without ROMFS code lay at the top, where the board would find it before the ROM's.
    flat = [f"{name}.mpy" for name in NUMBERED] if board.romfs else []
    sent, removed = mpremote.sync(port, files, [*owned, *flat, rescue.CRASH_COUNT], note)
    return Deployed(sent, removed, renewed)


def _keep_slot(port: str, files: dict[str, bytes], note: Note) -> list[str]:
    """Set ``files`` right for the slots of this board (docs/updates.md); what of it is ours."""
    there, _ = mpremote.listing(port, ["certs", _SLOT], note)
    pointer = mpremote.fetch(port, [_SLOT]) if _SLOT in there else {}
    words = _words(pointer.get(_SLOT, b""))
    hashes = {p: hashlib.sha256(files[p]).hexdigest() for p in (_CERT, _KEY) if p in files}
    if _KEY in hashes:
        if any(there.get(path) != value for path, value in hashes.items()):
            return OWNED  # by cable there is another certificate
    else:
        places = {_CERT if word[1] == "a" else "certs/b/cert.pem" for word in words[:2]}
        if hashes[_CERT] not in [there.get(path) for path in places]:
            raise ToolError(
                f"the board at {port} does not run under the certificate in the folder, "
                "whose key is on a board and nowhere else",
                "another board? Else `python -m tools rotate THING` makes a key for the cable",
            )
        del files[_CERT]
    if pointer:  # never removed: without it others would count, should it end here
        files[_SLOT] = " ".join(words).encode()
    stray = [p for p in there if p.startswith("certs/") and not p.startswith("certs/b/")]
    return [*(p for p in OWNED if p != "certs"), *(stray if _KEY in hashes else ())]


def _words(pointer: bytes) -> list[str]:
    """What is to stand in `slot`: as it was, but for the firmware, which is that of slot a."""
    words = pointer.decode("ascii", "replace").split()
    if len(words) not in (1, 3) or any(not re.fullmatch("[ab]{2}", word) for word in words[:2]):
        return ["aa"]
    words[:2] = ["a" + word[1] for word in words[:2]]
    return words[:1] if words[0] in words[1:2] else words


def _send_romfs(port: str, made: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        file = Path(scratch, "code.romfs")
        file.write_bytes(made)
        mpremote.run(port, ["romfs", "deploy", str(file)], 600)


def crash_log(port: str, note: Note = lambda text: None) -> str:
    """Return what the board wrote about its crashes, oldest first; "" when there were none."""
    listed, _ = mpremote.listing(port, ["data"], note)
    names = [name for name in (f"{CRASH_LOG}.old", CRASH_LOG) if name in listed]
    files = mpremote.fetch(port, names)
    mpremote.run(port, ["reset"])
    found = (files[name].decode("utf-8", "replace") for name in names)
    return "".join(wire.text(text, lines=True) for text in found)
