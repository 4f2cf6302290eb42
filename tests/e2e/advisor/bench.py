"""One case: a strict broker, the staged firmware on a virtual board, and what was measured.

The board's seconds are a tenth of ours (SCALE), so that a backoff of minutes takes seconds. All
times given to and measured by a bench are the device's; the broker's own limits are scaled too.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from firmware.core import topics
from tests.e2e import pki
from tests.e2e.advisor.shadow import Shadow
from tests.e2e.connection import Connection
from tests.e2e.server import Server
from tools.board.stage import ROOT, stage
from tools.sim.board import VirtualBoard
from tools.sim.devices import WIFI

T = TypeVar("T")

THING = "advisor-1"
SCALE = 10
STABLE_S = 22.0  # longer than firmware.net.failure.STABLE_S: the backoff is at rest again
_WAIT_S = 120.0
_CONFIG = {
    "thing_name": THING,
    "endpoint": pki.HOST,
    "wifi": WIFI,
    "interval_s": 5,
    "keepalive_s": 60,
}


class Kit:
    """What all cases share: the authority, whose certificates are RSA as Device Advisor's are,
    the device's identity (P-256; RSA for an ESP8266), and its file system, staged as ``make
    flash`` stages it, from the firmware in ``source``. ``board``: esp32 or esp8266.
    """

    def __init__(
        self, folder: Path, umqtt: Path, board: str = "esp32", source: Path = ROOT
    ) -> None:
        self.umqtt, self.board = umqtt, board
        self.ca = pki.Authority(rsa=True)
        self.server = self.ca.server(rsa=True)
        certs = folder / "certs"
        certs.mkdir(parents=True)
        made = self.ca.client(THING, rsa=board == "esp8266")
        (certs / "ca.pem").write_bytes(self.ca.cert)
        (certs / "cert.pem").write_bytes(made.cert)
        (certs / "key.pem").write_bytes(made.key)
        (folder / "config.json").write_text(json.dumps(_CONFIG))
        out = folder / "device"
        self.device = stage(folder / "config.json", certs, out, board, source).out


class Bench:
    """``broker`` is up from the start; ``start()`` boots the board. Used as a context manager.

    ``scale``: how many seconds of the device go by in one of ours.
    """

    def __init__(self, kit: Kit, folder: Path, scale: float = SCALE, **config: Any) -> None:
        self.kit, self.scale = kit, scale
        self.broker = Server(kit.ca, kit.server, clock=1 / scale)
        self.shadow = Shadow(THING, self.broker)
        self.topics = topics.of(THING, "devices/{thing}/data", "devices/{thing}/commands")
        self.data, self.commands, self.results, self.status, _ = self.topics
        self.measured: dict[str, Any] = {}
        self.warnings: list[str] = []
        shutil.copytree(kit.device, folder)
        config_file = folder / "config.json"
        known = json.loads(config_file.read_text()) | {"port": self.broker.port} | config
        config_file.write_text(json.dumps(known))
        self.board = VirtualBoard(
            folder,
            umqtt=kit.umqtt,
            heap=kit.board,
            time_scale=scale,
        )

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.board.close()
        self.broker.close()

    # --- what a case does

    def start(self) -> None:
        """Power on."""
        self.board.start()

    def up(self) -> Connection:
        """Power on if need be, and wait until a session is up; its connection."""
        self.start()
        return self.wait(self._session)

    def again(self, old: Connection) -> Connection:
        """Wait for a session on a connection after ``old``."""
        return self.wait(lambda: self._session(old.number))

    def settle(self) -> Connection:
        """Wait until the session has been up so long that the backoff is at rest.

        Where the device's time is fast, a busy machine may not give it CONNACK in time: then the
        session after that counts.
        """
        late = self._timeouts()
        connection = self.up()
        self.wait(lambda: connection.reason or self.since(connection.opened) > STABLE_S)
        if connection.reason is None:
            return connection
        assert self._timeouts() > late, connection.reason
        return self.settle()

    def _timeouts(self) -> int:
        return sum("link: timeout" in line for line in self.board.log)

    def away(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Throw the device out and do ``meanwhile`` before it can come back."""
        self.broker.listen(False)
        self.broker.kick()
        meanwhile()
        self.listen()

    def listen(self) -> None:
        """Take connections again after ``broker.listen(False)``."""
        limit = time.monotonic() + 5
        while True:
            try:
                self.broker.listen(True)
                return
            except OSError:  # a process that is just being started still holds the old socket
                if time.monotonic() > limit:
                    raise
                time.sleep(0.01)

    def wait(self, look: Callable[[], T | None], device_s: float = _WAIT_S) -> T:
        """What ``look()`` gives as soon as it is true; AssertionError after ``device_s``."""
        found = self.broker.wait_for(look, device_s / self.scale)
        assert found is not None
        return found

    def pause(self, device_s: float) -> None:
        """Let the device's time pass."""
        time.sleep(device_s / self.scale)

    def since(self, then: float) -> float:
        """Seconds of the device since a moment of time.monotonic()."""
        return (time.monotonic() - then) * self.scale

    def deliver(self, payload: bytes) -> int:
        """Send a QoS 1 message to the device and wait for its PUBACK; the packet id."""
        connection = self.up()
        session = connection.session
        assert session is not None
        self.wait(lambda: not session.pending)
        packet_id = session.next_id
        self.broker.deliver(self.commands, payload)
        self.wait(lambda: not session.pending)
        assert packet_id in [packet.packet_id for packet in connection.of("PUBACK")]
        return packet_id

    def command(self, id: str, **more: Any) -> bytes:
        """A harmless command; its result comes with the same id."""
        return json.dumps({"action": "identify", "id": id} | more).encode()

    def result(self, id: str) -> dict[str, Any]:
        """Wait for the result of a command."""

        def look() -> dict[str, Any] | None:
            said = [json.loads(p.payload) for p in self.broker.published(self.results)]
            return next((r for r in said if r["id"] == id), None)

        return self.wait(look)

    def readings(self) -> list[dict[str, Any]]:
        """Every reading so far, repetitions included."""
        return [json.loads(p.payload) for p in self.broker.published(self.data)]

    # --- what a case finds

    def measure(self, **values: Any) -> None:
        """Add to the table."""
        self.measured |= values

    def warn(self, text: str) -> None:
        """AWS would pass it with a warning."""
        self.warnings.append(text)

    def declared_s(self) -> list[float]:
        """The waits that the firmware has announced in its log."""
        said = (re.search(r"next try in (\d+) ms", line) for line in self.board.log)
        return [int(found[1]) / 1000 for found in said if found]

    def finish(self) -> None:
        """What holds for every case: no rule of MQTT broken, no restart of the board."""
        assert self.broker.violations == []
        assert self.board.boots <= 1, "the board has restarted"

    def _session(self, after: int = 0) -> Connection | None:
        for connection in self.broker.live(THING):
            assert connection.connack is not None
            subscribed = bool(connection.session and connection.session.filters)
            if connection.number > after and subscribed:
                return connection
        return None
