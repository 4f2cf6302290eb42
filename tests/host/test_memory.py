"""The heap in which the firmware runs a session, on both kinds of board (docs/memory.md).

The numbers may only fall: `make bench-heap` finds the smallest, lower them when it has. What a
session is, and what counts as a failure, stands in bench/heap_session.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import bench_heap
from bench.heap_session import Lab, failure, laboratory
from tools import toolchain
from tools.errors import ToolError
from tools.sim import launch

# Bytes of heap on 32 bits. ESP8266: 18.5 KB, and what axTLS takes of the heap in the handshake.
SESSION = {"esp32": 43 * 1024, "esp8266": 18 * 1024 + 512 + bench_heap.AXTLS["esp8266"]}
PIECE = 4 * 1024  # the largest single piece once it runs
# Over so many readings, and so many reconnects: nothing but noise. An ESP8266's is larger: what
# axTLS leaves in pieces.
GROWTH = {"esp32": 256, "esp8266": 512}
READINGS, RECONNECTS = 200, 10
_TRIES = 3
PROFILES = launch.PROFILES


@pytest.fixture(scope="module")
def lab(umqtt_dir: Path) -> Iterator[Lab]:
    try:
        toolchain.micropython(32)
    except ToolError as e:
        if os.environ.get("CI"):
            pytest.fail(f"{e}; try: {e.hint}")
        pytest.skip(f"{e}")
    with laboratory(umqtt_dir) as made:
        yield made


@pytest.mark.parametrize("profile", PROFILES)
def test_a_session_fits(lab: Lab, profile: str) -> None:
    # Results near the edge vary by a kilobyte, with what happens to come at the same moment.
    for _ in range(_TRIES):
        why = failure(lab, profile, SESSION[profile])
        if not why:
            break
    assert why == ""


@pytest.mark.parametrize("profile", PROFILES)
def test_no_large_piece_is_needed_once_it_runs(lab: Lab, profile: str) -> None:
    heap = max(launch.HEAPS[profile], 2 * SESSION[profile])
    assert failure(lab, profile, heap, PIECE, **bench_heap.alone(profile)) == ""


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_grows(lab: Lab, profile: str) -> None:
    # What lies on the C stack by chance can keep a module for a moment: never less, only more.
    for _ in range(_TRIES):
        by_readings, by_reconnects = bench_heap.growth(lab, profile, READINGS, RECONNECTS)
        if max(by_readings, by_reconnects) <= GROWTH[profile]:
            break
    assert by_readings <= GROWTH[profile]
    assert by_reconnects <= GROWTH[profile]
