"""Real TLS between the firmware's session and the scripted broker, 1.2 and 1.3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import hello, pki
from tests.e2e.client import Client
from tests.e2e.server import Server

VERSIONS = ["1.2", "1.3"]
SPEED = 5  # of the firmware's clock


@pytest.fixture
def client(tmp_path: Path, umqtt_dir: Path, ca: pki.Authority) -> Iterator[Client]:
    made = Client(tmp_path, umqtt_dir, ca, ca.client())
    yield made
    made.stop()


def last_reason(events: list[dict[str, Any]]) -> str:
    """What the connection said about its last failure, without the waiting time."""
    texts = [event["text"] for event in events if event["event"] == "log"]
    return texts[-1].removeprefix("link: ").split(", next")[0]


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("tls", VERSIONS)
def test_a_session(ca: pki.Authority, client: Client, tls: str, bits: int) -> None:
    with Server(ca, ca.server(), tls=tls) as broker:
        client.start(port=broker.port, publish=200, bits=bits)
        events = client.finish()
        end = events[-1]
        assert (end["acked"], end["in_order"], end["resent"]) == (200, True, 0), events
        (connection,) = broker.connections
        assert connection.tls is not None
        assert connection.tls[0] == f"TLSv{tls}"
        assert connection.names()[:3] == ["CONNECT", "SUBSCRIBE", "PUBLISH"]
        assert broker.wait_for(lambda: connection.reason) == "DISCONNECT"
        assert connection.connect is not None
        assert connection.connect.will is not None
        assert connection.hello is not None
        assert connection.hello.server_name == pki.HOST
        assert hello.RECOMMENDED & set(connection.hello.ciphers)
        assert broker.violations == []


@pytest.mark.parametrize("tls", VERSIONS)
def test_one_record_a_publish(ca: pki.Authority, client: Client, tls: str) -> None:
    with Server(ca, ca.server(), tls=tls) as broker:
        client.start(port=broker.port, publish=50, window=1)
        client.finish()
        (connection,) = broker.connections
        sizes = [p.size for _, p in connection.packets if p.kind == "PUBLISH"]
        assert [size for size in connection.records if size == sizes[0]] == sizes


@pytest.mark.parametrize("tls", VERSIONS)
@pytest.mark.parametrize(
    ("identity", "reason", "alert"),
    [
        ("other host", "tls host name", "BAD_CERTIFICATE"),
        ("expired", "tls expired", "CERTIFICATE_EXPIRED"),
        ("not yet valid", "tls not yet valid", "CERTIFICATE_UNKNOWN"),
        ("untrusted", "tls not trusted", "UNKNOWN_CA"),
    ],
)
def test_a_wrong_server_is_refused_before_any_mqtt(
    ca: pki.Authority, client: Client, tls: str, identity: str, reason: str, alert: str
) -> None:
    made = {
        "other host": lambda: ca.server("other.example"),
        "expired": lambda: ca.server(days=-800),
        "not yet valid": lambda: ca.server(days=800),
        "untrusted": lambda: pki.Authority().server(),
    }[identity]()
    with Server(ca, made, tls=tls) as broker:
        client.start(port=broker.port, speed=SPEED)
        # It tries again.
        broker.wait_for(lambda: broker.connections[1:] and broker.connections[1].tls_error)
        assert last_reason(client.end()) == reason
        for connection in broker.connections[:2]:
            assert connection.packets == []
            assert alert in (connection.tls_error or "")


@pytest.mark.parametrize("tls", VERSIONS)
@pytest.mark.parametrize("kind", ["large", "rsa", "p256"])
def test_any_good_server_certificate(
    ca: pki.Authority, client: Client, tls: str, kind: str
) -> None:
    made = {
        "large": lambda: pki.large(ca, rsa=True),
        "rsa": lambda: ca.server(rsa=True),
        "p256": lambda: ca.server(),
    }[kind]()
    with Server(ca, made, tls=tls) as broker:
        events = client.run(port=broker.port, publish=1)
        assert events[-1]["acked"] == 1, events


def test_an_address_as_endpoint(ca: pki.Authority, client: Client) -> None:
    with Server(ca, ca.server()) as broker:
        events = client.run(port=broker.port, host="127.0.0.1", publish=1)
        assert events[-1]["acked"] == 1, events
        broker.identity = ca.server("other.example")
        events = client.run(port=broker.port, host="127.0.0.1", seconds=1)
        assert last_reason(events) == "tls host name"


@pytest.mark.parametrize("tls", VERSIONS)
def test_a_client_certificate_that_is_refused(
    ca: pki.Authority, tmp_path: Path, umqtt_dir: Path, tls: str
) -> None:
    other = Client(tmp_path, umqtt_dir, ca, pki.Authority().client())
    with Server(ca, ca.server(), tls=tls) as broker:
        events = other.run(port=broker.port, seconds=1.2)
        # TLS 1.3 says it after the handshake; with a plain reset it looks like AWS saying no.
        words = ("tls alert from server", "tls reset by server", "no_connack closed by AWS")
        assert last_reason(events).startswith(words), events
        assert all(connection.connack is None for connection in broker.connections)


def test_a_key_that_is_not_the_certificates(
    ca: pki.Authority, tmp_path: Path, umqtt_dir: Path
) -> None:
    mixed = pki.Identity(ca.client().cert, ca.client().key)
    other = Client(tmp_path, umqtt_dir, ca, mixed)
    with Server(ca, ca.server(), tls="1.2") as broker:
        events = other.run(port=broker.port, seconds=1.2)
        assert last_reason(events).startswith("tls "), events
        assert broker.connections[0].connect is None


@pytest.mark.parametrize("tls", VERSIONS)
def test_the_largest_records(ca: pki.Authority, client: Client, tls: str) -> None:
    with Server(ca, ca.server(), tls=tls) as broker:
        client.start(port=broker.port, seconds=3, limit_bytes=40_000, heap="256wk")
        broker.wait_for(lambda: any(c.of("SUBSCRIBE") for c in broker.connections))
        broker.deliver("devices/t-1/commands", bytes(39_000))  # three records, two of 16 KB
        broker.wait_for(lambda: broker.connections[0].of("PUBACK"))
        events = client.end()
        assert {"event": "message", "topic": "devices/t-1/commands", "size": 39_000} in events


@pytest.mark.parametrize("tls", VERSIONS)
def test_128_kb_are_drained_in_a_small_heap(ca: pki.Authority, client: Client, tls: str) -> None:
    with Server(ca, ca.server(), tls=tls) as broker:
        client.start(port=broker.port, seconds=3, heap="64wk")
        broker.wait_for(lambda: any(c.of("SUBSCRIBE") for c in broker.connections))
        broker.deliver("devices/t-1/commands", bytes(128 * 1024))
        broker.deliver("devices/t-1/commands", b"after")
        broker.wait_for(lambda: len(broker.connections[0].of("PUBACK")) == 2)
        events = client.finish()
        assert [e["size"] for e in events if e["event"] == "message"] == [5]
        assert events[-1]["oversized"] == 1


def test_a_handshake_that_never_comes(ca: pki.Authority, client: Client) -> None:
    with Server(ca, ca.server()) as broker:
        broker.script.withhold["handshake"] = 1
        client.start(port=broker.port, seconds=25, publish=1, speed=SPEED)
        events = client.finish()
        assert events[0]["text"].startswith("link: timeout handshake"), events
        assert events[-1]["acked"] == 1
        assert 2.9 < broker.attempts()[1] - broker.attempts()[0] < 6
        assert events[-1]["longest_ms"] < 1000, "a step waited"
