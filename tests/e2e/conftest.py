"""Fixtures of the end-to-end tests: a MiniStack per session, things on it, their virtual boards.

def test_readings_arrive(new_device, boot, listener):
    device = new_device(interval_s=1)          # provisioned and staged, under a name of its own
        device = new_device(interval_s=1)     # provisioned, staged, with a name of its own
    reading = listener.wait(f"devices/{device.thing}/data", lambda m: m["seq"] > 3)
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import pki, updates
from tests.e2e.advisor.bench import Bench, Kit
from tests.e2e.server import Server
from tests.host.conftest import said  # noqa: F401  # a fixture here, too
from tools import wire
from tools.aws import viewer, watch
from tools.aws.clients import Clients
from tools.sim import devices
from tools.sim.board import VirtualBoard
from tools.sim.cloud import LocalCloud

SCALE = 4  # the board's seconds in one of ours: most of a test is waiting for it
_WAIT_S = 15.0
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Device:
    """A thing and its staged device file system, ``folder``; ``things`` has its certificates."""

    thing: str
    folder: Path
    things: Path

    @property
    def stored(self) -> int:
        """How many readings it has ever stored."""
        files = (self.folder / "data/outbox").glob("[ab]")
        return stored({f"data/outbox/{file.name}": file.read_bytes() for file in files})

    @property
    def config(self) -> dict[str, Any]:
        """config.json on the board."""
        found: dict[str, Any] = json.loads((self.folder / "config.json").read_text("utf-8"))
        return found


class Listener:
    """Everything that the cloud delivers to an application, in order of arrival."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, dict[str, Any]]] = []
        self._news = threading.Condition()

    def take(self, topic: str, payload: bytes) -> None:
        """What `viewer.listening` calls."""
        document = wire.document(payload)
        if document is None:
            return
        with self._news:
            self._messages.append((topic, document))
            self._news.notify_all()

    def on(self, topic: str) -> list[dict[str, Any]]:
        """Every message on ``topic`` so far."""
        with self._news:
            return [document for name, document in self._messages if name == topic]

    def wait(
        self,
        topic: str,
        good: Callable[[dict[str, Any]], bool] = lambda document: True,
        timeout: float = _WAIT_S,
    ) -> dict[str, Any]:
        """The first message on ``topic``, old or new, that is ``good``; else an AssertionError."""
        end = time.monotonic() + timeout
        with self._news:
            while True:
                for name, document in self._messages:
                    if name == topic and good(document):
                        return document
                left = end - time.monotonic()
                if left <= 0:
                    seen = [d for n, d in self._messages if n == topic]
                    raise AssertionError(f"not on {topic} within {timeout} s; seen: {seen[-5:]}")
                self._news.wait(left)


def stored(files: dict[str, bytes]) -> int:
    """How many readings a board has ever stored, by the files in its data/outbox/ (outbox.md)."""
    heads = [files.get(f"data/outbox/{name}", b"") for name in "ab"]
    return max(int.from_bytes(head[1:5], "little") for head in heads) - 1


def is_now(timestamp: float, booted: float) -> bool:
    """Whether a reading is of a moment since ``booted``, a time.time(); the board's clock is fast.

    It is right at the full second before (tools/sim/control.py), and at one more where the time
    came from AWS: that is told in whole seconds of ours, each SCALE of the board's.
    """
    began = int(booted)
    return began - 2 - SCALE <= timestamp <= began + SCALE * (time.time() - began) + 2


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """A MiniStack with policies enforced; `cloud.info` says where, `cloud.clients` talk to it."""
    with LocalCloud() as made:
        yield made


@pytest.fixture(scope="session")
def clients(cloud: LocalCloud) -> Clients:
    """boto3 clients of the cloud: `clients.iot`, `clients.data`."""
    return cloud.clients


@pytest.fixture(scope="session")
def listener(clients: Clients) -> Iterator[Listener]:
    """What arrives on devices/+/data, devices/+/status, devices/+/commands/result and shadows."""
    made = Listener()
    with viewer.listening(clients, [watch.DATA, *watch.OTHERS], made.take):
        yield made


@pytest.fixture
def new_device(clients: Clients, tmp_path: Path) -> Callable[..., Device]:
    """new_device(**settings of config.json) -> Device, with a thing name never used before."""

    def make(**settings: Any) -> Device:
        thing = f"e2e-{next(_numbers)}"
        folder = tmp_path / thing
        return Device(thing, devices.make(clients, thing, folder, **settings), folder / "thing")

    return make


@pytest.fixture
def device(new_device: Callable[..., Device]) -> Device:
    """A device that reads once a second."""
    return new_device(interval_s=1)


@pytest.fixture
def boot(umqtt_dir: Path) -> Iterator[Callable[..., VirtualBoard]]:
    """boot(device, **options of VirtualBoard) -> a running board, which the test's end stops.

    Its time runs SCALE times as fast as ours, unless ``time_scale`` or a world says otherwise.
    """
    with contextlib.ExitStack() as stack:

        def make(device: Device | Path, **options: Any) -> VirtualBoard:
            folder = device.folder if isinstance(device, Device) else device
            pace = {} if "world" in options else {"time_scale": SCALE}
            board = VirtualBoard(folder, **({"umqtt": umqtt_dir} | pace | options))
            stack.callback(lambda: print(f"--- log of {folder}", *board.log, sep="\n"))
            stack.callback(board.close)
            board.start()
            return board

        yield make


@pytest.fixture(scope="session")
def ca() -> pki.Authority:
    """Whose certificates the scripted AWS has and believes."""
    return pki.Authority()


@pytest.fixture
def broker(ca: pki.Authority) -> Iterator[Server]:
    """The scripted AWS by itself."""
    with Server(ca, ca.server()) as made:
        yield made


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory, umqtt_dir: Path) -> updates.Kit:
    """What boards that hear jobs share."""
    return updates.Kit(tmp_path_factory.mktemp("kit"), umqtt_dir)


@pytest.fixture(scope="session")
def kits(tmp_path_factory: pytest.TempPathFactory, umqtt_dir: Path) -> Callable[[str], Kit]:
    """kits(board) -> what its benches share."""
    return functools.cache(
        lambda board: Kit(tmp_path_factory.mktemp("kit") / board, umqtt_dir, board)
    )


@pytest.fixture
def make(kits: Callable[[str], Kit], tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """make(scale, board, **config.json) -> a Bench, its board still without power."""
    with contextlib.ExitStack() as stack:

        def bench(scale: float, board: str = "esp32", **config: Any) -> Bench:
            settings = {"interval_s": 1} | config
            made = Bench(kits(board), tmp_path / "device", scale, **settings)
            stack.enter_context(made)
            stack.callback(lambda: print(*made.board.log, sep="\n"))
            return made

        yield bench
