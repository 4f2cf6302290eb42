"""What tests allow: times from the firmware's source (only MicroPython loads it), and a heap."""

from __future__ import annotations

import functools
import re
from pathlib import Path

_NET = Path(__file__).resolve().parents[2] / "firmware" / "net"
# What an ESP8266's tests have for a heap, on 32 bit: 1,570 bytes more than a chip. There a session
# runs as well (tests/host/test_memory.py), but of many reconnects one in some dozens finds its
# memory in pieces too small for axTLS. axTLS of a 32-bit build takes 704 to 880 bytes less than
# the stand-in; the rest keeps these tests from failing now and then.
ESP8266 = "esp8266:37000w"


@functools.cache
def limit_ms(name: str) -> int:
    """The one constant of this name, underscore or not, in firmware/net/."""
    text = "\n".join(path.read_text("utf-8") for path in sorted(_NET.glob("*.py")))
    found: list[str] = re.findall(rf"^_?{name} = const\(([\d_]+)\)", text, re.M)
    assert len(found) == 1, f"{name}: {found}"
    return int(found[0])
