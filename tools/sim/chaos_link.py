"""One connection through the chaos proxy: two streams of bytes, TLS untouched, and their fate."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable

from tools.sim.chaos import DOWN, UP, Fault

TICK_S = 0.01
_CHUNK = 4096
_SLOW_CHUNK = 256  # so that a narrow line does not deliver in bursts
_QUEUED = 16  # chunks on the way, then the sender's TCP window fills as it would
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST

Active = Callable[[], dict[Fault, int]]


class Link:
    """``near`` is the board's socket, ``far`` the broker's; ``active()`` is what is in force.

    ``lost`` holds the ways that have lost bytes: TCP would never deliver what comes after them.
    """

    def __init__(
        self, near: socket.socket, far: socket.socket, active: Active, chance: random.Random
    ) -> None:
        self.lost: set[str] = set()
        self.left = False  # the board has closed its side
        self._ends = {UP: (near, far), DOWN: (far, near)}
        self._active = active
        self._chance = chance
        self._passed: dict[tuple[Fault, int, str], int] = {}  # in a stall: bytes let through
        self._free_s = {UP: 0.0, DOWN: 0.0}  # when the narrow line has sent what it holds
        self._due_s = {UP: 0.0, DOWN: 0.0}
        self._reset = False
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Pass bytes until both sides have ended, or one is reset."""
        self._task = asyncio.current_task()
        pumps = []
        for way in (UP, DOWN):
            queue: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(_QUEUED)
            pumps += [asyncio.create_task(pump(way, queue)) for pump in (self._read, self._write)]
        try:
            await asyncio.gather(*pumps)
        except asyncio.CancelledError:
            pass  # reset(), or the proxy stops
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._close()

    def reset(self) -> None:
        self._reset = True
        if self._task is not None:
            self._task.cancel()

    def _close(self) -> None:
        for end in self._ends[UP]:
            if self._reset:
                abort(end)
            end.close()

    async def _read(self, way: str, queue: asyncio.Queue[tuple[float, bytes | None]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data: bytes | None
            slow = any(f.kind == "bandwidth" for f in self._active())
            try:
                data = await loop.sock_recv(self._ends[way][0], _SLOW_CHUNK if slow else _CHUNK)
            except OSError:
                data = None
            self.left = self.left or (way == UP and not data)
            await queue.put((self._due(way, len(data or b"")), data))
            if not data:
                return

    async def _write(self, way: str, queue: asyncio.Queue[tuple[float, bytes | None]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s, data = await queue.get()
            if due_s > loop.time():
                await asyncio.sleep(due_s - loop.time())
            if not self._vanishes(way):
                if data is None:
                    self.reset()
                    return
                try:
                    await self._send(way, data or b"")
                except OSError:
                    self.lost.add(way)  # nobody is there any more
            if not data:
                return

    def _due(self, way: str, size: int) -> float:
        # When bytes that have come now shall leave: after all that came before them.
        now_s = asyncio.get_running_loop().time()
        self._free_s[way] = max(self._free_s[way], now_s)
        wait_s = 0.0
        for fault in self._active():
            if fault.kind == "bandwidth":
                self._free_s[way] += size / fault.amount
            elif fault.kind == "latency":
                wait_s += fault.amount
            elif fault.kind == "jitter":
                wait_s += self._chance.uniform(0, fault.amount)
        self._due_s[way] = max(self._due_s[way], self._free_s[way] + wait_s)
        return self._due_s[way]

    def _vanishes(self, way: str) -> bool:
        for fault in self._active():
            if fault.kind == "silent" or (fault.kind == "halfopen" and way in fault.ways):
                self.lost.add(way)
        return way in self.lost

    async def _send(self, way: str, data: bytes) -> None:
        # Empty data is the end of the stream, which a stall holds back as well.
        loop = asyncio.get_running_loop()
        target = self._ends[way][1]
        while True:
            room = self._room(way)
            if room == 0:
                await asyncio.sleep(TICK_S)
                if self._vanishes(way):
                    return
                continue
            part = data if room is None else data[:room]
            if part:
                await loop.sock_sendall(target, part)
                self._count(way, len(part))
            data = data[len(part) :]
            if not part:
                target.shutdown(socket.SHUT_WR)
            if not data:
                return

    def _room(self, way: str) -> int | None:
        rooms = [
            max(0, int(fault.amount) - self._passed.get((fault, number, way), 0))
            for fault, number in self._active().items()
            if fault.kind == "stall" and way in fault.ways
        ]
        return min(rooms, default=None)

    def _count(self, way: str, size: int) -> None:
        for fault, number in self._active().items():
            if fault.kind == "stall":
                key = (fault, number, way)
                self._passed[key] = self._passed.get(key, 0) + size


def abort(end: socket.socket) -> None:
    """Close with RST; never fails."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.close()
