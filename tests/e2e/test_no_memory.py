"""Too little heap, at every awkward moment: never a silent end (docs/memory.md)."""

from __future__ import annotations

import pytest

from tests.e2e.test_crash_path import WAIT_S, before_main
from tests.e2e.test_main_job import desire, reported

# The memory ends while main.py, startup.py, app.py, the drivers or the configuration is loaded, or
# while the objects are made. A board restarts, whatever it is that it cannot load.
HEAPS = ("8k", "10k", "13k", "16k", "20k", "24k", "28k", "32k", "esp8266:8k", "esp8266:10k")


@pytest.mark.parametrize("heap", HEAPS)
def test_a_heap_that_is_too_small_ends_in_restarts(new_device, boot, heap):
    kind = "esp8266" if heap.startswith("esp8266") else "esp32"
    board = boot(new_device(board=kind), heap=heap, bits=32, time_scale=40)
    board.wait_for(r"board: reset \(machine.reset\)", timeout=2 * WAIT_S)
    board.wait_for(r"MemoryError", timeout=1)
    # Said on flash as well, as soon as the crash log itself can be loaded.
    crashed = any("crash: MemoryError" in line for line in board.log)
    assert crashed or any("main: cannot run" in line for line in board.log)
    if crashed:
        assert "MemoryError" in (board.folder / "data" / "crash.log").read_text()
    board.wait_for(r"(app: fieldmouse|main: cannot run)", timeout=2 * WAIT_S, after=len(board.log))
    assert not any("main.py has ended" in line for line in board.log)


LOSES = """
import planted
from firmware.core import shadow

sound = shadow.receive
left = [2]


def receive(s, kind, payload):
    if kind == planted.kind and left[0]:
        left[0] -= 1
        raise MemoryError
    sound(s, kind, payload)


shadow.receive = receive
"""


def test_no_memory_for_a_message_costs_the_message_not_the_session(new_device, boot, clients):
    device = new_device(interval_s=1)
    before_main(device, LOSES, "kind = b'get/accepted'")
    desire(clients, device.thing, interval_s=7)
    board = boot(device, time_scale=10)
    board.wait_for(r"app: no memory for a message, dropped", timeout=WAIT_S)
    # Asked for again after a while.
    reported(clients, device.thing, interval_s=7)
    assert board.boots == 1
    assert sum("link: up" in line for line in board.log) == 1


def test_a_delta_that_there_was_no_memory_for_is_asked_for(new_device, boot, clients):
    # AWS does not send it again: its PUBACK is on the wire.
    device = new_device(interval_s=1)
    before_main(device, LOSES, "kind = b'update/delta'")
    board = boot(device, time_scale=10)
    reported(clients, device.thing, interval_s=1)
    desire(clients, device.thing, interval_s=7)
    board.wait_for(r"app: no memory for a message, dropped", timeout=WAIT_S)
    reported(clients, device.thing, interval_s=7)  # half a minute of the board's later
    assert board.boots == 1
    assert sum("link: up" in line for line in board.log) == 1


# MBEDTLS_ERR_SSL_ALLOC_FAILED in the handshake, which is made by the first write; from the first
# failure on Python's heap is larger by what it takes when 56,000 bytes are not enough
# (memory-facts 6). Both in the first lives only.
STARVES = """
import gc

import planted
from firmware.net.transport import Transport

with open("lives", "a") as f:
    f.write("x")
    life = f.tell()
sound = Transport.push
mem_alloc = gc.mem_alloc
grown = [0]
left = [planted.failures]


def push(self):
    if self.out and life <= planted.lives and left[0]:
        left[0] -= 1
        grown[0] = planted.grown
        raise OSError(-0x7F00)
    return sound(self)


Transport.push = push
gc.mem_alloc = lambda: mem_alloc() + grown[0]
"""


def test_a_heap_that_has_grown_into_the_memory_of_tls_is_made_small_by_a_restart(
    device, boot, clients, listener
):
    before_main(device, STARVES, "failures, lives, grown = 99, 1, 56_000")
    board = boot(device)
    board.wait_for(r"link: memory tls, next try", timeout=WAIT_S)
    board.wait_for(r"Python's heap has grown into the memory of TLS, restarting", timeout=WAIT_S)
    board.wait_for(r"board: reset \(machine.reset\)", timeout=WAIT_S)
    state = reported(clients, device.thing, reset_cause="memory", safe_mode=False)
    assert "last_crash" not in state
    listener.wait(f"devices/{device.thing}/data", lambda m: m["seq"] >= 2)
    assert board.boots == 2


def test_but_only_once(device, boot, clients):
    # What a restart has not cured it does not cure: then the board tries on.
    before_main(device, STARVES, "failures, lives, grown = 4, 9, 56_000")
    board = boot(device, time_scale=5)
    reported(clients, device.thing, reset_cause="memory")
    assert board.boots == 2
    again = next(n for n, line in enumerate(board.log) if "reset by memory" in line)
    assert sum("link: memory tls" in line for line in board.log[again:]) == 4


def test_a_heap_that_has_not_grown_is_no_reason_to_restart(device, boot, clients):
    before_main(device, STARVES, "failures, lives, grown = 4, 9, 0")
    board = boot(device, time_scale=5)
    reported(clients, device.thing, reset_cause="pwron")
    assert board.boots == 1
    assert sum("link: memory tls" in line for line in board.log) == 4
