"""The MQTT 3.1.1 cases that are not about backoff (aws-facts 9.3)."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from firmware.core.topics import subscribes
from tests.e2e.advisor.bench import SCALE, THING, Bench
from tests.e2e.advisor.case import case
from tests.e2e.connection import Connection
from tests.e2e.packets import Packet

MAX_KEEPALIVE_S = 230  # Device Advisor's limit for the ping test
SIZES = (0, 1, 1024, 8192, 128 * 1024)  # Device Advisor sends up to 128 KB


def repeats(
    bench: Bench, connection: Connection, kind: str, copies: int
) -> Sequence[tuple[float, Packet]]:
    """Wait until one packet has been sent ``copies`` times on a connection; them, and when."""

    def look() -> Sequence[tuple[float, Packet]] | None:
        by_id: dict[int, list[tuple[float, Packet]]] = {}
        for when, packet in list(connection.packets):
            if packet.kind == kind:
                by_id.setdefault(packet.packet_id, []).append((when, packet))
        return next((found for found in by_id.values() if len(found) >= copies), None)

    return bench.wait(look)


def measure_repeats(bench: Bench, sent: Sequence[tuple[float, Packet]]) -> float:
    """Put packet id and gaps into the table; the longest gap in seconds of the device."""
    times = [when for when, _ in sent]
    gaps = [SCALE * (b - a) for a, b in zip(times, times[1:], strict=False)]
    bench.measure(packet_id=sent[0][1].packet_id, again_after_s=[round(gap, 1) for gap in gaps])
    return max(gaps)


@case()
def test_MQTT_Connect(bench: Bench) -> None:
    connection = bench.up()
    sent = connection.connect
    assert sent is not None and sent.client_id == THING
    assert 0 < sent.keepalive_s <= MAX_KEEPALIVE_S
    assert connection.names()[0] == "CONNECT"
    bench.measure(
        client_id=sent.client_id,
        keepalive_s=sent.keepalive_s,
        clean_session=sent.clean,
        will=sent.will.topic if sent.will else None,
    )


@case()
def test_MQTT_Publish(bench: Bench) -> None:
    bench.up()
    bench.wait(lambda: len(bench.readings()) >= 3)
    packets, readings = bench.broker.published(bench.data), bench.readings()
    assert all(p.qos == 1 and not p.retain for p in packets)
    assert [r["seq"] for r in readings] == list(range(1, len(readings) + 1))
    assert all(r["device_id"] == THING and isinstance(r["temperature"], float) for r in readings)
    bench.measure(topic=bench.data, qos=1, payload=packets[0].payload.decode())


@case()
def test_MQTT_Publish_Retained_Messages(bench: Bench) -> None:
    bench.up()
    bench.wait(lambda: bench.broker.published(bench.status) and bench.readings())
    retained = [p.topic for p in bench.broker.published() if p.retain]
    assert set(retained) == {bench.status}
    kept = json.loads(bench.broker.store.retained[bench.status])
    assert kept["online"] is True
    bench.measure(
        topic=bench.status, retain=1, bytes=len(bench.broker.store.retained[bench.status])
    )


@case()
def test_MQTT_Publish_Retry_No_Puback(bench: Bench) -> None:
    bench.broker.script.withhold["PUBACK"] = 2  # the same publish loses both, or two lose one
    connection = bench.up()
    bench.broker.script.withhold["PUBACK"] = 2
    sent = repeats(bench, connection, "PUBLISH", 2)
    gap_s = measure_repeats(bench, sent)
    (_, first), *others = sent
    assert not first.dup
    for _, packet in others:
        assert packet.dup
        assert (packet.topic, packet.payload) == (first.topic, first.payload)
    assert gap_s <= 15
    bench.wait(lambda: len(bench.readings()) >= 5)
    assert len(bench.broker.connections) == 1 and connection.reason is None
    bench.measure(dup="set", connections=1)


@case(updates=True)
def test_MQTT_Subscribe(bench: Bench) -> None:
    connection = bench.up()
    (sent,) = connection.of("SUBSCRIBE")
    # Those of jobs are among them: the most that a board subscribes to, and as many as AWS takes.
    wanted = subscribes(bench.topics[1], bench.topics[4], True)
    assert [name for name, _ in sent.filters] == wanted and len(wanted) == 8
    assert all(qos == 1 for _, qos in sent.filters)
    bench.measure(packet_id=sent.packet_id, filters=len(sent.filters), qos=1)


@case(updates=True)
def test_MQTT_Subscribe_Retry_No_Suback(bench: Bench) -> None:
    bench.broker.script.withhold["SUBACK"] = 2
    connection = bench.up()
    sent = repeats(bench, connection, "SUBSCRIBE", 3)
    gap_s = measure_repeats(bench, sent)
    assert all(packet.filters == sent[0][1].filters for _, packet in sent)
    assert gap_s <= 15
    bench.wait(bench.readings)
    assert len(bench.broker.connections) == 1 and connection.reason is None
    bench.measure(connections=1)


@case()
def test_MQTT_Client_Puback_Qos1(bench: Bench) -> None:
    connection = bench.up()
    bench.wait(lambda: bench.shadow.reported(interval_s=5))  # whose messages want PUBACKs too
    ids, times_s = [], []
    for size in SIZES:
        began = time.monotonic()
        ids.append(bench.deliver(bytes(size)))
        times_s.append(round(bench.since(began), 2))
    acked = [packet.packet_id for packet in connection.of("PUBACK")]
    assert len(set(acked)) == len(acked), "a packet id acknowledged twice"
    assert connection.reason is None and len(bench.broker.connections) == 1
    bench.measure(payload_bytes=list(SIZES), packet_ids=ids, puback_after_s=times_s)


@case()
def test_MQTT_No_Ack_PingResp(bench: Bench) -> None:
    script = bench.broker.script
    script.withhold |= {"PUBACK": -1, "SUBACK": -1, "PINGRESP": -1}
    bench.start()
    first = bench.wait(lambda: next((c for c in bench.broker.connections if c.connect), None))
    bench.wait(lambda: first.closed)
    silent_s = _gave_up(first)
    script.withhold.clear()
    second = bench.again(first)
    script.withhold["PINGRESP"] = -1
    bench.wait(lambda: second.closed)
    pinged = [when for when, packet in second.packets if packet.kind == "PINGREQ"]
    assert len(pinged) >= 1 and second.closed is not None
    _gave_up(second)
    script.withhold.clear()
    bench.again(second)
    bench.measure(
        no_ack_at_all=f"hung up after {silent_s:.1f} s",
        no_pingresp=f"hung up {SCALE * (second.closed - pinged[-1]):.1f} s after PINGREQ",
        recovered="yes",
    )


def _gave_up(connection: Connection) -> float:
    # Seconds of the device until it hung up, by itself and before AWS would have done it.
    assert connection.connect is not None and connection.closed is not None
    assert connection.reason in ("closed by the client", "DISCONNECT"), connection.reason
    took_s = SCALE * (connection.closed - connection.opened)
    assert took_s < 1.5 * connection.connect.keepalive_s
    return took_s


@case(updates=True)
def test_MQTT_Persistent_Session_Happy_Case(bench: Bench) -> None:
    first = bench.up()
    assert first.connect is not None and not first.connect.clean
    bench.wait(lambda: bench.broker.published(bench.status))
    bench.away(lambda: bench.broker.deliver(bench.commands, bench.command("stored")))
    second = bench.again(first)
    assert second.connack == (0, True)
    assert bench.result("stored")["ok"]
    bench.wait(lambda: second.session and not second.session.pending)
    bench.pause(10)
    assert "SUBSCRIBE" not in second.names(), "it subscribed to what the broker still knew"
    acked = [packet.packet_id for packet in second.of("PUBACK")]
    bench.measure(session_present=1, subscribes=0, stored_message="acted on", puback_ids=acked)


@case(updates=True)
def test_MQTT_Expired_Persistent_Session(bench: Bench) -> None:
    first = bench.up()
    bench.away(bench.broker.store.expire)
    second = bench.again(first)
    assert second.connack == (0, False)
    bench.wait(lambda: second.of("SUBSCRIBE"))
    filters = [c.of("SUBSCRIBE")[0].filters for c in (first, second)]
    assert filters[0] == filters[1]
    bench.broker.deliver(bench.commands, bench.command("after"))
    assert bench.result("after")["ok"]
    bench.measure(session_present=0, filters_again=len(filters[1]))
