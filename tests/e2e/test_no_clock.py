"""A power cut that takes the router and NTP as well, and boots that never learn the time.

The simulated temperature rises with the uptime, so each reading tells when in its boot it was.
"""

from __future__ import annotations

import itertools
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.conftest import Device, Listener
from tests.e2e.test_main_job import wait_until
from tests.soak.verdict import COLDEST, RISE
from tools.sim.board import VirtualBoard

INTERVAL_S = 10
MOST_OFFLINE_S = 600  # offline_reboot_s
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


@dataclass(frozen=True)
class Case:
    """lives_s: how long the board is on each time, in its own seconds, with no network."""

    lives_s: tuple[int, ...]
    board: str = "esp32"
    bits: int = 64
    epoch: int = 2000
    scale: float = 40.0


@pytest.mark.parametrize(
    "case",
    [
        Case((MOST_OFFLINE_S + 100, 200, 200)),
        Case((300, 200), bits=32, epoch=1970),
        Case((80, 60, 60), "esp8266", bits=32, scale=10.0),
    ],
    ids=str,
)
def test_no_reading_is_lost_and_the_dates_are_true_or_marked(
    case: Case,
    new_device: Callable[..., Device],
    boot: Callable[..., VirtualBoard],
    listener: Listener,
) -> None:
    settings = {"interval_s": INTERVAL_S, "offline_reboot_s": MOST_OFFLINE_S}
    device = new_device(board=case.board, **settings)
    topic = f"devices/{device.thing}/data"
    anchor = int(time.time())
    world = {"time_scale": case.scale, "time_anchor_s": anchor, "epoch": case.epoch}
    sensor = f"{COLDEST} + t/{RISE}"
    board = boot(device, heap=case.board, bits=case.bits, temperature=sensor, **world)
    listener.wait(topic, lambda m: m["seq"] >= 4)
    taken = 4
    board.set(wifi={"up": False}, ntp={"up": False})
    for life_s in case.lives_s:
        board.kill()
        mark = len(board.log)
        board.start()
        board.wait_for("outbox: .* waiting", after=mark)
        wanted = device.stored + life_s // INTERVAL_S + 1
        wait_until(lambda wanted=wanted: device.stored >= wanted, "its readings", timeout=60)
        taken += life_s // INTERVAL_S
    back_s = anchor + (time.time() - anchor) * case.scale
    board.set(wifi=None, ntp=None)
    listener.wait(topic, lambda m: m["timestamp"] > back_s + 30, timeout=60)
    by_seq = {m["seq"]: m for m in listener.on(topic)}
    readings = [by_seq[seq] for seq in sorted(by_seq)]
    print(f"taken: {taken} or more, arrived: {len(readings)}, restarts: {board.boots - 1}")
    # A kill right in a write leaves an empty file (LittleFS keeps the old content until close()).
    # For the board that is damage: the seq of the reading that was not stored yet is passed over.
    torn = {int(seq) - 1 for seq in re.findall(r"next seq (\d+)", "\n".join(board.log))}
    missing = set(range(1, readings[-1]["seq"])) - set(by_seq)
    assert missing <= torn and len(missing) < 2
    assert len(readings) >= taken
    assert board.boots == 1  # not having the time is no reason to restart
    judge(lives(readings), len(case.lives_s))


def judge(found: list[list[Reading]], dark: int) -> None:
    """The first and the last boot knew or learnt the time; those between them did not."""
    assert len(found) == 1 + dark
    for known in (found[0], found[-1]):
        assert not any("time" in m for m in known)
        begun = sorted(begin(m) for m in known)
        late = [b for b in begun if abs(b - statistics.median(begun)) > _EXACT_S / 2]
        # A busy machine may take a moment between measuring and looking at the fast clock.
        assert len(late) <= len(begun) // 4, begun
        assert begun[-1] - begun[0] < INTERVAL_S, begun
    guessed = list(itertools.chain(*found[1:-1]))
    assert all(m["time"] == "estimated" for m in guessed)
    times = [m["timestamp"] for life in found for m in life]
    assert times == sorted(times)
    assert found[0][-1]["timestamp"] <= times[len(found[0])]
    assert max(m["timestamp"] for m in guessed) <= max(map(begin, found[-1])) + _EXACT_S
