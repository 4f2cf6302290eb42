"""Too little heap, at every awkward moment: never a silent end (docs/memory.md)."""

from __future__ import annotations

import pytest

from tests.e2e.test_crash_path import WAIT_S
from tests.e2e.test_main_job import desire, reported

# The memory ends while main.py, app.py, the drivers or the configuration is loaded, or while the
# objects are made. A board restarts, whatever it is that it cannot load.
HEAPS = ("8k", "10k", "12k", "14k", "16k", "18k", "20k", "24k")
ESP8266 = ("esp8266:8k", "esp8266:10k")


@pytest.mark.parametrize("heap", HEAPS + ESP8266)
def test_a_heap_that_is_too_small_ends_in_restarts(new_device, boot, heap):
    device = new_device(board="esp8266" if heap in ESP8266 else "esp32")
    board = boot(device, heap=heap, bits=32, time_scale=10)
    board.wait_for(r"board: reset \(machine.reset\)", timeout=2 * WAIT_S)
    board.wait_for(r"MemoryError", timeout=1)
    # Said on flash as well, as soon as the crash log itself can be loaded.
    crashed = any("crash: MemoryError" in line for line in board.log)
    assert crashed or any("main: cannot run" in line for line in board.log)
    if crashed:
        assert "MemoryError" in (board.folder / "data" / "crash.log").read_text()
    board.wait_for(r"(app: fieldmouse|main: cannot run)", timeout=2 * WAIT_S, after=len(board.log))
    assert not any("main.py has ended" in line for line in board.log)


def test_no_memory_for_a_message_costs_the_message_not_the_session(new_device, boot, clients):
    device = new_device(interval_s=1)
    (device.folder / "main.py").write_text(
        """
from firmware.shadow_sync import ShadowSync

sound = ShadowSync.receive
left = [2]


def receive(self, kind, payload):
    if left[0]:
        left[0] -= 1
        raise MemoryError
    sound(self, kind, payload)


ShadowSync.receive = receive
from firmware.app import main

main()
"""
    )
    desire(clients, device.thing, interval_s=7)
    board = boot(device, time_scale=10)
    board.wait_for(r"app: no memory for a message, dropped", timeout=WAIT_S)
    # Asked for again after half a minute of the board's time.
    reported(clients, device.thing, interval_s=7)
    assert board.boots == 1
    assert sum("link: up" in line for line in board.log) == 1
