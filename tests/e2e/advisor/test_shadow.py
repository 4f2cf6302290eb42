"""The shadow cases (aws-facts 9.4), on the classic shadow."""

from __future__ import annotations

from tests.e2e.advisor.bench import Bench
from tests.e2e.advisor.case import case
from tests.e2e.advisor.shadow import TOKEN

DESIRED = {"interval_s": 2, "drain_per_s": 7}


@case()
def test_Shadow_Publish_Reported_State(bench: Bench) -> None:
    bench.up()
    bench.wait(lambda: bench.shadow.reported(interval_s=5))
    update = bench.shadow.updates[0]
    assert "desired" not in update["state"]
    reported = bench.shadow.state["reported"]
    for key in ("firmware", "sensor_found", "free_heap_bytes", "rssi_dbm"):
        assert reported[key] is not None, key
    (size,) = [len(p.payload) for p in bench.broker.published(bench.shadow.prefix + "update")][:1]
    bench.measure(keys=len(reported), bytes=size, version=bench.shadow.version)


@case()
def test_Shadow_Update_Reported_State(bench: Bench) -> None:
    bench.up()
    bench.wait(lambda: bench.shadow.reported(interval_s=5))
    bench.shadow.desire(**DESIRED)
    bench.wait(lambda: bench.shadow.reported(**DESIRED))
    assert bench.shadow.delta() == {}
    answers = len(bench.shadow.updates)
    # Reported because it is so: the readings come at the new pace.
    known = len(bench.readings())
    bench.wait(lambda: len(bench.readings()) >= known + 5)
    times = [reading["timestamp"] for reading in bench.readings()[known + 1 :]]
    assert all(1 <= b - a <= 3 for a, b in zip(times, times[1:], strict=False)), times
    assert len(bench.shadow.updates) == answers, "it answered a delta twice"
    bench.measure(desired=DESIRED, reported="the same", client_token=TOKEN)
