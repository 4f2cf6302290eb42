"""A strict, scriptable MQTT 3.1.1 broker over mutual TLS on loopback, made after AWS IoT Core.

It is strict where AWS is and MiniStack is not: client certificate and SNI required; packet id 0,
payload over 128 KB, more than 8 filters, more than 7 slashes, a second CONNECT, odd flags, bad
wildcards, an unlisted ``$`` topic: the connection is closed and the reason kept. Keep-alive is
clamped (0 or above 1200: 1200; below 30: 30) and enforced at 1.5 times. QoS 2 gets no answer.

    ca = pki.Authority()
    with Server(ca, ca.server()) as broker:          # port: broker.port, name: pki.HOST
        broker.script.withhold["PUBACK"] = 2         # see script.py
        ... start a client with ca.cert and ca.client() ...
        one = broker.wait_for(lambda: broker.published("devices/x/data"), timeout_s=10)
        broker.deliver("devices/x/commands", b"{}")  # to whoever subscribed, also later
        broker.kick()                                # TCP gone, session kept
        broker.store.expire()                        # the session too: next session_present is 0

``Server(ca, identity, *, tls="1.2"|"1.3"|None, clock=1.0)``: ``clock`` scales every time limit of
the broker (0.01: keep-alive 30 s is enforced after 0.45 s). ``broker.identity`` may be exchanged
between connections, to test how a client meets a wrong certificate.

What the client did: ``broker.connections``, each with ``opened``, ``closed`` (monotonic seconds),
``reason``, ``hello`` (ciphers, server_name), ``tls`` (version, cipher), ``tls_error`` (the alert
the client sent, in OpenSSL's words), ``connect``, ``connack`` (code, session_present), ``packets``
[(time, Packet)], ``names()``, ``of(kind)``, ``records`` (sizes of the client's TLS reads).
``broker.violations`` lists every broken rule. ``broker.messages`` holds every PUBLISH that was
accepted, and every last will, as (time, client id, Packet).
``broker.attempts()``: the times of all connects, for judging a backoff.
``broker.responders``: functions (client id, topic, payload) -> [(topic, payload)], called for each
PUBLISH; what they return is delivered to subscribers. A shadow fits in there. A ``Message`` in
place of the pair says its QoS, a ``Direct`` goes to the one who asked, subscribed or not, as the
answers of jobs do. Who raises ``Violation`` has the connection closed. ``broker.lock`` is held
while they run. ``broker.gate`` says which certificates may do what; see claims.py.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

from tests.e2e import packets
from tests.e2e.connection import Connection
from tests.e2e.packets import Packet, Violation
from tests.e2e.pki import Authority, Identity
from tests.e2e.script import Script
from tests.e2e.session import Direct, Message, Store

T = TypeVar("T")
Responder = Callable[[str, str, bytes], Sequence[tuple[str, bytes] | Message]]

_FIRST_PACKET_S = 30.0


class Gate(Protocol):
    """Who may come in, and what for: ``certificate`` is the client's, in DER."""

    def admits(self, certificate: bytes, client_id: str) -> bool:
        """Whether it may connect under this client id."""

    def allows(self, certificate: bytes, action: str, topic: str) -> bool:
        """Whether it may "Publish" to a topic or "Subscribe" to a filter."""


class Server:
    """See the text of the module."""

    def __init__(
        self, ca: Authority, identity: Identity, *, tls: str | None = None, clock: float = 1.0
    ) -> None:
        self.identity = identity
        self.script = Script()
        self.store = Store()
        self.connections: list[Connection] = []
        self.violations: list[str] = []
        self.messages: list[tuple[float, str, Packet]] = []
        self.responders: list[Responder] = []
        self.tls_version = tls
        self.clock = clock
        self.gate: Gate | None = None
        self.lock = threading.RLock()
        self._ca = ca
        self._change = threading.Condition(self.lock)
        self._folder = tempfile.TemporaryDirectory()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.port = 0
        self.listen(True)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and end every connection."""
        self.listen(False)
        for connection in list(self.connections):
            connection.kill("the test is over")
            connection.thread.join(5)
        self._folder.cleanup()

    def listen(self, on: bool) -> None:
        """Off: connections are refused by the kernel, as when a broker is down. The port stays."""
        if self._thread is not None and not on:
            self._stop.set()
            self._thread.join(5)
            self._thread = None
        elif self._thread is None and on:
            listener = socket.create_server(("127.0.0.1", self.port))
            listener.settimeout(0.1)
            self.port = listener.getsockname()[1]
            self._stop.clear()
            self._thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            self._thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while not self._stop.is_set():
                try:
                    raw, _ = listener.accept()
                except TimeoutError:
                    continue
                with self._change:
                    connection = Connection(self, raw, len(self.connections) + 1)
                    self.connections.append(connection)
                connection.thread.start()
                self.changed()

    def context(self) -> ssl.SSLContext:
        """A fresh context, for the identity may have changed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.identity.write(Path(self._folder.name), "server"))
        context.load_verify_locations(cadata=self._ca.cert.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        context.num_tickets = 0
        if self.tls_version:
            version = ssl.TLSVersion["TLSv1_" + self.tls_version[-1]]
            context.minimum_version = context.maximum_version = version
        return context

    # --- for the tests

    def changed(self) -> None:
        """Wake everyone in wait_for()."""
        with self._change:
            self._change.notify_all()

    def wait_for(self, look: Callable[[], T], timeout_s: float = 10.0) -> T:
        """What ``look()`` returns as soon as it is true; AssertionError after the timeout."""
        limit = time.monotonic() + timeout_s
        with self._change:
            while not (found := look()):
                left = limit - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"not within {timeout_s} s; {self.story()}")
                self._change.wait(min(left, 0.2))
        return found

    def story(self) -> str:
        """What has happened, for the message of a failed test."""
        lines = [f"violations {self.violations}"]
        for c in self.connections[-12:]:
            lines.append(f"#{c.number} {c.tls} {c.connack} {c.names()[-12:]} {c.reason}")
        return "\n".join(lines)

    def published(self, topic: str | None = None) -> list[Packet]:
        """Accepted PUBLISH packets, on one topic or all, repetitions included."""
        return [p for _, _, p in self.messages if topic in (None, p.topic)]

    def attempts(self) -> list[float]:
        """When each TCP connection came."""
        return [connection.opened for connection in self.connections]

    def live(self, client_id: str | None = None) -> list[Connection]:
        """Connections past CONNACK and still open."""
        return [
            c for c in self.connections
            if c.connack and c.reason is None and c.connect
            and client_id in (None, c.connect.client_id)
        ]  # fmt: skip

    def kick(self, client_id: str | None = None) -> None:
        """End the connections of one client, or all, and wait until they have ended."""
        for connection in self.live(client_id):
            connection.kill("kicked")
            connection.thread.join(5)

    def deliver(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> int:
        """Send to every subscriber, QoS 1 also later to those that are away; how many they are."""
        taken = 0
        with self._change:
            live = {id(c.session): c for c in self.live()}
            known = self.store.offline() + [c.session for c in live.values() if c.session]
            for session in {id(s): s for s in known}.values():
                granted = session.wants(topic)
                if granted is None:
                    continue
                message = Message(topic, payload, min(qos, granted), retain)
                if message.qos:
                    session.pending.append(message)
                if id(session) in live:
                    live[id(session)].deliver(message)
                taken += 1
        return taken

    def answer(self, client_id: str, message: Direct) -> bool:
        """Send to one client that is there, past its subscriptions; never kept for later."""
        with self._change:
            for connection in self.live(client_id):
                connection.deliver(message)
                return True
        return False

    # --- for the connections

    def silence_s(self, connect: Packet | None) -> float:
        """How long a client may be silent."""
        if connect is None:
            return _FIRST_PACKET_S * self.clock
        asked = connect.keepalive_s
        clamped = 1200 if not 0 < asked <= 1200 else max(30, asked)
        return clamped * 1.5 * self.clock

    def gone(self, connection: Connection) -> None:
        """A connection has ended: its last will, unless it said goodbye."""
        with self._change:
            asked = connection.connect
            clean = "DISCONNECT" in connection.names()
            if asked and asked.will and connection.connack and not clean:
                self._accepted(asked.client_id, asked.will, answered=False)
        self.changed()

    def handle(self, connection: Connection, packet: Packet) -> None:
        """Answer one packet, as the script says."""
        with self._change:
            if self.script.take(packet.kind):
                connection.reason = f"closed on {packet.kind}"
                return
            getattr(self, "_on_" + packet.kind.lower())(connection, packet)
            if self.script.take(packet.kind, "close_after"):
                connection.kill(f"closed after {packet.kind}")

    def _answer(self, connection: Connection, kind: str, data: bytes) -> bool:
        if self.script.take(kind, "withhold"):
            return False
        connection.send(data)
        return True

    def _on_connect(self, connection: Connection, packet: Packet) -> None:
        if self.gate and not self.gate.admits(connection.certificate, packet.client_id):
            connection.reason = "certificate refused"
            return
        for other in self.live(packet.client_id):
            other.kill("taken over")
        connection.connect = packet
        code = self.script.connack_code
        if code:
            connection.send(packets.connack(code, False))
            connection.kill(f"refused with {code}")
            return
        if self.script.session_present is False:
            self.store.expire(packet.client_id)
        session, present = self.store.open(packet.client_id, packet.clean)
        connection.session = session
        if self.script.session_present is not None:
            present = self.script.session_present
        if self._answer(connection, "CONNACK", packets.connack(0, present)):
            connection.connack = (0, present)
            for message in list(session.pending):
                connection.deliver(message)

    def _on_publish(self, connection: Connection, packet: Packet) -> None:
        self._allowed(connection, "Publish", [packet.topic])
        if packet.qos == 2:
            return
        self._accepted(connection.connect.client_id, packet)  # type: ignore[union-attr]
        if packet.qos:
            self._answer(connection, "PUBACK", packets.puback(packet.packet_id))

    def _accepted(self, client_id: str, packet: Packet, answered: bool = True) -> None:
        self.messages.append((time.monotonic(), client_id, packet))
        if packet.retain:
            self.store.retain(packet.topic, packet.payload)
        self.deliver(packet.topic, packet.payload, packet.qos)
        # No service of AWS takes a last will for a request.
        for responder in self.responders if answered else []:
            for answer in responder(client_id, packet.topic, packet.payload):
                if isinstance(answer, Direct):
                    self.answer(client_id, answer)
                elif isinstance(answer, Message):
                    self.deliver(answer.topic, answer.payload, answer.qos)
                else:
                    self.deliver(*answer)

    def _on_puback(self, connection: Connection, packet: Packet) -> None:
        assert connection.session is not None
        if not connection.session.acknowledge(packet.packet_id):
            raise Violation(f"PUBACK for {packet.packet_id}, which is not in flight")

    def _on_subscribe(self, connection: Connection, packet: Packet) -> None:
        assert connection.session is not None
        self._allowed(connection, "Subscribe", [name for name, _ in packet.filters])
        if any(qos == 2 for _, qos in packet.filters):
            return
        codes = [self.script.suback_codes.get(name, qos) for name, qos in packet.filters]
        fresh = [name for name, _ in packet.filters if name not in connection.session.filters]
        for (name, _), code in zip(packet.filters, codes, strict=True):
            if code < 2:
                connection.session.filters[name] = code
        self._answer(connection, "SUBACK", packets.suback(packet.packet_id, codes))
        for name in fresh:
            if name in self.store.retained:
                self.deliver(name, self.store.retained[name], retain=True)

    def _on_unsubscribe(self, connection: Connection, packet: Packet) -> None:
        assert connection.session is not None
        for name, _ in packet.filters:
            connection.session.filters.pop(name, None)
        self._answer(connection, "UNSUBACK", packets.unsuback(packet.packet_id))

    def _on_pingreq(self, connection: Connection, _packet: Packet) -> None:
        self._answer(connection, "PINGRESP", packets.PINGRESP)

    def _on_disconnect(self, connection: Connection, _packet: Packet) -> None:
        connection.reason = "DISCONNECT"

    def _allowed(self, connection: Connection, action: str, topics: list[str]) -> None:
        for topic in topics:
            if self.gate and not self.gate.allows(connection.certificate, action, topic):
                raise Violation(f"policy: {action} {topic}")
            if any(packets.matches(f, topic) or f == topic for f in self.script.forbidden):
                raise Violation(f"forbidden: {topic}")
