"""Counts what changes in folders: a file written, renamed, removed (Linux: inotify)."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

_CLOSE_WRITE, _MOVED_TO, _DELETE = 0x8, 0x80, 0x200  # inotify(7)
_HEAD = struct.Struct("iIII")


class Writes:
    """``count()`` is how many since it was made; None where nobody can tell."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._file, self._count = -1, 0
        if sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            self._file = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            for folder in folders:
                mask = _CLOSE_WRITE | _MOVED_TO | _DELETE
                libc.inotify_add_watch(self._file, os.fsencode(folder), mask)

    def count(self) -> int | None:
        """To be asked now and then: the kernel keeps some thousand events."""
        if self._file < 0:
            return None
        try:
            while data := os.read(self._file, 65_536):
                while data:
                    self._count += 1
                    data = data[_HEAD.size + _HEAD.unpack_from(data)[3] :]
        except BlockingIOError:
            pass
        return self._count

    def close(self) -> None:
        """Stop counting."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
