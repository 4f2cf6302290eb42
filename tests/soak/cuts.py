"""A connection cut, or one bit of it turned, at every byte of a session, TLS handshake first."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e import pki
from tests.e2e.client import Client
from tests.e2e.server import Server
from tests.soak import PROGRAM, ended

END = {"up": 3_000, "down": 2_600}  # a session up to its first window of publishes is shorter
HOWS = ("end", "reset", "flip")
WARM = 12  # by then every buffer has its size
_EACH_S = 20.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST
_KEEP = 20


@dataclass(frozen=True)
class Cut:
    """What happens to a connection after ``at`` bytes in the direction ``way``."""

    way: str
    at: int
    how: str  # "end", "reset"; "flip" turns a bit of the next byte


@dataclass
class Result:
    """What it came to."""

    cuts: int = 0  # that hit; the others were beyond the end of the session
    drift_bytes: int = 0
    sockets: int = 0
    seconds: float = 0.0
    end: dict[str, Any] = field(default_factory=dict)


def plan(step: int) -> list[Cut]:
    """Every ``step``-th byte, both directions, in every way."""
    return [
        Cut(way, at, how)
        for way, how in itertools.product(END, HOWS)
        for at in range(0, END[way], step)
    ]


def run(
    cuts: list[Cut], umqtt: Path, bits: int = 64, progress: Callable[[int], None] = lambda n: None
) -> Result:
    """One session is cut, the next is let through; AssertionError when that does not come up."""
    ca = pki.Authority()
    came = threading.Semaphore(0)
    # The first and the last ones end plainly: the heap is compared there, and the reason of the
    # last disconnection is remembered. One of the first fails to connect: then the most modules
    # are loaded at a time, and Python's own tables grow to hold their names.
    todo = [None] * WARM + list(cuts) + [None] * 3
    todo[WARM // 2] = Cut("up", 100, "end")
    result = Result()
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(ca, ca.server()) as broker,
        Cutter(broker.port) as cutter,
        Client(Path(folder), umqtt, ca, ca.client(), PROGRAM).start(
            bits=bits,
            on_event=lambda event: came.release() if event["event"] == "quiet" else None,
            port=cutter.port,
            sessions=len(todo),
            seconds=36_000,
        ) as device,
    ):
        began = time.monotonic()
        for number, cut in enumerate(todo):
            before = todo[number - 1] if number else None
            assert came.acquire(timeout=_EACH_S), (before, device.events[-2:], broker.story())
            result.sockets = max(result.sockets, device.sockets())
            progress(number)
            cutter.next = cut
            broker.kick()
            del broker.connections[:-_KEEP], broker.messages[:]
        result.end = ended(device, _EACH_S)
        result.seconds = time.monotonic() - began
        result.cuts = cutter.hits
    free = [event["free"] for event in device.events if event["event"] == "quiet"]
    result.drift_bytes = free[WARM - 1] - free[len(todo) - 1]
    return result


class Cutter:
    """Passes connections to ``target_port``; the next one suffers ``next``."""

    def __init__(self, target_port: int) -> None:
        self.next: Cut | None = None
        self.hits = 0
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends: set[socket.socket] = set()
        self._pumps: list[threading.Thread] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Cutter:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for pump in self._pumps:
            pump.join(_EACH_S)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            cut, self.next = self.next, None
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            self._ends |= {near, far}
            for way, source, target in (("up", near, far), ("down", far, near)):
                mine = cut if cut and cut.way == way else None
                pump = threading.Thread(target=self._pump, args=(source, target, mine))
                pump.start()
                self._pumps = [p for p in self._pumps if p.is_alive()] + [pump]

    def _pump(self, source: socket.socket, target: socket.socket, cut: Cut | None) -> None:
        try:
            for data in _pieces(source):
                if cut and cut.at < len(data):
                    self.hits += 1
                    if cut.how != "flip":
                        target.sendall(data[: cut.at])
                        break
                    data = data[: cut.at] + bytes([data[cut.at] ^ 4]) + data[cut.at + 1 :]
                    cut = None
                if cut:
                    cut = Cut(cut.way, cut.at - len(data), cut.how)
                target.sendall(data)
        except OSError:
            cut = None  # the other side has gone
        self._close(source, target, bool(cut and cut.how == "reset"))

    def _close(self, source: socket.socket, target: socket.socket, reset: bool) -> None:
        # Shutting down wakes the other pump; each then closes the socket it reads from.
        for end in (source, target):
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
        self._ends.discard(source)
        source.close()


def _pieces(source: socket.socket) -> Iterator[bytes]:
    while data := source.recv(4096):
        yield data
