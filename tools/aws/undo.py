"""Takes back, in reverse order, what a run has made when it does not get to its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tools.errors import ToolError


class Undo:
    """A context: leaving it by an exception, before keep(), takes everything back.

    What is made in AWS goes first. If some of that cannot be taken back (the network is gone), the
    local files stay, because they are what a second run continues from; the error then says so.
    """

    def __init__(self) -> None:
        self._calls: list[tuple[str, Callable[[], Any]]] = []
        self._paths: list[Path] = []
        self._kept = False

    def call(self, what: str, function: Callable[..., Any], **arguments: Any) -> None:
        """Note how to take back ``what``."""
        self._calls.append((what, lambda: function(**arguments)))

    def path(self, path: Path) -> None:
        """Note a file, or a folder to remove if it is empty then."""
        self._paths.append(path)

    def keep(self) -> None:
        """Everything worked."""
        self._kept = True

    def __enter__(self) -> Undo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        if self._kept or error is None:
            return
        left = [what for what, call in reversed(self._calls) if not _done(call)]
        if not left:
            for path in reversed(self._paths):
                _remove(path)
        elif isinstance(error, Exception):
            from tools.aws.errors import code_of, explain

            known = isinstance(error, ToolError)
            why = (
                str(error)
                if known or not (code_of(error) or _is_boto(error))
                else str(explain(error))
            )
            raise ToolError(
                f"{why}; and this could not be taken back: {', '.join(left)}",
                "run the same command again: it continues where this one stopped",
            ) from error


def _done(call: Callable[[], Any]) -> bool:
    from tools.aws.errors import is_missing

    try:
        call()
    except Exception as e:
        return is_missing(e)
    return True


def _is_boto(error: Exception) -> bool:
    return type(error).__module__.startswith("botocore")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # a folder with something of the user's in it stays
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
