"""What the test broker keeps between connections: sessions, subscriptions, retained messages."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tests.e2e import packets


@dataclass
class Message:
    """Something to deliver to one client."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


class Direct(Message):
    """An answer to the one who asked: no subscription needed, and lost when it has gone."""


@dataclass
class Session:
    """One client id. ``pending`` are QoS 1 messages it has not acknowledged, oldest first."""

    client_id: str
    filters: dict[str, int] = field(default_factory=dict)
    pending: deque[Message] = field(default_factory=deque)
    in_flight: dict[int, Message] = field(default_factory=dict)
    next_id: int = 1

    def wants(self, topic: str) -> int | None:
        """The granted QoS for a topic; None when nothing matches."""
        granted = [q for f, q in self.filters.items() if packets.matches(f, topic)]
        return max(granted, default=None)

    def start(self, message: Message) -> bytes:
        """The bytes of a QoS 1 delivery; like AWS a new packet id and no DUP for a repetition."""
        packet_id, self.next_id = self.next_id, self.next_id % 65535 + 1
        self.in_flight[packet_id] = message
        return packets.publish(message.topic, message.payload, 1, packet_id, message.retain)

    def acknowledge(self, packet_id: int) -> bool:
        """False for an id that is not in flight."""
        message = self.in_flight.pop(packet_id, None)
        if message is not None and not isinstance(message, Direct):
            self.pending.remove(message)
        return message is not None


class Store:
    """All sessions and retained messages of one broker."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self.retained: dict[str, bytes] = {}

    def open(self, client_id: str, clean: bool) -> tuple[Session, bool]:
        """The session for a CONNECT, and whether it was there before."""
        if clean:
            self._sessions.pop(client_id, None)
            return Session(client_id), False
        present = client_id in self._sessions
        session = self._sessions.setdefault(client_id, Session(client_id))
        session.in_flight.clear()
        return session, present

    def expire(self, client_id: str | None = None) -> None:
        """Forget one session, or all, as AWS does an hour after the client went away."""
        for name in list(self._sessions):
            if client_id in (None, name):
                del self._sessions[name]

    def offline(self) -> list[Session]:
        """Every persistent session."""
        return list(self._sessions.values())

    def retain(self, topic: str, payload: bytes) -> None:
        """Keep the payload for new subscribers; an empty one deletes."""
        if payload:
            self.retained[topic] = payload
        else:
            self.retained.pop(topic, None)
