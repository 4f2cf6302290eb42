"""The long tests of the link; `make soak` runs them whole, `make test` short cuts of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.client import Client

PROGRAM = Path(__file__).with_name("upy_soak.py")  # Client's


def ended(client: Client, timeout_s: float) -> dict[str, Any]:
    """The last event of PROGRAM, which says what it has done; AssertionError without it."""
    end = client.finish(timeout_s)[-1]
    assert end["event"] == "end", client.events[-2:]
    return end
