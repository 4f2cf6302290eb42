"""A virtual board whose seconds are shorter than ours (setting `time_scale`)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.sim_device import Workbench
from tools.errors import ToolError

_SCALE = 10


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with Workbench(tmp_path) as made:
        yield made


@pytest.mark.parametrize("bits", [64, 32])
def test_all_that_waits_or_counts_is_faster(bench: Workbench, bits: int) -> None:
    board = bench.board(
        """
        import ntptime, select, socket, time
        ntptime.settime()
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        poll = select.poll()
        poll.register(sock, select.POLLIN)

        def count(name, wait):
            wall, ntp, ms = time.time(), ntptime.time(), time.ticks_ms()
            print("begin", name)
            wait()
            took_ms = time.ticks_diff(time.ticks_ms(), ms)
            print(name, took_ms, time.time() - wall, ntptime.time() - ntp)

        for name, wait in (
            ("sleep_ms", lambda: time.sleep_ms(5000)),
            ("sleep", lambda: time.sleep(5)),
            ("poll", lambda: poll.poll(5000)),
        ):
            count(name, wait)
        """,
        bits=bits,
        time_scale=_SCALE,
    )
    for name in ("sleep_ms", "sleep", "poll"):
        board.wait_for(f"begin {name}$", timeout=20)
        began = time.monotonic()
        found = board.wait_for(rf"^{name} (\d+) (\d+) (\d+)", timeout=20)
        took_s = time.monotonic() - began
        assert 4990 <= int(found[1]) <= 12000, found[0]
        assert 4 <= int(found[2]) <= 12, found[0]
        assert 4 <= int(found[3]) <= 12, found[0]
        assert took_s <= 1.5, name


def test_the_watchdog_is_as_much_faster(bench: Workbench) -> None:
    board = bench.board(
        """
        import machine, time
        dog = machine.WDT(timeout=10000)
        for _ in range(4):
            time.sleep(5)
            dog.feed()
        print("fed")
        while True:
            pass
        """,
        time_scale=_SCALE,
    )
    board.wait_for("fed", timeout=20)
    began = time.monotonic()
    board.wait_for(r"reset \(watchdog\)", timeout=8)
    assert 0.8 <= time.monotonic() - began <= 5
    assert board.cause == "watchdog"


def test_the_time_goes_on_after_a_power_cut(bench: Workbench) -> None:
    board = bench.board(
        """
        import ntptime, time
        ntptime.settime()
        print("now", time.time())
        time.sleep(30)
        """,
        time_scale=_SCALE,
        epoch=1970,
    )
    first = int(board.wait_for(r"now (\d+)")[1])
    time.sleep(0.5)
    board.kill()
    board.start()
    board.wait_for("now", after=len(board.log))
    second = int([line for line in board.log if line.startswith("now")][-1].split()[1])
    assert 4 <= second - first <= 60


@pytest.mark.parametrize("bits", [64, 32])
def test_settings_are_still_noticed(bench: Workbench, bits: int) -> None:
    board = bench.board(
        """
        import network, time
        wlan = network.WLAN(network.STA_IF)
        wlan.active(True)
        wlan.connect("barn", "in-the-barn")
        while not wlan.isconnected():
            time.sleep_ms(100)
        print("joined")
        while wlan.isconnected():
            time.sleep_ms(100)
        print("gone")
        """,
        bits=bits,
        time_scale=_SCALE,
    )
    board.wait_for("joined")
    board.set(wifi={"up": False})
    board.wait_for("gone")


@pytest.mark.parametrize("scale", [0, 0.5, 101, "10", True, None])
def test_an_impossible_scale_is_refused(bench: Workbench, scale: object) -> None:
    with pytest.raises(ToolError, match="time_scale"):
        bench.board("print(1)", time_scale=scale)
