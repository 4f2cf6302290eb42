"""mpremote, run as a program: what is on a board, and putting, fetching and removing files.

A board is busy with main.py, asleep, or still booting, when we come: "could not enter raw repl" is
tried again, the last times after a hardware reset (micropython issue 16142).
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.board import ports, program
from tools.board.serial_log import SerialLog
from tools.errors import ToolError

_TRIES = 5
_PLAIN_TRIES = 2  # without a reset
_PAUSE_S = 1.0
_LIMIT_S = 60
_BYTES_PER_S = 1000  # a slow board over 115200 baud; only to end what will never end
_BUSY = ("could not enter raw repl", "could not exec", "timeout waiting", "unexpected read")

# Prints "size sha256 path" for every file under the given tops and "/ path" for every folder.
_LIST = """
import os,hashlib,binascii
def h(p):
 s=hashlib.sha256();b=bytearray(512);n=0
 with open(p,'rb') as f:
  while True:
   r=f.readinto(b)
   if not r:break
   s.update(memoryview(b)[:r]);n+=r
 print(n,binascii.hexlify(s.digest()).decode(),p)
def w(p):
 try:
  d=os.stat(p)[0]&0x4000
 except OSError:return
 if d:
  print('/',p)
  for e in os.ilistdir(p):w(p+'/'+e[0])
 else:h(p)
for p in {tops}:w(p)
print('listed')
"""
_FILE = re.compile(r"^\d+ ([0-9a-f]{64}) (.+)$", re.M)
_FOLDER = re.compile(r"^/ (.+)$", re.M)

Note = Callable[[str], None]


def run(
    port: str,
    args: list[str],
    limit_s: float = _LIMIT_S,
    note: Note = lambda text: None,
    tries: int = _TRIES,
) -> str:
    """Run mpremote on ``port`` and return its output; tried again while the board is busy.

    ``args`` are mpremote's commands, several joined by "+". Raises ToolError.
    """
    for attempt in range(1, tries + 1):
        ran = program.run("mpremote", ["connect", port, *args], limit_s)
        if ran.ok:
            return ran.text
        busy = ran.code is None or any(text in ran.text for text in _BUSY)
        if not busy or attempt == tries:
            raise _error(ran, port)
        note(f"the board is busy, or sleeps, attempt {attempt + 1} of {tries}")
        if attempt >= _PLAIN_TRIES:
            with SerialLog(port) as serial:
                serial.reset()
        time.sleep(_PAUSE_S)
    raise AssertionError("not reached")


def wake(port: str) -> None:
    """Reset a board that is asleep behind a USB chip, which has a port all the same."""
    if ports.is_native(port):
        return  # its port goes with a reset; and it is there, so the board is awake
    with SerialLog(port) as serial:
        serial.stop()


def listing(
    port: str, tops: list[str], note: Note = lambda text: None, tries: int = _TRIES
) -> tuple[dict[str, str], set[str]]:
    """What is on the board under ``tops``: (path -> SHA-256 in hex of every file, folders)."""
    text = run(port, ["exec", _LIST.format(tops=tops)], note=note, tries=tries).replace("\r", "")
    if "listed" not in text:
        raise ToolError(
            f"the board's list of files was not understood: {text[-200:]}", "try again"
        )
    return {m[2]: m[1] for m in _FILE.finditer(text)}, set(_FOLDER.findall(text))


def fetch(port: str, paths: list[str]) -> dict[str, bytes]:
    """Read files from the board."""
    if not paths:
        return {}
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        files = {path: Path(scratch, str(i)) for i, path in enumerate(paths)}
        args = _joined([["cp", f":{path}", str(file)] for path, file in files.items()])
        run(port, args, _LIMIT_S + len(paths) * 30)
        return {path: file.read_bytes() for path, file in files.items()}


def sync(
    port: str, files: Mapping[str, bytes], owned: list[str], note: Note = lambda text: None
) -> tuple[list[str], list[str]]:
    """Make the board's files equal to ``files``: only what differs is sent, then a reset.

    ``owned`` are folders and files of which nothing stays that is not in ``files``. Returns
    (sent, removed), paths both.
    """
    tops = sorted({path.split("/")[0] for path in files} | set(owned))
    there, folders = listing(port, tops, note)
    wanted = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    sent = sorted(path for path in wanted if there.get(path) != wanted[path])
    removed = sorted(p for p in there if p not in wanted and _is_below(p, owned))
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        steps = [["rm", f":{path}"] for path in removed]
        steps += [["mkdir", f":{folder}"] for folder in sorted(_folders(sent) - folders)]
        for i, path in enumerate(sent):
            source = Path(scratch, str(i))
            source.write_bytes(files[path])
            steps.append(["cp", str(source), f":{path}"])
        size = sum(len(files[path]) for path in sent)
        run(port, _joined([*steps, ["reset"]]), _LIMIT_S + size / _BYTES_PER_S, note)
    return sent, removed


def _is_below(path: str, tops: list[str]) -> bool:
    return any(path == top or path.startswith(f"{top}/") for top in tops)


def _folders(paths: list[str]) -> set[str]:
    """Every folder that these files lie in."""
    parts = [path.split("/")[:-1] for path in paths]
    return {"/".join(p[: i + 1]) for p in parts for i in range(len(p))}


def _joined(steps: list[list[str]]) -> list[str]:
    args: list[str] = []
    for step in steps:
        args += [*(["+"] if args else []), *step]
    return args


def _error(ran: program.Ran, port: str) -> ToolError:
    text = ran.text.strip()
    last = text.splitlines()[-1] if text else "nothing"
    if any(word in text for word in ("failed to access", "could not open port", "Errno 2")):
        hint = "close other programs on it, and look with: python -m tools ports"
        return ToolError(f"{port} cannot be opened", hint)
    if "No space left" in text or "Errno 28" in text or "ENOSPC" in text:
        hint = "fetch or drop the stored readings (KEEP=no make flash), or use more flash"
        return ToolError("the board's file system is full", hint)
    if "could not enter raw repl" in text or ran.code is None:
        hint = "press EN/RESET and run it again; or flash anew: make flash"
        return ToolError(f"the board on {port} does not give a REPL", hint)
    return ToolError(f"mpremote: {last}", "run it again; or flash anew: make flash")
