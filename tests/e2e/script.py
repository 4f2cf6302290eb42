"""How the test broker misbehaves, and when. Every entry is a number of times; -1 is for ever."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Script:
    """Set these from the test at any moment; each use counts a number down to 0.

    ``withhold``   answer -> times it is left out: CONNACK, SUBACK, PUBACK, PINGRESP, UNSUBACK,
                   or "handshake" (TCP accepted, TLS never answered)
    ``close_on``   packet from the client -> times the connection is closed instead of an answer,
                   e.g. {"CONNECT": 5}: AWS's way to say no; "refuse_tls": before the handshake
    ``close_after`` the same, but after the answer has been sent
    ``connack_code`` code of every CONNACK; above 0 the connection is closed after it
    ``session_present`` None: the truth; True or False: a lie
    ``suback_codes`` filter -> code in SUBACK in place of the granted QoS (0x80: refused)
    ``forbidden``  filters; publishing or subscribing to a topic under one closes the connection
    ``stall_after`` n: of the next packet sent only n bytes leave, and nothing ever after (the
                   connection stays open). None: off
    ``delay_s``    before every answer
    """

    withhold: dict[str, int] = field(default_factory=dict)
    close_on: dict[str, int] = field(default_factory=dict)
    close_after: dict[str, int] = field(default_factory=dict)
    connack_code: int = 0
    session_present: bool | None = None
    suback_codes: dict[str, int] = field(default_factory=dict)
    forbidden: list[str] = field(default_factory=list)
    stall_after: int | None = None
    delay_s: float = 0.0
    handshake_timeout_s: float = 30.0
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def take(self, what: str, table: str = "close_on") -> bool:
        """True when ``what`` is to be disturbed this time; counts it down."""
        with self._lock:
            left = getattr(self, table).get(what, 0)
            if left > 0:
                getattr(self, table)[what] = left - 1
            return bool(left)

    def hold(self, what: str, connection: Any) -> bool:
        """Leave the client waiting when ``what`` is withheld: until it or the test goes away."""
        if not self.take(what, "withhold"):
            return False
        while connection.reason is None and not _gone(connection._sock):
            time.sleep(0.02)
        return True

    def write(self, sock: socket.socket, data: bytes) -> bool:
        """Send, and say whether the connection is stalled from now on."""
        if self.delay_s:
            time.sleep(self.delay_s)
        limit, self.stall_after = self.stall_after, None
        sock.sendall(data if limit is None else data[:limit])
        return limit is not None


def _gone(sock: socket.socket) -> bool:
    sock.settimeout(0)
    try:
        return len(sock.recv(65536)) == 0
    except BlockingIOError:
        return False
    except OSError:
        return True
