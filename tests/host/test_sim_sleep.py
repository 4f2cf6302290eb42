"""Deep sleep of a virtual board: what survives, when it ends, that all clocks agree after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.host.sim_device import Workbench
from tools.sim.board import VirtualBoard
from tools.toolchain import ROOT

CHIPS = ["esp32", "esp8266"]
FAST = 100_000  # a sleep of ten minutes takes six milliseconds

# Prints what each clock says, by the life of the board: `n` lives before this one.
CLOCKS = """
    import ffi, json, machine, ntptime, time
    import _bus

    ours = ffi.open(None).func("i", "time", "P")
    air = _bus.on_bus_sim()[0x76].environment_sim
    memory = machine.RTC().memory()
    n = len(memory)
    machine.RTC().memory(bytes(n + 1))
    if n == 0:
        ntptime.settime()
    ntp = ntptime.time()
    aws = json.loads(json.dumps({{"clientToken": "x", "timestamp": ours(None)}}))["timestamp"]
    print("clocks", n, time.time(), ntp, aws, air.temperature_mdeg_sim())
    if n < {lives}:
        machine.deepsleep({ms})
"""
WHERE = r"^clocks {} (\d+) (\d+) (\d+) (\d+)$"


def clocks(board: VirtualBoard, life: int, timeout: float = 20) -> list[float]:
    """Seconds: the RTC, NTP, AWS, and `t`."""
    found = board.wait_for(WHERE.format(life), timeout)
    rtc, ntp, aws, tenths = (int(group) for group in found.groups())
    return [rtc, ntp, aws, tenths / 10]


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(("bits", "scale"), [(64, 1), (32, 1), (64, 20)])
def test_all_clocks_move_on_by_the_sleep(
    bench: Workbench, chip: str, bits: int, scale: int
) -> None:
    board = bench.board(
        CLOCKS.format(lives=2, ms=600_000),
        heap=chip,
        bits=bits,
        epoch=1970,
        time_scale=scale,
        sleep_scale=FAST,
        temperature="t/100",
    )
    began = time.monotonic()
    lives = [clocks(board, life) for life in range(3)]
    late_s = (time.monotonic() - began + 2) * scale  # computing takes its time
    for before, after in zip(lives, lives[1:], strict=False):
        moved = [b - a for a, b in zip(before, after, strict=True)]
        assert all(598 - scale <= s <= 600 + late_s for s in moved), moved
    for rtc, ntp, aws, _ in lives:
        assert abs(rtc - ntp) <= 1 + scale / 2
        assert abs(aws - ntp) <= 1 + scale  # AWS says whole seconds of ours
    assert 0 <= board.world_s - lives[-1][1] <= late_s


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("ppm", [50_000, -100_000])
def test_an_oscillator_that_is_off_shifts_the_wake_and_the_rtc_does_not_know(
    bench: Workbench, chip: str, ppm: int
) -> None:
    # Both ports: the time asked for is what the RTC goes on by, and what goes by is another.
    board = bench.board(
        CLOCKS.format(lives=1, ms=600_000),
        heap=chip,
        sleep_scale=FAST,
        rtc_drift_ppm=ppm,
        temperature="t/100",
    )
    first, second = (clocks(board, life) for life in range(2))
    real_s = 600 / (1 + ppm / 1e6)
    rtc, ntp, aws, t = (b - a for a, b in zip(first, second, strict=True))
    assert 599 <= rtc <= 603
    for moved in (ntp, aws, t):
        assert abs(moved - real_s) <= 3, (moved, real_s)


def test_a_machine_that_is_late_does_not_lengthen_a_sleep(bench: Workbench) -> None:
    seen: list[float] = []

    def on_line(line: str) -> None:
        if line == "board: reset (deep sleep)" and not seen:
            seen.append(bench.boards[-1].world_s)
            time.sleep(0.1)  # nearly three hours of such a sleep
            seen.append(bench.boards[-1].world_s)

    board = bench.board(
        CLOCKS.format(lives=1, ms=600_000), epoch=1970, sleep_scale=FAST, on_line=on_line
    )
    before = clocks(board, 0)[1]
    after = clocks(board, 1)[1]
    assert before - 1 <= seen[0] <= seen[1] <= after + 1
    assert 598 <= seen[1] - before <= 603


def test_eight_hours_of_sleeps_cost_less_than_half_a_second_each(bench: Workbench) -> None:
    began = time.monotonic()
    board = bench.board(
        CLOCKS.format(lives=48, ms=600_000), sleep_scale=FAST, temperature="t/10000"
    )
    first = clocks(board, 0)
    last = clocks(board, 48, timeout=60)
    took_s = time.monotonic() - began
    assert took_s < 24
    assert board.boots == 49
    for before, after in zip(first, [*last[:3], last[3] * 100], strict=True):
        assert 8 * 3600 - 2 <= after - before <= 8 * 3600 + took_s + 10


def test_a_sleep_takes_its_time(bench: Workbench) -> None:
    main = "import machine\nprint('life', machine.reset_cause())\nmachine.deepsleep(30_000)"
    seen: dict[str, tuple[float, bool, int | None]] = {}

    def on_line(line: str) -> None:
        board = bench.boards[-1]
        seen.setdefault(line, (time.monotonic(), board.asleep, board.pid))

    board = bench.board(main, sleep_scale=60, on_line=on_line)
    board.wait_for("life 4")
    board.wait_for("reset", after=board.log.index("life 4"))
    began, asleep, pid = seen["board: reset (deep sleep)"]
    assert asleep
    assert pid is None
    assert 0.4 <= seen["life 4"][0] - began <= 5


def test_without_a_sleep_scale_it_is_as_fast_as_the_world(bench: Workbench) -> None:
    board = bench.board(CLOCKS.format(lives=1, ms=20_000), time_scale=50, temperature="t/100")
    first, second = (clocks(board, life) for life in range(2))
    assert 20 <= second[1] - first[1] <= 20 + 50 * 3
    assert abs((board.world_s - time.time()) / 50) < 60  # nothing was left out: it is not ahead


@pytest.mark.parametrize("chip", CHIPS)
def test_what_survives_a_sleep(bench: Workbench, chip: str) -> None:
    board = bench.board(
        """
        import gc, machine, time
        memory = machine.RTC().memory()
        print("life", machine.reset_cause(), memory, time.ticks_ms() < 2000, hasattr(gc, "mark"))
        gc.mark = True
        if not memory:
            machine.RTC().memory(b"kept")
            time.sleep_ms(2500)
            machine.deepsleep(50)
        """,
        heap=chip,
    )
    power_on, woken = (1, 4) if chip == "esp32" else (0, 5)
    board.wait_for(f"^life {power_on} b'' True False$")
    board.wait_for(f"^life {woken} b'kept' True False$")


@pytest.mark.parametrize(("chip", "size"), [("esp32", 2048), ("esp8266", 492)])
def test_the_memory_of_the_rtc_costs_none_of_the_heap(
    bench: Workbench, chip: str, size: int
) -> None:
    board = bench.board(
        f"""
        import machine, micropython
        rtc = machine.RTC()
        kept = rtc.memory()
        if kept:
            print("kept", kept == bytes(range(256)) * 8, len(kept), kept[:3], kept[-1])
        else:
            data = bytearray(i & 255 for i in range({size}))
            micropython.heap_lock()
            rtc.memory(data)
            micropython.heap_unlock()
            try:
                rtc.memory(bytes({size + 1}))
            except ValueError as e:
                print("refused", e)
            machine.deepsleep(1)
        """,
        heap=chip,
    )
    board.wait_for("refused buffer too long")
    board.wait_for(rf"kept {size == 2048} {size} b'\\x00\\x01\\x02' {(size - 1) % 256}")


FOR_GOOD = """
    import machine, time
    print("life", machine.reset_cause(), machine.RTC().memory(), time.gmtime()[0])
    if hasattr(machine, "wake_reason"):
        print("why", machine.wake_reason(), machine.TIMER_WAKE, machine.PIN_WAKE)
    machine.RTC().memory(machine.RTC().memory() + b"x")
    machine.deepsleep({})
"""


@pytest.mark.parametrize("chip", CHIPS)
def test_a_sleep_without_a_time_lasts_until_something_wakes_it(
    bench: Workbench, chip: str
) -> None:
    lives_s: list[float] = []

    def on_line(line: str) -> None:
        if line.startswith("life"):
            lives_s.append(bench.boards[-1].world_s)

    board = bench.board(FOR_GOOD.format(""), heap=chip, sleep_scale=FAST, on_line=on_line)
    board.wait_for("board: asleep for good; a wake pin, RST or its power ends this")
    time.sleep(0.3)
    assert board.boots == 1
    before_s = board.world_s
    board.set(wake=1)
    board.wait_for("^life [45] b'x' ")
    board.wait_for("asleep for good", after=board.log.index("board: reset (deep sleep)") + 2)
    assert lives_s[1] - before_s < 10_000 * 5
    assert lives_s[1] - time.time() > 0.3 * FAST / 2
    why = [line for line in board.log if line.startswith("why")]
    assert why == (["why 0 4 2", "why 2 4 2"] if chip == "esp32" else [])
    board.set(sensor="none")  # another setting wakes nobody
    time.sleep(0.2)
    assert board.boots == 2


def test_a_timer_says_so(bench: Workbench) -> None:
    board = bench.board(FOR_GOOD.format(1))
    board.wait_for("why 4 4 2")


@pytest.mark.parametrize("wired", [False, True])
def test_an_esp8266_needs_its_wire(bench: Workbench, wired: bool) -> None:
    board = bench.board(FOR_GOOD.format(100), heap="esp8266", sleep_scale=FAST, wake_wired=wired)
    if wired:
        board.wait_for("^life 5 ")
        return
    board.wait_for(r"asleep for good \(GPIO16 is not wired to RST\)")
    time.sleep(0.3)
    assert board.boots == 1
    board.set(wake=5)  # RST
    board.wait_for("^life 5 ")


def test_an_esp32_needs_no_wire(bench: Workbench) -> None:
    bench.board(FOR_GOOD.format(100), wake_wired=False).wait_for("^life 4 ")


SLEEPS = """
    import machine, ntptime
    memory = machine.RTC().memory()
    print("woke", ntptime.time())
    if not memory:
        machine.RTC().memory(b"x")
        try:
            machine.deepsleep({})
        except (TypeError, OverflowError) as e:
            print("refused", type(e).__name__, e)
"""


@pytest.mark.parametrize(
    ("chip", "ms", "wanted_s"),
    [
        ("esp32", "0", 0),
        ("esp32", "1", 0),
        ("esp32", "2_147_483_647", 2_147_484),  # 24.8 days
        ("esp8266", "0", 0),
        ("esp8266", "-5", 0),
        ("esp8266", "4_294_967", 4295),  # 71 minutes
        ("esp8266", "4_294_968", 0),  # over 32 bits of microseconds: starts anew
        ("esp8266", "86_400_000", 500.654),
    ],
)
def test_how_long_it_sleeps(bench: Workbench, chip: str, ms: str, wanted_s: float) -> None:
    board = bench.board(SLEEPS.format(ms), heap=chip, sleep_scale=1_000_000)
    board.wait_for("main.py has ended", timeout=20)
    first, second = (int(line.split()[1]) for line in board.log if line.startswith("woke"))
    assert abs(second - first - wanted_s) <= 3


@pytest.mark.parametrize(
    ("chip", "argument", "said"),
    [
        ("esp32", "1.5", "refused TypeError can't convert float to int"),
        ("esp8266", "None", "refused TypeError can't convert NoneType to int"),
        ("esp32", "2**31", "refused OverflowError"),
        ("esp8266", "-2**31 - 1", "refused OverflowError"),
        ("esp32", "1, 2", "refused TypeError"),
        ("esp32", "-1", "board: asleep for good"),
    ],
)
def test_what_it_takes_for_a_time(bench: Workbench, chip: str, argument: str, said: str) -> None:
    bench.board(SLEEPS.format(argument), heap=chip).wait_for(said)


@pytest.mark.parametrize("chip", CHIPS)
def test_power_lost_in_a_sleep_is_a_power_on(bench: Workbench, chip: str) -> None:
    board = bench.board(FOR_GOOD.format(3_600_000), heap=chip, sleep_scale=1000)
    board.wait_for(r"reset \(deep sleep\)")
    time.sleep(0.2)
    began = time.monotonic()
    board.kill()
    assert time.monotonic() - began < 1
    assert not board.running
    ahead_s = board.world_s - time.time()
    assert 190 <= ahead_s <= 3600
    board.start()
    cause = 1 if chip == "esp32" else 0
    board.wait_for(f"^life {cause} b'' 2000", after=2)
    assert board.world_s - time.time() >= ahead_s - 0.01  # the world forgets nothing


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ending_the_tool_ends_a_sleep(
    bench: Workbench, number: signal.Signals, tmp_path: Path
) -> None:
    device = bench.device("import machine\nmachine.deepsleep()")
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    command = [sys.executable, "-m", "tools", "board", str(device)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as tool:
        assert tool.stdout is not None
        assert tool.stderr is not None
        assert any("asleep for good" in line for line in iter(tool.stdout.readline, ""))
        began = time.monotonic()
        tool.send_signal(number)
        assert tool.wait(10) == 0
        assert time.monotonic() - began < 3
        assert tool.stderr.read() == ""
    assert list(scratch.iterdir()) == []


def test_a_sleeper_follows_its_world_file(bench: Workbench, tmp_path: Path) -> None:
    file = tmp_path / "world.json"
    file.write_text('{"wake": 1}')
    board = bench.board(FOR_GOOD.format(""), world=file)
    board.wait_for("asleep for good")
    file.write_text('{"wake": 2}')
    board.wait_for("^life 4 ")
