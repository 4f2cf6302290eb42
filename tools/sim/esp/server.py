"""A virtual board behind an RFC 2217 serial port: a thread, one client at a time, like ser2net."""

from __future__ import annotations

import contextlib
import queue
import re
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serial import rfc2217

from tools.sim.esp.board import Board

_CHUNK = 4096
QUICK = Path(__file__).with_name("quick")  # on PYTHONPATH, for programs that speak to it


class Port:
    """The serial port as pyserial's server half wants it: attributes that it sets."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._dtr = self._rts = False
        self.baudrate = 115200
        self.bytesize, self.parity, self.stopbits = 8, "N", 1
        self.cts = self.dsr = self.ri = self.cd = False
        self.xonxoff = self.rtscts = self.break_condition = False

    @property
    def dtr(self) -> bool:
        return self._dtr

    @dtr.setter
    def dtr(self, on: bool) -> None:
        self.both(on, self._rts)

    @property
    def rts(self) -> bool:
        return self._rts

    @rts.setter
    def rts(self, on: bool) -> None:
        self.both(self._dtr, on)

    def both(self, dtr: bool, rts: bool) -> None:
        self._dtr, self._rts = dtr, rts
        self._board.lines(dtr, rts)

    def reset_input_buffer(self) -> None:
        """Nothing is held here."""

    def reset_output_buffer(self) -> None:
        """Nothing is held here."""


class Server:
    """``with Server(board) as server:`` serves ``server.url``.

    ``timed``: bytes take as long as they would at the port's baud rate, or at ``line_baud``.
    ``password``: a terminal server that asks for one and never speaks RFC 2217. Counts bytes over
    the wire.
    """

    def __init__(
        self, board: Board, timed: bool = False, line_baud: int = 0, password: bool = False
    ) -> None:
        self.board, self.timed, self.line_baud = board, timed, line_baud
        self._password = password
        self.received = self.sent = 0
        self.log = bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"rfc2217://127.0.0.1:{self.port}"
        self._line = Port(board)
        self._client: socket.socket | None = None
        self._manager: rfc2217.PortManager | None = None
        self._stop = threading.Event()
        self._orders: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Server:
        self.board.power_on()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._hang_up()
        self._listener.close()
        self.board.stop()

    def do(self, work: Callable[[], object]) -> None:
        """Have the board's own thread do something, and wait until it is done."""
        done = threading.Event()

        def both() -> None:
            work()
            done.set()

        self._orders.put(both)
        if not done.wait(10):
            raise TimeoutError("the board's thread is stuck or has ended")

    def wait_for(self, pattern: str, timeout: float = 20.0) -> str:
        """Wait until the board's output matches, from its beginning on."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            text = bytes(self.log).decode("utf-8", "replace")
            if found := re.search(pattern, text):
                return found[0]
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} not within {timeout} s; the end: {text[-600:]}")

    def write(self, data: bytes) -> None:
        """Telnet negotiation, from pyserial's half, and ours."""
        if self._client:
            with contextlib.suppress(OSError):
                self._client.sendall(data)

    def _loop(self) -> None:
        while not self._stop.is_set():
            fds: list[Any] = [self._client or self._listener]
            fds += [self.board.fileno()] if self.board.fileno() >= 0 else []
            ready = select.select(fds, [], [], 0.01)[0]
            if self._client is None and self._listener in ready:
                self._accept()
            elif self._client in ready:
                self._from_host()
            while not self._orders.empty():
                self._orders.get()()
            self.board.tick()
            self._to_host(self.board.take())

    def _accept(self) -> None:
        self._client = self._listener.accept()[0]
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._password:
            self.write(b"login: ")
        else:
            # They have those parts of a serial port that it asks for.
            line: Any = self._line
            wire: Any = self
            self._manager = rfc2217.PortManager(line, wire)

    def _from_host(self) -> None:
        assert self._client is not None
        try:
            data = self._client.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return
        if self._manager is None:
            return
        plain = self._manager.mode == rfc2217.M_NORMAL and self._manager.suboption is None
        if not plain or b"\xff" in data:
            data = b"".join(self._manager.filter(data))
        if data:
            self._deliver(data)

    def _deliver(self, data: bytes) -> None:
        self.received += len(data)
        self._take_time(len(data))
        limit = self.board.faults.vanish_after
        if limit is not None and self.received >= limit:
            self._listener.close()
            self._hang_up()
            self._stop.set()
            return
        self.board.receive(data, self._line.baudrate)

    def _to_host(self, data: bytes) -> None:
        if not data:
            return
        self.log += data
        if self._manager is not None:
            self.sent += len(data)
            self._take_time(len(data))
            self.write(data.replace(b"\xff", b"\xff\xff"))

    def _take_time(self, count: int) -> None:
        if self.timed:
            # start bit, 8 data bits, stop bit
            time.sleep(count * 10 / (self.line_baud or self._line.baudrate))

    def _hang_up(self) -> None:
        if self._client:
            self._client.close()
        self._client = self._manager = None
        self._line.both(False, False)  # the operating system drops both at once
