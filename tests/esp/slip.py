"""SLIP framing (RFC 1055) as the Espressif loaders use it."""

from __future__ import annotations

END = b"\xc0"


def encode(packet: bytes) -> bytes:
    """Frame one packet."""
    return END + packet.replace(b"\xdb", b"\xdb\xdd").replace(END, b"\xdb\xdc") + END


class Decoder:
    """Takes bytes as they come and gives whole packets; what stands outside frames is dropped."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the packets that ``data`` completes."""
        parts = (self._held + data).split(END)
        self._held = parts.pop()
        return [_plain(part) for part in parts if part]


def _plain(part: bytes) -> bytes:
    return part.replace(b"\xdb\xdc", END).replace(b"\xdb\xdd", b"\xdb")
