"""What tests allow: times from the firmware's source (only MicroPython loads it)."""

from __future__ import annotations

import functools
import re
from pathlib import Path

_NET = Path(__file__).resolve().parents[2] / "firmware" / "net"


@functools.cache
def limit_ms(name: str) -> int:
    """The one constant of this name, underscore or not, in firmware/net/; of several the first."""
    text = "\n".join(path.read_text("utf-8") for path in sorted(_NET.glob("*.py")))
    found: list[str] = re.findall(rf"^_?{name} = (?:const)?\(([\d_]+)", text, re.M)
    assert len(found) == 1, f"{name}: {found}"
    return int(found[0])
