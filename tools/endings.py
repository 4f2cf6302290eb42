"""Ctrl-C, SIGTERM and SIGHUP end a program by an exception, so that what was made for it goes.

Not in the middle of an import, which drops the exception or makes another one of it: a moment
later. And once more when it came in a destructor, which drops it, too.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

Handler = Callable[..., object] | signal.Handlers
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN_S = 0.05
_asked = 0


def install() -> None:
    """Handle the three by :func:`end`, except what is ignored, as under nohup; uses SIGALRM."""
    signal.signal(signal.SIGALRM, _again)
    sys.unraisablehook = _dropped
    for number in _ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def end(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt for Ctrl-C, for the others SystemExit with 128 and the signal."""
    if not _later(number, frame):
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def interrupt(_: int, frame: FrameType | None) -> None:
    """Take each of them for Ctrl-C."""
    end(signal.SIGINT, frame)


@contextlib.contextmanager
def on_endings(handler: Handler) -> Iterator[Callable[[Handler], None]]:
    """Call ``handler`` at Ctrl-C, SIGTERM and SIGHUP; afterwards they do what they did before.

    What is yielded puts another handler in its place.
    """
    former = {number: signal.signal(number, handler) for number in _ENDINGS}

    def change(handler: Handler) -> None:
        for number in _ENDINGS:
            signal.signal(number, handler)

    try:
        yield change
    finally:
        for number, before in former.items():
            signal.signal(number, before)


def _later(number: int, frame: FrameType | None) -> bool:
    global _asked
    _asked = number
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
            return True
        frame = frame.f_back
    return False


def _again(_: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(_asked)
    if callable(handler):
        handler(_asked, frame)


def _dropped(what: sys.UnraisableHookArgs) -> None:
    if _asked and what.exc_type in (KeyboardInterrupt, SystemExit):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    else:
        sys.__unraisablehook__(what)
