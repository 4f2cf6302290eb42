"""A power cut that takes the router and NTP as well, and boots that never learn the time.

The simulated temperature rises with the uptime, so each reading tells when in its boot it was.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from tests.e2e.conftest import Device, Listener
from tests.soak.verdict import COLDEST, RISE
from tools.sim.board import VirtualBoard

SCALE = 40.0
INTERVAL_S = 10
LIVES_S = (700, 300, 400)  # seconds of the board without network and time
MOST_OFFLINE_S = 600  # offline_reboot_s: the first of these lives is longer
_EXACT_S = 2
Reading = dict[str, Any]


def lives(readings: list[Reading]) -> list[list[Reading]]:
    """The readings of each boot, by seq; the uptime starts anew."""
    found: list[list[Reading]] = [[]]
    for reading in readings:
        if found[-1] and reading["temperature"] < found[-1][-1]["temperature"] - 0.1:
            found.append([])
        found[-1].append(reading)
    return found


def begin(reading: Reading) -> float:
    """Unix time of the boot, by a reading's own date."""
    return float(reading["timestamp"] - (reading["temperature"] - COLDEST) * RISE)


def test_no_reading_is_lost_and_the_dates_are_true_or_marked(
    new_device: Callable[..., Device], boot: Callable[..., VirtualBoard], listener: Listener
) -> None:
    device = new_device(interval_s=INTERVAL_S, offline_reboot_s=MOST_OFFLINE_S)
    topic = f"devices/{device.thing}/data"
    anchor = int(time.time())
    world = {"time_scale": SCALE, "time_anchor_s": anchor}
    board = boot(device, temperature=f"{COLDEST} + t/{RISE}", **world)
    listener.wait(topic, lambda m: m["seq"] >= 8)
    taken = 8
    board.set(wifi={"up": False}, ntp={"up": False})
    for life_s in LIVES_S:
        board.kill()
        mark = len(board.log)
        board.start()
        board.wait_for("outbox: .* waiting", after=mark)
        time.sleep(life_s / SCALE)
        taken += life_s // INTERVAL_S
    back_s = anchor + (time.time() - anchor) * SCALE
    board.set(wifi=None, ntp=None)
    listener.wait(topic, lambda m: m["timestamp"] > back_s + 30, timeout=60)
    by_seq = {m["seq"]: m for m in listener.on(topic)}
    readings = [by_seq[seq] for seq in sorted(by_seq)]
    print(f"taken without the time: {taken} or more, arrived in all: {len(readings)}")
    assert [m["seq"] for m in readings] == list(range(1, len(readings) + 1))
    assert len(readings) >= taken
    judge(lives(readings))


def judge(found: list[list[Reading]]) -> None:
    """The first and the last boot knew or learnt the time; those between them did not."""
    assert len(found) == 2 + len(LIVES_S) - 1
    for known in (found[0], found[-1]):
        assert not any("time" in m for m in known)
        begun = sorted(begin(m) for m in known)
        assert begun[-1] - begun[0] <= _EXACT_S, begun
    guessed = list(itertools.chain(*found[1:-1]))
    assert all(m["time"] == "estimated" for m in guessed)
    times = [m["timestamp"] for life in found for m in life]
    assert times == sorted(times)
    assert found[0][-1]["timestamp"] <= times[len(found[0])]
    assert max(m["timestamp"] for m in guessed) <= begin(found[-1][0]) + _EXACT_S
