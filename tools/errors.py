"""The errors a user can do something about, and how the libraries' own become one of them.

ToolError    a message and what to try; the command line prints both and exits with 2
"""

from __future__ import annotations

from tools import wire


class ToolError(Exception):
    """Something the user can mend: ``message`` says what is wrong, ``hint`` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


def lines(error: ToolError) -> str:
    """Return the text for standard error: the message, then the hint where there is one.

    Both may hold what AWS, a device or a serial port has said.
    """
    text = f"error: {error.message}"
    return wire.text(f"{text}\n  try: {error.hint}" if error.hint else text, lines=True)
