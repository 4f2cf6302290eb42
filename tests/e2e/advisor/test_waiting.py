"""The cases that take their time: backoff side by side, MQTT_Long_Duration on one board in series.

They share a file so that they run at the same time (case.py). aws-facts 9.3 and 9.4; the backoffs
are judged by grader.py, the long phases are shortened.
"""

from __future__ import annotations

from tests.e2e.advisor.bench import SCALE, Bench
from tests.e2e.advisor.case import case
from tests.e2e.advisor.grader import FAIL, PASS, grade
from tests.e2e.advisor.test_mqtt import measure_repeats, repeats
from tests.e2e.connection import Connection

ATTEMPTS = 10  # RECONNECTION_ATTEMPTS, 5 to 10
_LONG_S = 900.0
DISCONNECT_S = 300.0  # AWS: LONG_SERVER_DISCONNECT_TIME, 30 to 120 minutes
_RETRY_S = 15.0  # AWS warns about a repetition that comes later
_CAP_S = 60.0 + 10.0  # the longest wait of the backoff, and an attempt
_KICKS = 5
_PINGS = 3


def judge(bench: Bench, seen: list[Connection]) -> None:
    """Grade the waits between connections, each from the end of one to the begin of the next.

    AWS looks at CONNECT after CONNECT, in which the device's patience with a missing CONNACK is
    contained: that series must not fail either. The first of ``seen`` may be a session; its
    length is no matter.
    """
    waits_s = [
        SCALE * (b.opened - a.closed)
        for a, b in zip(seen, seen[1:], strict=False)
        if a.closed is not None
    ]
    apart_s = [SCALE * (b.opened - a.opened) for a, b in zip(seen, seen[1:], strict=False)]
    if seen[0].connack:
        apart_s[0] = waits_s[0]
    assert len(waits_s) == len(seen) - 1
    found = grade(waits_s)
    bench.measure(
        connects=len(seen),
        waits_s=[round(wait, 1) for wait in waits_s],
        shape=found.shape,
        took_s=round(SCALE * (seen[-1].opened - seen[0].opened)),
    )
    assert found.result != FAIL, f"{found.shape}: {waits_s}"
    assert grade(apart_s).result != FAIL, (
        f"CONNECT to CONNECT is {grade(apart_s).shape}: {apart_s}"
    )
    if found.result != PASS:
        bench.warn(found.shape)


def connects(bench: Bench, count: int) -> list[Connection]:
    """Wait until the device has come ``count`` times, and for what the last one got."""
    bench.wait(lambda: len(bench.broker.connections) >= count, _LONG_S)
    return bench.broker.connections[:count]


@case()
def test_MQTT_Connect_Jitter_Backoff_Retries(bench: Bench) -> None:
    withhold = bench.broker.script.withhold
    withhold["CONNACK"] = 5
    bench.start()
    bench.wait(bench.broker.live, _LONG_S)
    assert len(bench.broker.connections) == 6 and not withhold["CONNACK"]
    withhold["CONNACK"] = 5
    bench.broker.kick()
    bench.wait(bench.broker.live, _LONG_S)
    judge(bench, connects(bench, 12))


@case()
def test_MQTT_Connect_Exponential_Backoff_Retries(bench: Bench) -> None:
    bench.broker.script.withhold["CONNACK"] = ATTEMPTS
    bench.start()
    judge(bench, connects(bench, ATTEMPTS + 1))


@case()
def test_MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect(bench: Bench) -> None:
    first = bench.settle()
    bench.broker.script.withhold["CONNACK"] = ATTEMPTS
    bench.broker.kick()
    seen = connects(bench, first.number + ATTEMPTS + 1)
    judge(bench, seen[first.number - 1 :])


@case()
def test_MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection(bench: Bench) -> None:
    first = bench.settle()
    bench.broker.script.close_after["CONNECT"] = ATTEMPTS
    bench.broker.kick()
    seen = connects(bench, first.number + ATTEMPTS + 1)
    assert all(c.connack is not None for c in seen[:-1])
    judge(bench, seen[first.number - 1 :])


@case(series=True)
def test_MQTT_Long_Duration_Basic(bench: Bench) -> None:
    first = bench.up()
    bench.wait(lambda: bench.shadow.updates and bench.readings())
    bench.broker.script.withhold["PUBACK"] = 1
    publish_s = measure_repeats(bench, repeats(bench, first, "PUBLISH", 2))
    bench.broker.script.withhold["SUBACK"] = 1
    bench.away(bench.broker.store.expire)
    second = bench.again(first)
    subscribe_s = measure_repeats(bench, repeats(bench, second, "SUBSCRIBE", 2))
    bench.broker.kick()
    third = bench.again(second)
    assert second.closed is not None
    bench.measure(
        publish_again_s=round(publish_s, 1),
        subscribe_again_s=round(subscribe_s, 1),
        reconnected_after_s=round(SCALE * (third.opened - second.closed), 1),
    )
    bench.measured.pop("again_after_s")
    if max(publish_s, subscribe_s) > _RETRY_S:
        bench.warn(f"a repetition came later than after {_RETRY_S} s")


@case(series=True)
def test_MQTT_Long_Duration_PUBACK_QOS_1(bench: Bench) -> None:
    connection = bench.settle()
    before = len(connection.of("PUBACK"))
    sent = [bench.deliver(bench.command(f"ack-{n}")) for n in range(20)]
    acked = [packet.packet_id for packet in connection.of("PUBACK")[before:]]
    assert acked == sent
    bench.measure(messages=len(sent), acknowledged=len(acked), in_order="yes")
    bench.pause(5)  # the next case gives a command, and only so many may wait


@case(series=True)
def test_MQTT_Long_Duration_RECEIVE_LARGE_PAYLOAD(bench: Bench) -> None:
    connection = bench.settle()
    size = 128 * 1024
    for _ in range(3):
        bench.deliver(bytes(size))
    bench.deliver(bench.command("after the flood"))
    said = bench.result("after the flood")
    assert said["ok"], said
    assert connection.reason is None
    bench.measure(payload_bytes=size, times=3, session="kept", next_command="acted on")


@case(series=True)
def test_MQTT_Long_Duration_PERSISTENT_SESSION(bench: Bench) -> None:
    first = bench.settle()
    bench.away(lambda: bench.broker.deliver(bench.commands, bench.command("kept for it")))
    second = bench.again(first)
    assert second.connack == (0, True)
    assert bench.result("kept for it")["ok"]
    bench.pause(10)
    assert "SUBSCRIBE" not in second.names()
    bench.measure(session_present=1, subscribes=0, stored_message="acted on")


@case(series=True)
def test_MQTT_Long_Duration_KEEP_ALIVE(bench: Bench) -> None:
    connection = bench.up()
    bench.wait(lambda: len(connection.of("PINGREQ")) >= _PINGS)
    assert connection.reason is None and connection.connect is not None
    pings = [when for when, packet in connection.packets if packet.kind == "PINGREQ"]
    gaps = [SCALE * (b - a) for a, b in zip(pings, pings[1:], strict=False)]
    assert max(gaps) < connection.connect.keepalive_s
    bench.measure(keepalive_s=connection.connect.keepalive_s, gaps_s=[round(g, 1) for g in gaps])


@case(series=True)
def test_MQTT_Long_Duration_INTERMITTENT_CONNECTIVITY(bench: Bench) -> None:
    connection = bench.settle()
    after_s = []
    for _ in range(_KICKS):
        bench.broker.kick()
        old, connection = connection, bench.again(connection)
        assert old.closed is not None
        after_s.append(round(SCALE * (connection.opened - old.closed), 1))
    bench.board.set(wifi={"up": False})
    bench.wait(lambda: connection.closed)
    bench.pause(10)
    bench.board.set(wifi={"up": True})
    bench.again(connection)
    _nothing_is_lost(bench)
    bench.measure(kicks=_KICKS, back_after_s=after_s, radio_silence="10 s", readings_lost=0)


@case(series=True)
def test_MQTT_Long_Duration_RECONNECT_BACK_OFF(bench: Bench) -> None:
    before = bench.settle().number
    bench.broker.script.withhold["CONNACK"] = ATTEMPTS
    bench.broker.kick()
    judge(bench, connects(bench, before + ATTEMPTS + 1)[before - 1 :])


@case(series=True)
def test_MQTT_Long_Duration_LONG_SERVER_DISCONNECT(bench: Bench) -> None:
    connection = bench.settle()
    bench.broker.listen(False)
    bench.broker.kick()
    tries, known = len(bench.declared_s()), len(bench.readings())
    bench.pause(DISCONNECT_S)
    tries = len(bench.declared_s()) - tries
    bench.listen()
    again = bench.again(connection)
    assert connection.closed is not None
    gone_s = SCALE * (again.opened - connection.closed)
    assert DISCONNECT_S <= gone_s <= DISCONNECT_S + _CAP_S
    bench.wait(lambda: len(bench.readings()) - known >= DISCONNECT_S // 5)
    _nothing_is_lost(bench)
    bench.measure(away_s=round(gone_s), tries=tries, readings_sent_later=int(DISCONNECT_S // 5))
    bench.measure(readings_lost=0)


def _nothing_is_lost(bench: Bench) -> None:
    last = max(reading["seq"] for reading in bench.readings())
    bench.wait(lambda: max(r["seq"] for r in bench.readings()) > last)

    def whole() -> bool:
        seqs = {reading["seq"] for reading in bench.readings()}
        return set(range(1, last + 1)) <= seqs

    bench.wait(whole)
    once = list(dict.fromkeys(reading["seq"] for reading in bench.readings()))
    assert once == sorted(once), "out of order"
