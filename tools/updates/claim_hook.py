"""The Lambda function that says which boards may register: `claim template --hook` uploads it.

AWS IoT calls it for every board, with the parameters that the board sends; anything but True, and
an exception, refuses the board (developer guide, Pre-provisioning hooks). It needs no rights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SERIALS = "serials.txt"  # beside it: one a line


def handler(event: dict[str, Any], context: object) -> dict[str, bool]:
    """Allow the serial numbers of the list, letter by letter."""
    parameters = event.get("parameters") or {}
    allowed = Path(__file__).with_name(SERIALS).read_text("utf-8").split()
    return {"allowProvisioning": parameters.get("SerialNumber") in allowed}
