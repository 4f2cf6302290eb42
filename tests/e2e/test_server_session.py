"""Session and Connection over real TLS against a broker that misbehaves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import pki
from tests.e2e.client import Client
from tests.e2e.server import Server

DATA = "devices/t-1/data"
COMMANDS = "devices/t-1/commands"


@pytest.fixture
def client(tmp_path: Path, umqtt_dir: Path, ca: pki.Authority) -> Iterator[Client]:
    made = Client(tmp_path, umqtt_dir, ca, ca.client())
    yield made
    made.stop()


SPEED = 5
"""The firmware's clock against ours, where a test waits for one of its deadlines."""


def reasons(events: list[dict[str, Any]]) -> list[str]:
    return [event["reason"] for event in events if event["event"] == "down"]


def test_puback_withheld(broker: Server, client: Client) -> None:
    broker.script.withhold["PUBACK"] = 2
    events = client.run(port=broker.port, publish=1, speed=2)
    assert (events[-1]["acked"], events[-1]["resent"]) == (1, 2)
    (connection,) = broker.connections
    sent = connection.of("PUBLISH")
    assert [p.dup for p in sent] == [False, True, True]
    assert len({p.packet_id for p in sent}) == 1
    times = [t for t, p in connection.packets if p.kind == "PUBLISH"]
    assert all(0.98 < (b - a) / 2.5 < 2 for a, b in pairwise(times))


def test_suback_withheld(broker: Server, client: Client) -> None:
    broker.script.withhold["SUBACK"] = 1
    client.start(port=broker.port, keepalive_s=30, speed=SPEED)
    broker.wait_for(lambda: broker.connections and len(broker.connections[0].of("SUBSCRIBE")) > 1)
    broker.wait_for(lambda: "PINGREQ" in broker.connections[0].names())
    assert reasons(client.end()) == []
    (connection,) = broker.connections
    first, second = connection.of("SUBSCRIBE")
    assert first == second


def test_a_publish_does_not_wait_for_suback(broker: Server, client: Client) -> None:
    broker.script.withhold["SUBACK"] = -1
    events = client.run(port=broker.port, publish=20)
    assert (events[-1]["acked"], events[-1]["resent"]) == (20, 0)
    assert events[-1]["ms"] < 3000
    (connection,) = broker.connections
    assert len(connection.of("SUBSCRIBE")) == 1


def test_suback_never(broker: Server, client: Client) -> None:
    broker.script.withhold["SUBACK"] = -1
    client.start(port=broker.port, speed=SPEED, seconds=12)
    broker.wait_for(lambda: len(broker.connections) > 1 and broker.connections[1].of("SUBSCRIBE"))
    assert reasons(client.end()) == ["no_suback"]
    assert len(broker.connections[0].of("SUBSCRIBE")) == 3


def test_nothing_is_answered(broker: Server, client: Client) -> None:
    broker.script.withhold.update(PUBACK=-1, PINGRESP=-1)
    client.start(port=broker.port, publish=1, keepalive_s=30, seconds=20, speed=SPEED)
    closed = broker.wait_for(lambda: broker.connections and broker.connections[0].reason, 20)
    assert closed == "closed by the client"
    broker.script.withhold.clear()
    events = client.finish()
    assert reasons(events) == ["no_puback"]
    assert events[-1]["acked"] == 1


def test_pings_without_answer(broker: Server, client: Client) -> None:
    broker.script.withhold.update(PINGRESP=-1)
    client.start(port=broker.port, keepalive_s=30, speed=SPEED)
    broker.wait_for(lambda: len(broker.live()) and len(broker.connections) > 1)
    assert reasons(client.end()) == ["no_pingresp"]
    first = broker.connections[0]
    times = [t for t, p in first.packets if p.kind in ("CONNECT", "PINGREQ")]
    assert 2.9 < times[1] - times[0] < 4.5, "half the keep-alive"
    assert first.closed is not None
    assert 1.9 < first.closed - times[1] < 3.5


def test_a_kept_session(broker: Server, client: Client) -> None:
    client.start(port=broker.port, seconds=6)
    broker.wait_for(lambda: broker.connections and broker.connections[0].of("SUBSCRIBE"))
    broker.deliver(COMMANDS, b"behind SUBACK")
    broker.wait_for(lambda: broker.connections[0].of("PUBACK"))
    broker.kick()
    broker.deliver(COMMANDS, b"while you were away")
    broker.wait_for(lambda: len(broker.connections) > 1 and broker.connections[1].of("PUBACK"))
    events = client.end()
    assert "SUBSCRIBE" not in broker.connections[1].names()
    assert [e["present"] for e in events if e["event"] == "up"] == [False, True]
    assert [e["size"] for e in events if e["event"] == "message"] == [13, 19]


def test_an_expired_session(broker: Server, client: Client) -> None:
    client.start(port=broker.port, seconds=6)
    broker.wait_for(lambda: broker.connections and broker.connections[0].of("SUBSCRIBE"))
    broker.script.session_present = False
    broker.kick()
    broker.wait_for(lambda: len(broker.connections) > 1 and broker.connections[1].of("SUBSCRIBE"))
    assert broker.connections[1].of("SUBSCRIBE")[0].filters == [(COMMANDS, 1)]


def test_cut_off_before_suback(broker: Server, client: Client) -> None:
    broker.script.close_on["SUBSCRIBE"] = 1
    client.start(port=broker.port, seconds=6)
    broker.wait_for(lambda: len(broker.connections) > 1 and broker.connections[1].of("SUBSCRIBE"))
    assert broker.connections[1].connack == (0, True)


def test_nothing_is_lost_over_many_cuts(broker: Server, client: Client) -> None:
    client.start(port=broker.port, publish=3000, seconds=40, window=16)
    for cut in range(6):
        broker.wait_for(lambda cut=cut: len(broker.published(DATA)) > 300 * (cut + 1), 20)
        broker.kick()
    events = client.finish(60)
    assert events[-1]["acked"] == 3000, events
    assert len(broker.connections) == 7
    assert broker.violations == []
    assert len(broker.published(DATA)) <= 3000 + 6 * 16


def test_stalled_in_the_middle_of_a_packet(broker: Server, client: Client) -> None:
    client.start(port=broker.port, seconds=30, keepalive_s=230, speed=SPEED)
    broker.wait_for(lambda: broker.connections and broker.connections[0].of("SUBSCRIBE"))
    broker.script.stall_after = 9
    broker.deliver(COMMANDS, b"never whole")
    start = time.monotonic()
    broker.wait_for(lambda: broker.connections[0].reason)
    assert 3.9 < time.monotonic() - start < 6
    broker.wait_for(lambda: len(broker.connections) > 1 and broker.connections[1].of("PUBACK"))
    events = client.end()
    assert reasons(events) == ["timeout packet"]
    assert [e["size"] for e in events if e["event"] == "message"] == [11]


def test_closed_without_connack_is_retried_slowly(broker: Server, client: Client) -> None:
    broker.script.close_on["CONNECT"] = 1
    events = client.run(port=broker.port, publish=1, seconds=15, speed=SPEED)
    assert events[0]["text"].startswith("link: no_connack closed by AWS: policy, client id")
    assert broker.attempts()[1] - broker.attempts()[0] >= 4 / SPEED
    assert events[-1]["acked"] == 1


def test_refused_with_a_code(broker: Server, client: Client) -> None:
    broker.script.connack_code = 5
    events = client.run(port=broker.port, seconds=2)
    assert events[0]["text"].startswith("link: refused 5,")


def test_a_forbidden_topic(broker: Server, client: Client) -> None:
    broker.script.forbidden.append(DATA)
    client.start(port=broker.port, publish=1, seconds=5)
    broker.wait_for(lambda: len(broker.connections) > 2)
    events = client.end()
    # A reset (104) when the broker had not read all of it.
    assert reasons(events) and all(words.startswith("closed") for words in reasons(events)), events
    assert broker.published(DATA) == []


def test_connack_withheld(broker: Server, client: Client) -> None:
    broker.script.withhold["CONNACK"] = 1
    events = client.run(port=broker.port, publish=1, seconds=20, speed=SPEED)
    assert events[0]["text"].startswith("link: timeout connack,")
    assert 1.9 < broker.attempts()[1] - broker.attempts()[0] < 4
    assert events[-1]["longest_ms"] < 1000, "a step waited"


def test_a_broker_that_is_down(broker: Server, client: Client) -> None:
    broker.listen(False)
    client.start(port=broker.port, publish=1, seconds=15, speed=SPEED)
    broker.wait_for(lambda: client.events)
    broker.listen(True)
    events = client.finish()
    assert events[0]["text"].startswith("link: tcp ")
    assert events[-1]["acked"] == 1


def test_a_steady_stream(broker: Server, client: Client) -> None:
    """What a QoS 1 window is for: not one round trip a message (stock umqtt: 22 messages/s)."""
    events = client.run(port=broker.port, publish=5000, seconds=30)
    end = events[-1]
    assert (end["acked"], end["in_order"], end["resent"]) == (5000, True, 0)
    print(f"{5000 * 1000 // end['ms']} messages/s")
