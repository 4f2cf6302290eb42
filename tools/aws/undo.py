"""Takes back, in reverse order, what a run has made when it does not get to its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tools.aws.errors import explain, is_missing
from tools.errors import ToolError


class Undo:
    """What there is to take back."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Callable[[], Any]]] = []
        self.paths: list[Path] = []

    def call(self, what: str, function: Callable[..., Any], **arguments: Any) -> None:
        """Note how to take back ``what``."""
        self.calls.append((what, lambda: function(**arguments)))

    def path(self, path: Path) -> None:
        """Note a file, or a folder to remove if it is empty then."""
        self.paths.append(path)


@contextlib.contextmanager
def undoing() -> Iterator[Undo]:
    """An Undo; leaving it by an exception takes everything back.

    What is made in AWS goes first. If some of that cannot be taken back (the network is gone), the
    local files stay, because they are what a second run continues from; the error then says so.
    """
    undo = Undo()
    try:
        yield undo
    except BaseException as error:
        left = [what for what, call in reversed(undo.calls) if not _done(call)]
        if left and isinstance(error, Exception):
            why = error if isinstance(error, ToolError) else explain(error)
            raise ToolError(
                f"{why}; and this could not be taken back: {', '.join(left)}",
                "run the same command again: it continues where this one stopped",
            ) from error
        for path in [] if left else reversed(undo.paths):
            with contextlib.suppress(OSError):  # a folder with something of the user's in it stays
                if path.is_dir():
                    path.rmdir()
                else:
                    path.unlink(missing_ok=True)
        raise


def _done(call: Callable[[], Any]) -> bool:
    try:
        call()
    except Exception as e:
        return is_missing(e)
    return True
