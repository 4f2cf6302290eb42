"""The heap in which the firmware runs a session, on both kinds of board (docs/memory.md).

The numbers may only fall: `make bench-heap` finds the smallest, lower them when it has. What a
session is, and what counts as a failure, stands in bench/heap_session.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import bench_heap
from bench.heap_session import Lab, failure, laboratory
from tests.host.programs import micropython
from tools.sim import launch

# Bytes of heap on 32 bits. ESP8266: 18.5 KB, and what axTLS takes of the heap in the handshake.
SESSION = {"esp32": 47_104, "esp8266": 18_944 + bench_heap.AXTLS["esp8266"]}
NAMES = (
    138  # interned after a session; 140 fit, and a handful the unix port has and a chip has not
)
PIECE = 4 * 1024  # the largest single piece once it runs
# Over so many readings, and so many reconnects: nothing but noise. An ESP8266's is larger: what
# axTLS leaves in pieces (after 60 reconnects it is no more than after ten).
GROWTH = {"esp32": 256, "esp8266": 768}
READINGS, RECONNECTS = 200, 10
_TRIES = 8
PROFILES = launch.PROFILES


@pytest.fixture(scope="module")
def lab(umqtt_dir: Path) -> Iterator[Lab]:
    micropython(32)
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


def test_the_names_of_a_session_open_no_further_pool(lab: Lab) -> None:
    # 20, 40 and 80 names; a pool of 160 takes 1.1 KB in one piece, which an ESP8266 has not.
    with lab.trial("esp8266", 2 * SESSION["esp8266"], report_heap=0) as trial:
        trial.session()
        count = trial.names()
    print(f"names of a session on an ESP8266: {count}")
    assert 60 < count <= NAMES


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
