"""A TCP proxy on loopback that does to every connection what a plan (chaos.py) says.

It never looks into the bytes: the board's TLS session ends at the broker, and is verified there
and on the board as without a proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sys
import threading
import time
from collections.abc import Callable

from tools.errors import ToolError
from tools.sim.chaos import Fault, Plan
from tools.sim.chaos_link import TICK_S, Link, abort

ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
NAME = "localhost"  # the name of the broker, whose addresses `on_hosts` hears about
_BACKLOG = 64
_FILLERS = 2  # Linux takes one connection more than a backlog of 0 says; see tcp(7)
_START_S = 10.0


class Proxy:
    """Listens on ``port`` of 127.0.0.1 (and, if the broker is to move, of the next two).

    The plan's time begins with begin(). ``on_event(text)`` hears of every fault, and
    ``on_hosts({name: addresses})`` of every change of what the broker's name shall give: both
    from the proxy's own thread. ``events`` keeps (monotonic seconds, text), ``taken`` counts
    connections.
    """

    def __init__(
        self,
        target_port: int,
        plan: Plan,
        on_event: Callable[[str], None] = lambda text: None,
        on_hosts: Callable[[dict[str, list[str]]], None] = lambda hosts: None,
        port: int = 0,
    ) -> None:
        self.plan = plan
        self.port = port
        self.taken = 0
        self.events: list[tuple[float, str]] = []
        self._target_port = target_port
        self._on_event = on_event
        self._on_hosts = on_hosts
        self._luck = random.Random(plan.seed)
        self._began: float | None = None
        self._reserved: list[socket.socket] = []
        self._listening: tuple[str, int] | None = None  # how, and on which of ADDRESSES
        self._sockets: list[socket.socket] = []
        self._accepting: asyncio.Task[None] | None = None
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="chaos")

    def __enter__(self) -> Proxy:
        """Listen; ToolError when the addresses are not there."""
        moves = any(fault.kind == "move" for fault in self.plan.faults)
        self.port = self._reserve(ADDRESSES if moves else ADDRESSES[:1])
        self._thread.start()
        if not self._up.wait(_START_S):
            raise ToolError("the chaos proxy does not start", "run it again")
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._thread.join()
        for end in self._reserved:
            end.close()

    def begin(self) -> None:
        self._began = time.monotonic()

    def deaf(self) -> bool:
        """Whether the board holds a connection that has lost bytes and can only be given up."""
        return any(link.lost and not link.left for link in list(self._links))

    def hosts(self) -> dict[str, list[str]]:
        """What the broker's name gives now."""
        active = {fault.kind for fault in self._active()}
        if "nodns" in active:
            return {NAME: []}
        number = self._moves()
        old, new = (ADDRESSES[n % len(ADDRESSES)] for n in (number - 1, number))
        if not number:
            return {NAME: [new]}
        return {NAME: [old] if "move" in active else [old, new]}

    def _reserve(self, addresses: tuple[str, ...]) -> int:
        # Held without listening, so that nobody else gets the port while the broker is "gone".
        port = self.port
        for address in addresses:
            end = _bound(address, port)
            port = int(end.getsockname()[1])
            if sys.platform == "linux":
                self._reserved.append(end)
            else:
                end.close()
        return port

    # --- in the proxy's thread

    async def _main(self) -> None:
        begun: dict[Fault, int] = {}
        hosts = self.hosts()
        try:
            while not self._stopped:
                self._listen()
                self._up.set()
                for fault in self.plan.faults:
                    if fault.begun(self._now_s()) > begun.get(fault, 0):
                        begun[fault] = fault.begun(self._now_s())
                        self._break(fault)
                if self.hosts() != hosts:
                    hosts = self.hosts()
                    self._on_hosts(hosts)
                await asyncio.sleep(TICK_S)
        finally:
            self._deafen()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _now_s(self) -> float:
        return -1.0 if self._began is None else time.monotonic() - self._began

    def _active(self) -> dict[Fault, int]:
        return self.plan.active(self._now_s())

    def _moves(self) -> int:
        return sum(f.begun(self._now_s()) for f in self.plan.faults if f.kind == "move")

    def _break(self, fault: Fault) -> None:
        if fault.kind in ("reset", "refuse", "move", "nodns"):
            for link in self._links:
                link.reset()
        text = f"{fault}, {len(self._links)} open"
        self.events.append((time.monotonic(), text))
        self._on_event(text)

    def _listen(self) -> None:
        # One state at a time: "on", "silent" or "refuse", at one address.
        kinds = {fault.kind for fault in self._active()}
        how = "refuse" if "refuse" in kinds else "silent" if "silent" in kinds else "on"
        wanted = (how, self._moves() % len(ADDRESSES))
        if wanted == self._listening:
            return
        self._deafen()
        if how != "refuse":
            listener = _bound(ADDRESSES[wanted[1]], self.port)
            listener.listen(_BACKLOG if how == "on" else 0)
            self._sockets = [listener]
            if how == "on":
                self._accepting = asyncio.get_running_loop().create_task(self._accept(listener))
            else:
                self._sockets += [_filler(listener) for _ in range(_FILLERS)]
        self._listening = wanted

    def _deafen(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        for end in self._sockets:
            asyncio.get_running_loop().remove_reader(end)
            end.close()
        self._sockets = []

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            near, _ = await loop.sock_accept(listener)
            near.setblocking(False)
            self.taken += 1
            task = loop.create_task(self._serve(near))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _, near=near: near.close())  # type: ignore[misc]

    async def _serve(self, near: socket.socket) -> None:
        if any(fault.kind == "reset" for fault in self._active()):
            abort(near)
            return
        with socket.socket() as far:
            far.setblocking(False)
            try:
                address = (ADDRESSES[0], self._target_port)
                await asyncio.get_running_loop().sock_connect(far, address)
            except OSError:
                abort(near)
                return
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(near, far, self._active, self._luck)
            self._links.add(link)
            try:
                await link.run()
            finally:
                self._links.discard(link)


def _bound(address: str, port: int) -> socket.socket:
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        end.bind((address, port))
    except OSError as e:
        end.close()
        raise ToolError(
            f"chaos: cannot listen on {address}: {e.strerror}",
            "leave `move` out where the machine has no such loopback address",
        ) from e
    end.setblocking(False)
    return end


def _filler(listener: socket.socket) -> socket.socket:
    # Takes a place in the queue of connections, so that the kernel drops the next SYN.
    end = socket.socket()
    end.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        end.connect(listener.getsockname())
    return end
