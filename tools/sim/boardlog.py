"""The log of a virtual board: lines that one thread writes and others wait for."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator

from tools import wire

_KEPT_LINES = 20_000
_LOOK_S = 0.2


class Log:
    """Lines, numbered from 0; the oldest are let go. ``alive`` says whether more can come."""

    def __init__(self, alive: Callable[[], bool], on_line: Callable[[str], None] | None) -> None:
        self._alive = alive
        self._on_line = on_line
        self._lines: list[str] = []
        self._dropped = 0
        self._news = threading.Condition()

    def kept(self) -> list[str]:
        with self._news:
            return list(self._lines)

    def add(self, line: str) -> None:
        """Append a line, made harmless, and wake who waits."""
        line = wire.text(line, lines=True)
        with self._news:
            self._lines.append(line)
            if len(self._lines) > _KEPT_LINES:
                self._dropped += _KEPT_LINES // 2
                del self._lines[: _KEPT_LINES // 2]
            self._news.notify_all()
        if self._on_line is not None:
            self._on_line(line)

    def follow(self, timeout: float | None = None, after: int = 0) -> Iterator[str]:
        """Lines from number ``after`` on; waits for more until it is dead or ``timeout`` s."""
        end = None if timeout is None else time.monotonic() + timeout
        at = after
        while True:
            with self._news:
                while at >= self._dropped + len(self._lines):
                    left = _LOOK_S if end is None else end - time.monotonic()
                    if left <= 0 or not self._alive():
                        return
                    self._news.wait(min(left, _LOOK_S))
                fresh = self._lines[max(at - self._dropped, 0) :]
                at = self._dropped + len(self._lines)
            yield from fresh

    def wait_for(self, pattern: str, timeout: float, after: int) -> re.Match[str]:
        """The first match in a line from number ``after`` on; TimeoutError shows the end."""
        for line in self.follow(timeout, after):
            found = re.search(pattern, line)
            if found:
                return found
        tail = "\n".join(self.kept()[-25:])
        raise TimeoutError(f"no line matches {pattern!r} in {timeout} s; the log ends:\n{tail}")
