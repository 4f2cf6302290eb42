"""One client of the test broker: its socket, its deadlines, and what it sent."""

from __future__ import annotations

import queue
import select
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING

from tests.e2e import hello as tls_hello
from tests.e2e import packets
from tests.e2e.packets import Packet, Violation
from tests.e2e.session import Message, Session

if TYPE_CHECKING:
    from tests.e2e.server import Server

_IDLE_S = 0.05


class Connection:
    """One accepted TCP connection; ``server.py`` documents the attributes."""

    def __init__(self, server: Server, raw: socket.socket, number: int) -> None:
        self.number = number
        self.opened = time.monotonic()
        self.closed: float | None = None
        self.reason: str | None = None
        self.hello: tls_hello.Hello | None = None
        self.tls: tuple[str, str] | None = None
        self.tls_error: str | None = None
        self.certificate = b""  # the client's, DER
        self.connect: Packet | None = None
        self.connack: tuple[int, bool] | None = None
        self.packets: list[tuple[float, Packet]] = []
        self.records: list[int] = []
        self.session: Session | None = None
        self._server = server
        self._sock: socket.socket = raw
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._wake_in, self._wake_out = socket.socketpair()
        self._data = b""
        self._heard = time.monotonic()
        self._stalled = False
        self.thread = threading.Thread(target=self._run, daemon=True)

    # --- called from any thread

    def send(self, data: bytes) -> None:
        """Queue bytes for the client."""
        self._outgoing.put(data)
        self._wake()

    def kill(self, reason: str = "killed by the test") -> None:
        """End the TCP connection without a word."""
        self.reason = self.reason or reason
        self._outgoing.put(None)
        self._wake()

    def names(self) -> list[str]:
        """The kinds of the packets received, in order."""
        return [packet.kind for _, packet in self.packets]

    def of(self, kind: str) -> list[Packet]:
        """The packets received of one kind, in order."""
        return [packet for _, packet in self.packets if packet.kind == kind]

    def _wake(self) -> None:
        try:
            self._wake_out.send(b"x")
        except OSError:
            pass

    # --- the connection's own thread

    def _run(self) -> None:
        try:
            if self._handshake():
                self._serve()
        except Violation as e:
            self.reason = self.reason or f"violation: {e}"
            self._server.violations.append(str(e))
        except ssl.SSLError as e:
            self.reason = self.reason or f"tls: {e.reason or e}"
            self.tls_error = e.reason
        except OSError as e:
            self.reason = self.reason or f"client: {e}"
        finally:
            self._finish()

    def _handshake(self) -> bool:
        script = self._server.script
        self._sock.settimeout(script.handshake_timeout_s)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.hello = self._peek()
        if script.take("refuse_tls") or script.hold("handshake", self):
            self.reason = "handshake withheld"
            return False
        if self.hello is None or not self.hello.server_name:
            raise Violation("no SNI")
        try:
            secured = self._server.context().wrap_socket(self._sock, server_side=True)
        except (ssl.SSLError, OSError) as e:
            self.tls_error = getattr(e, "reason", None) or str(e)
            self.reason = f"handshake: {self.tls_error}"
            return False
        self._sock = secured
        cipher = secured.cipher()
        self.certificate = secured.getpeercert(True) or b""
        self.tls = (secured.version() or "", cipher[0] if cipher else "")
        self._heard = time.monotonic()
        self._server.changed()
        return True

    def _peek(self) -> tls_hello.Hello | None:
        limit = time.monotonic() + 5
        while time.monotonic() < limit:
            data = self._sock.recv(4096, socket.MSG_PEEK)
            found = tls_hello.parse(data) if data else None
            if found or not data:
                return found
            time.sleep(0.01)
        return None

    def _serve(self) -> None:
        assert isinstance(self._sock, ssl.SSLSocket)
        while self.reason is None:
            if not self._sock.pending():
                ready, _, _ = select.select([self._sock, self._wake_in], [], [], _IDLE_S)
                if self._wake_in in ready:
                    self._wake_in.recv(4096)
                    self._flush()
                if self._sock not in ready:
                    self._check_deadline()
                    continue
            data = self._sock.recv(65536)
            if not data:
                self.reason = self.reason or "closed by the client"
                return
            self.records.append(len(data))
            self._data += data
            self._take()

    def _take(self) -> None:
        while self.reason is None and (found := packets.split(self._data)):
            first, body, used = found
            self._data = self._data[used:]
            packet = packets.parse(first, body)
            self._heard = time.monotonic()
            self.packets.append((self._heard, packet))
            if (self.connect is None) != (packet.kind == "CONNECT"):
                raise Violation(f"{packet.kind} at the wrong time")
            self._server.handle(self, packet)
            self._server.changed()
            self._flush()

    def _flush(self) -> None:
        while not self._outgoing.empty():
            data = self._outgoing.get()
            if data is None:
                self.reason = self.reason or "killed by the test"
                return
            if not self._stalled:
                self._stalled = self._server.script.write(self._sock, data)

    def _check_deadline(self) -> None:
        limit_s = self._server.silence_s(self.connect)
        if time.monotonic() - self._heard > limit_s:
            what = "keep-alive" if self.connect else "no CONNECT"
            raise Violation(f"{what}: silent for {limit_s:.1f} s")

    def deliver(self, message: Message) -> None:
        """Send a message at its QoS; QoS 1 stays pending until its PUBACK."""
        assert self.session is not None
        if message.qos:
            self.send(self.session.start(message))
        else:
            self.send(packets.publish(message.topic, message.payload, 0, 0, message.retain))

    def _finish(self) -> None:
        self.closed = time.monotonic()
        for end in (self._sock, self._wake_in, self._wake_out):
            try:
                end.close()
            except OSError:
                pass
        self._server.gone(self)
