"""QoS 1 publishes in one session, past the end of the packet ids, as fast as the window lets."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e import pki
from tests.e2e.client import Client
from tests.e2e.server import Server
from tests.soak import PROGRAM, ended

_LOOK_S = 0.2
_STILL_S = 30.0  # without a single publish: it hangs


@dataclass
class Result:
    """What it came to. ``lost`` and ``doubled`` are those of the broker's count."""

    wanted: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    first_ids: int = 0  # how often a packet id was lower than the one before
    seconds: float = 0.0
    end: dict[str, Any] = field(default_factory=dict)


def run(
    count: int,
    umqtt: Path,
    *,
    first_pid: int = 0,
    bits: int = 64,
    progress: Callable[[int], None] = lambda n: None,
) -> Result:
    """``count`` publishes; AssertionError when they stop or the device ends early."""
    ca = pki.Authority()
    tally = _Tally(count)
    with tempfile.TemporaryDirectory() as folder, Server(ca, ca.server()) as broker:
        began = last_news = time.monotonic()
        given = {"port": broker.port, "publishes": count, "first_pid": first_pid, "speed": 1}
        given["seconds"] = 36_000
        client = Client(Path(folder), umqtt, ca, ca.client(), PROGRAM)
        with client.start(bits=bits, **given) as device:
            while device.running:
                time.sleep(_LOOK_S)
                if tally.take(broker):
                    last_news = time.monotonic()
                    progress(tally.seen)
                assert time.monotonic() - last_news < _STILL_S, (tally.seen, broker.story())
            end = ended(device, _STILL_S)
        tally.take(broker)
        seconds = time.monotonic() - began
    assert not broker.violations, broker.violations
    return tally.result(seconds, end)


class _Tally:
    def __init__(self, count: int) -> None:
        self._times = bytearray(count)
        self._last = self._last_pid = -1
        self._result = Result(count)
        self.seen = 0

    def take(self, broker: Server) -> int:
        """Count what the broker has accepted since the last look, and forget it there."""
        taken = broker.messages[:]
        del broker.messages[: len(taken)]
        for connection in broker.connections:
            del connection.packets[1:-1], connection.records[:-1]
        for _, _, packet in taken:
            if not packet.topic.endswith("/data"):
                continue
            number = int(packet.payload[:10])
            self._times[number] += 1
            self._result.out_of_order += number <= self._last
            self._result.first_ids += packet.packet_id < self._last_pid
            self._last, self._last_pid = number, packet.packet_id
            self.seen += 1
        return len(taken)

    def result(self, seconds: float, end: dict[str, Any]) -> Result:
        result = self._result
        result.lost = self._times.count(0)
        result.doubled = sum(n - 1 for n in self._times if n)
        result.seconds = seconds
        result.end = end
        return result
