"""The backoff cases of MQTT 3.1.1 (aws-facts 9.3), judged by grader.py."""

from __future__ import annotations

from tests.e2e.advisor.bench import SCALE, Bench
from tests.e2e.advisor.case import case
from tests.e2e.advisor.grader import FAIL, PASS, Grade, grade
from tests.e2e.connection import Connection

ATTEMPTS = 10  # RECONNECTION_ATTEMPTS, 5 to 10
_LONG_S = 900.0


def judge(bench: Bench, seen: list[Connection]) -> Grade:
    """Grade the waits between connections, each from the end of one to the begin of the next.

    AWS looks at CONNECT after CONNECT, in which the device's patience with a missing CONNACK is
    contained: that series must not fail either. (From the second on: the first may be a session.)
    """
    waits_s = [
        SCALE * (b.opened - a.closed)
        for a, b in zip(seen, seen[1:], strict=False)
        if a.closed is not None
    ]
    apart_s = [SCALE * (b.opened - a.opened) for a, b in zip(seen[1:], seen[2:], strict=False)]
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
    return found


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
