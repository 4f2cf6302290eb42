"""The main job on an ESP8266: its own key, code in ROMFS, axTLS out of its 38 KB of heap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import Device
from tests.e2e.test_main_job import (
    WAIT_S,
    born,
    command,
    desire,
    reported,
    shadow,
    wait_until,
)
from tools.sim.board import VirtualBoard


@pytest.fixture
def device(new_device: Callable[..., Device]) -> Device:
    return new_device(board="esp8266", interval_s=1)


@pytest.fixture
def board(device: Device, boot: Callable[..., VirtualBoard]) -> VirtualBoard:
    return boot(device, heap="esp8266", bits=32, temperature="21.37")


def test_readings_birth_and_last_will(board, device, clients, listener):
    data, status = f"devices/{device.thing}/data", f"devices/{device.thing}/status"
    birth = born(listener, device.thing)
    assert birth["chip"] == "esp8266" and birth["tls_verified"] is False
    board.wait_for(r"tls: server NOT verified", timeout=1)
    state = reported(clients, device.thing, interval_s=1, tls_verified=False)
    assert "idf_heap_bytes" not in state
    listener.wait(data, lambda m: m["seq"] >= 3)
    readings = listener.on(data)
    assert [m["seq"] for m in readings] == list(range(1, len(readings) + 1))
    assert all(abs(m["temperature"] - 21.37) <= 0.02 for m in readings)
    board.kill()
    assert listener.wait(status, lambda m: m["online"] is False) == {"online": False}


def test_desired_values(board, device, clients):
    reported(clients, device.thing, interval_s=1)
    desire(clients, device.thing, interval_s=0, intervall_s=5, drain_per_s=7)
    reported(clients, device.thing, drain_per_s=7)
    named = wait_until(lambda: shadow(clients, device.thing)["reported"].get("rejected"), "named")
    assert set(named) == {"interval_s", "intervall_s"}
    desire(clients, device.thing, interval_s=3, intervall_s=None)
    reported(clients, device.thing, interval_s=3, rejected=None)
    assert board.boots == 1


def test_commands(board, device, clients, listener):
    reported(clients, device.thing, interval_s=1)
    results = f"devices/{device.thing}/commands/result"

    def answer(**document: Any) -> dict[str, Any]:
        command(clients, device.thing, document)
        found: dict[str, Any] = listener.wait(results, lambda m: m["id"] == document["id"])
        return found

    done = answer(action="set_reporting_interval", interval_seconds=60, id="a")
    assert done["ok"] is True
    reported(clients, device.thing, interval_s=60)
    assert answer(action="read_now", id="b")["ok"] is True
    assert answer(action="identify", id="c")["ok"] is True
    log = answer(action="get_log", id="d")
    assert log["ok"] is True and 0 < len(log["log"].encode()) <= 256
    assert "unknown" in answer(action="dance", id="e")["reason"]
    command(clients, device.thing, {"action": "reboot", "id": "f"})
    board.wait_for(r"board: reset", timeout=WAIT_S)
    mark = board.log.index("board: reset (machine.reset)")
    board.wait_for(r"link: up", timeout=WAIT_S, after=mark)
    assert board.boots == 2
