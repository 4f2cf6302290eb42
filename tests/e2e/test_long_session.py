"""On the strict broker: sampling while a connect hangs, outage and drain, many reconnects."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.e2e.advisor.bench import Bench
from tests.e2e.limits import limit_ms

STORED = 200  # readings of an outage
# Of the ESP8266's small heap they might leave too little in one piece. That not even a few bytes
# stay behind is proved by test_memory.py and test_soak_short.py.
RECONNECTS = {"esp32": 10, "esp8266": 30}
BOARDS = tuple(RECONNECTS)
Make = Callable[..., Bench]


def in_order(bench: Bench) -> list[dict[str, Any]]:
    """The readings by seq; each must have arrived, and first arrivals in order."""
    arrived = bench.readings()
    by_seq = {reading["seq"]: reading for reading in arrived}
    once = list(dict.fromkeys(reading["seq"] for reading in arrived))
    assert once == sorted(once) == list(range(1, len(once) + 1))
    return [by_seq[seq] for seq in once]


@pytest.mark.parametrize("withheld", ["handshake", "CONNACK"])
def test_sampling_goes_on_while_a_connect_hangs(make: Make, withheld: str) -> None:
    # The broker takes the TCP connection and never answers, three times; then all is well.
    bench = make(2)  # a second in which this machine does something else is two of the board's
    bench.broker.script.withhold[withheld] = 3
    bench.up()
    assert sum("link: timeout" in line for line in bench.board.log) == 3
    hung_s = 3 * limit_ms("CONNACK_MS") // 1000  # the handshake may take longer
    bench.wait(lambda: len(bench.readings()) >= hung_s + 5)
    times = [reading["timestamp"] for reading in in_order(bench)]
    assert times[-1] - times[0] >= hung_s
    # It was 5 with a connect that held up the loop; 4 leaves a busy machine its time.
    assert max(b - a for a, b in pairwise(times)) < 5, times
    bench.finish()


@pytest.mark.parametrize("board", BOARDS)
def test_what_an_outage_has_left_goes_out_in_order_a_window_at_a_time(
    make: Make, board: str
) -> None:
    bench = make(10, board)
    first = bench.settle()
    bench.broker.listen(False)
    bench.broker.kick()
    began = max(reading["seq"] for reading in bench.readings())
    bench.pause(STORED + 10)
    bench.broker.script.withhold["PUBACK"] = -1
    bench.listen()
    again = bench.again(first)
    bench.wait(lambda: len(set(of(bench, again))) > 1)
    bench.pause(4)  # no PUBACK: the window is full by now, and nothing is sent again yet
    flying = set(of(bench, again))
    # A window, not one by one; what has no PUBACK is bounded, and is the oldest.
    assert 2 <= len(flying) <= 100
    assert sorted(flying) == list(range(min(flying), min(flying) + len(flying)))
    assert began - 2 <= min(flying) <= began + 1
    if board == "esp32":
        assert len(flying) >= 8
    bench.broker.script.withhold.clear()
    bench.wait(lambda: max(r["seq"] for r in bench.readings()) >= began + STORED, 120)
    readings = in_order(bench)
    assert max(Counter(r["seq"] for r in bench.readings()).values()) <= 3
    times = [reading["timestamp"] for reading in readings]
    assert times == sorted(times)
    # Not one a second: 200 at drain_per_s are sent in 3 s, and here within a third of the outage.
    spent_s = bench.since(again.opened)
    assert spent_s < STORED / 3, spent_s
    bench.finish()


def of(bench: Bench, connection: Any) -> list[int]:
    """The seq of every reading that came on a connection."""
    packets = [packet for packet in connection.of("PUBLISH") if packet.topic == bench.data]
    return [json.loads(packet.payload)["seq"] for packet in packets]


@pytest.mark.parametrize(("board", "count"), RECONNECTS.items())
def test_many_reconnects(make: Make, board: str, count: int) -> None:
    # Each after the backoff has come to rest; a command is answered in every tenth session.
    bench = make(40, board)
    connection = bench.settle()
    for number in range(count):
        bench.broker.kick()
        connection = bench.again(connection)
        if number % 10 == 9:
            bench.deliver(bench.command(f"after-{number}"))
            assert bench.result(f"after-{number}")["ok"]
        bench.settle()
    bench.wait(lambda: sum("link: up" in line for line in bench.board.log) > count)
    assert bench.board.boots == 1
    last = max(reading["seq"] for reading in bench.readings())
    bench.wait(lambda: max(r["seq"] for r in bench.readings()) > last + 5)
    in_order(bench)
    bench.finish()
