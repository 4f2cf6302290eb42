"""What a TLS ClientHello offers, read from the raw bytes before the handshake (RFC 8446 4.1.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

# Suites AWS IoT Core takes (aws-facts.md 2.1); RECOMMENDED is the subset with forward secrecy.
RECOMMENDED = {
    0x1301, 0x1302, 0x1303,  # TLS 1.3
    0xC02B, 0xC02C, 0xC02F, 0xC030,  # ECDHE, AES-GCM
    0xC023, 0xC024, 0xC027, 0xC028, 0xC009, 0xC00A, 0xC013, 0xC014,  # ECDHE, AES-CBC
}  # fmt: skip
SUPPORTED = RECOMMENDED | {0x009C, 0x003C, 0x002F, 0x009D, 0x003D, 0x0035}


@dataclass
class Hello:
    """One ClientHello. ``ciphers`` is without the signalling values (0x00FF, 0x5600)."""

    ciphers: list[int] = field(default_factory=list)
    server_name: str | None = None
    max_fragment: int | None = None


def parse(data: bytes) -> Hello | None:
    """The hello in ``data``, which begins with a TLS record; None when it is not a whole one."""
    if len(data) < 9 or data[0] != 22 or data[5] != 1:
        return None
    (size,) = struct.unpack_from("!H", data, 3)
    if len(data) < 5 + size:
        return None
    body = data[9 : 5 + size]
    at = 34
    at += 1 + body[at]
    (length,) = struct.unpack_from("!H", body, at)
    ciphers = list(struct.unpack_from(f"!{length // 2}H", body, at + 2))
    at += 2 + length
    at += 1 + body[at]
    hello = Hello([c for c in ciphers if c not in (0x00FF, 0x5600)])
    at += 2
    while at + 4 <= len(body):
        kind, length = struct.unpack_from("!HH", body, at)
        value = body[at + 4 : at + 4 + length]
        if kind == 0 and len(value) > 5:
            hello.server_name = value[5:].decode("ascii", "replace")
        elif kind == 1 and value:
            hello.max_fragment = 256 << value[0]
        at += 4 + length
    return hello
