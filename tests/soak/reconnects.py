"""A thousand sessions in one process, ended in every way a broker can: nothing stays behind."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e import pki
from tests.e2e.client import Client
from tests.e2e.server import Server
from tests.soak import PROGRAM, ended

WARM = 10  # the session whose free heap counts: by then every buffer has its size
_EACH_S = 20.0  # a session has to come up within this
_KEEP = 20  # connections the broker remembers


@dataclass
class Result:
    """What it came to. ``free_bytes`` by number of session."""

    sessions: int = 0
    free_bytes: dict[int, int] = field(default_factory=dict)
    sockets: int = 0  # the most that were open while a session was up
    resident_kb: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    end: dict[str, Any] = field(default_factory=dict)

    @property
    def drift_bytes(self) -> int:
        """Free heap at session WARM less that at the last one."""
        return self.free_bytes[WARM] - self.free_bytes[self.sessions]


def run(
    count: int, umqtt: Path, bits: int = 64, progress: Callable[[int], None] = lambda n: None
) -> Result:
    """``count`` reconnects; AssertionError when the device does not come back or ends."""
    ca = pki.Authority()
    result = Result(sessions=count)
    came = threading.Semaphore(0)
    with tempfile.TemporaryDirectory() as folder, Server(ca, ca.server()) as broker:
        began = time.monotonic()
        ending = _Ending(broker)
        device = Client(Path(folder), umqtt, ca, ca.client(), PROGRAM).start(
            bits=bits,
            on_event=lambda event: came.release() if event["event"] == "quiet" else None,
            port=broker.port,
            sessions=count,
            seconds=36_000,
        )
        with device:
            for number in range(1, count + 1):
                assert came.acquire(timeout=_EACH_S), (number, device.events[-2:], broker.story())
                event = device.events[number - 1]
                result.free_bytes[number] = event["free"]
                result.sockets = max(result.sockets, device.sockets())
                if number in (WARM, count):
                    result.resident_kb[number] = device.resident_kb()
                progress(number)
                ending.end(number, number + 1 in (WARM, count))
                del broker.connections[:-_KEEP], broker.messages[:]
            result.end = ended(device, _EACH_S)
        result.seconds = time.monotonic() - began
    assert not broker.violations, broker.violations
    return result


class _Ending:
    """Ends the session that is up, each time in another way; all ways occur before WARM."""

    def __init__(self, broker: Server) -> None:
        self._broker = broker
        self._good = broker.identity
        self._bad = pki.Authority("Another root").server()
        self._fast = [
            self._kick,
            self._no_tls,
            self._no_connack,
            self._in_flight,
            self._forgotten,
            self._wrong_certificate,
            self._big_message,
        ]
        self._slow = {7: self._half_a_packet, 8: self._no_answer}  # the firmware's time limits

    def end(self, number: int, next_counts: bool) -> None:
        """``next_counts``: plainly, for the reason is remembered and takes memory, too."""
        if next_counts:
            self._kick()
        else:
            self._slow.get(number % 100, self._fast[number % len(self._fast)])()

    def _kick(self) -> None:
        self._broker.kick()

    def _no_tls(self) -> None:
        self._broker.script.close_on["refuse_tls"] = 1
        self._broker.kick()

    def _no_connack(self) -> None:
        self._broker.script.close_on["CONNECT"] = 1
        self._broker.kick()

    def _in_flight(self) -> None:
        self._broker.script.withhold["PUBACK"] = 1
        self._broker.kick()

    def _forgotten(self) -> None:
        self._broker.kick()
        self._broker.store.expire()

    def _wrong_certificate(self) -> None:
        broker = self._broker
        broker.identity = self._bad
        broker.kick()
        broker.wait_for(lambda: broker.connections[-1].tls_error, _EACH_S)
        broker.identity = self._good

    def _big_message(self) -> None:
        self._broker.deliver("devices/t-1/commands", bytes(20_000))
        self._broker.kick()

    def _half_a_packet(self) -> None:
        self._broker.script.stall_after = 1
        self._broker.deliver("devices/t-1/commands", b"{}")

    def _no_answer(self) -> None:
        self._broker.script.withhold["PINGRESP"] = 1
