"""The virtual board as a program and as a library: what it refuses, starts, and leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.host.sim_device import Workbench
from tools.errors import ToolError
from tools.sim import launch
from tools.sim.board import VirtualBoard

ROOT = Path(__file__).resolve().parents[2]
SLEEP = "import time\nprint('up')\ntime.sleep(600)"


def command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "tools", "board", str(folder), *more]


def is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(pid: int, within_s: float = 3.0) -> bool:
    end = time.monotonic() + within_s
    while is_there(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_there(pid)


PRINT_PID = """
import ffi, time
print("pid", ffi.open(None).func("i", "getpid", "")())
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_way_of_ending_the_tool_leaves_the_board_running(
    bench: Workbench, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = bench.device(PRINT_PID)
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    tool = subprocess.Popen(
        command(device),
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with tool:
        assert tool.stdout is not None
        assert tool.stderr is not None
        pid = int(tool.stdout.readline().split()[1])
        assert is_there(pid)
        tool.send_signal(number)
        assert tool.wait(10) == (-number if number == signal.SIGKILL else 0)
        assert gone(pid)
        assert tool.stderr.read() == ""
    left = list(scratch.iterdir())
    assert len(left) == (number == signal.SIGKILL)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    others = [scratch / "fieldmouse-board-kept_x", scratch / f"fieldmouse-board-{os.getpid()}_x"]
    for folder in others:
        folder.mkdir()
    board = bench.board(SLEEP)  # the next one sweeps up what a killed one has left, and no more
    assert set(scratch.iterdir()) == {*others, board._scratch}


def test_the_tool_ends_when_the_reader_of_its_log_does(bench: Workbench) -> None:
    device = bench.device("import time\nwhile True:\n    print('x')\n    time.sleep_ms(20)")
    with subprocess.Popen(command(device), cwd=ROOT, stdout=subprocess.PIPE) as tool:
        assert tool.stdout is not None
        assert tool.stdout.readline() == b"x\n"
        tool.stdout.close()
        assert tool.wait(10) == 0


def test_a_board_killed_from_outside_comes_back(bench: Workbench) -> None:
    board = bench.board(SLEEP)
    board.wait_for("up")
    assert board.pid is not None
    os.kill(board.pid, signal.SIGKILL)
    board.wait_for(r"board: reset \(crash, signal 9\)")
    board.wait_for("up", after=2)
    assert board.boots == 2


def test_power_off_ends_the_process_and_the_log(bench: Workbench) -> None:
    board = bench.board(SLEEP)
    board.wait_for("up")
    pid = board.pid
    assert pid is not None
    board.kill()
    assert not is_there(pid)
    assert board.log == ["up"]
    with pytest.raises(TimeoutError, match="no line matches 'down'"):
        board.wait_for("down")


FREE = """
import gc, micropython
gc.collect()
print("free", gc.mem_free(), gc.mem_alloc())
micropython.mem_info()
"""


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("heap", ["esp32", "esp8266", "50k", "esp8266:18k"])
def test_a_board_has_its_heap_in_one_piece_and_not_more(
    bench: Workbench, heap: str, bits: int
) -> None:
    # All else that this process has is filled; what boot.py takes is out of it.
    board = bench.board(SLEEP, boot=FREE, heap=heap, bits=bits)
    wanted = launch.heap_of(heap, bits)[1]
    free = int(board.wait_for(r"GC: total: \d+, used: \d+, free: (\d+)")[1])
    piece = int(board.wait_for(r"max free sz: (\d+)")[1]) * bits // 2
    assert wanted - 2500 * bits // 32 < free <= wanted + bits * 8
    assert wanted - 3500 * bits // 32 < piece <= wanted
    said = board.wait_for(r"free (\d+) (\d+)")
    assert int(said[2]) < 2500 * bits // 32  # mem_alloc(): the firmware's, not ours
    if "esp8266" in heap:
        assert int(said[1]) + int(said[2]) == wanted
    else:
        # An ESP32 counts ESP-IDF's largest block as free: it would take that next.
        assert int(said[1]) + int(said[2]) == wanted + 110_592


def test_names_cost_what_they_cost_on_a_board(bench: Workbench) -> None:
    # Pools of 20, 40, 80, … entries of 7 bytes, from the first name that a board has not; the
    # names of main.py itself are the first ones. Texts lie in chunks; one has been begun.
    board = bench.board(
        """
        import gc
        gc.collect()
        last = gc.mem_free()
        for n in range(1, 641):
            getattr(None, "own_{:04}".format(n), None)
            if n in (20, 640):
                gc.collect()
                print("names", n, last - gc.mem_free())
        print("done")
        """,
        bits=32,
    )
    board.wait_for("done")
    few, many = (int(line.split()[2]) for line in board.log if line.startswith("names"))
    pools = [24 + 7 * 20 * 2**n for n in range(6)]
    assert sum(pools[1:2]) - 16 <= few - 9 * 20 <= sum(pools[:3])
    assert sum(pools[1:]) <= many - 9 * 640 <= sum(pools) + 400


def test_a_board_has_no_more_than_it_starts_with() -> None:
    assert launch.heap_of("esp32", 32) == ("esp32", 56_000)
    assert launch.heap_of("esp32", 64) == ("esp32", 112_000)
    assert launch.heap_of("esp8266", 32) == ("esp8266", 38 * 1024 - 922 - 2560)
    assert launch.heap_of("esp8266:18k", 32) == ("esp8266", 18 * 1024)
    assert launch.heap_of("36k", 64) == ("esp32", 36864)


PLAYED = "crc@0..9:0x76,freeze@1..2,stuck@1..2,unplug@900,plug@901,sda@902..903"


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("scene", [None, PLAYED], ids=["still", "scene"])
def test_a_running_board_takes_nothing_but_what_its_firmware_does(
    bench: Workbench, tmp_path: Path, bits: int, scene: str | None
) -> None:
    curve = tmp_path / "day.csv"
    curve.write_text("seconds,temperature\n" + "".join(f"{s},9\n" for s in range(9999)))
    air: dict[str, Any] = {} if scene is None else {"scene": scene, "temperature": f"csv:{curve}"}
    board = bench.board(
        """
        import esp32, gc, machine, network, socket, time
        bus = machine.I2C(0, scl=machine.Pin(22), sda=machine.Pin(21))
        wlan = network.WLAN(network.STA_IF)
        led = machine.Pin(2, machine.Pin.OUT)
        buf = bytearray(8)

        def work():
            bus.writeto_mem(0x76, 0xF4, b"\\x25")
            time.sleep_ms(20)
            bus.readfrom_mem_into(0x76, 0xF7, buf)
            machine.Pin(2, machine.Pin.OUT).value(1)
            time.ticks_diff(time.ticks_ms(), 5)
            network.WLAN(network.STA_IF).isconnected()

        work()
        gc.collect()
        before = gc.mem_free()
        work()
        print("garbage", before - gc.mem_free())
        gc.collect()
        print("kept", before - gc.mem_free())
        """,
        bits=bits,
        time_scale=3,
        **{"temperature": 21.5, "humidity": 50, "pressure": 1000, **air},
    )
    assert int(board.wait_for(r"garbage (\d+)")[1]) < 1500 * bits // 32
    assert int(board.wait_for(r"kept (-?\d+)")[1]) <= 64 * bits // 32


def test_free_memory_can_be_cut_into_pieces(bench: Workbench) -> None:
    board = bench.board(
        """
        import gc, micropython, network, time
        wlan = network.WLAN(0)
        wlan.active(True)
        wlan.connect("x", "y")
        print("ready")
        while True:
            wlan.isconnected()
            try:
                bytearray(2100)
            except MemoryError:
                bytearray(1900)
                print("cut", gc.mem_free())
                break
            time.sleep_ms(20)
        """,
        heap="esp8266",
        bits=32,
        split_heap=0,
    )
    board.wait_for("ready")
    board.set(split_heap=2048)
    assert int(board.wait_for(r"cut (\d+)")[1]) > 30_000
    board.set(report_heap=7)


def test_memory_error_is_the_boards_own(bench: Workbench) -> None:
    board = bench.board("x = []\nwhile True:\n    x.append(bytearray(1000))", heap="esp8266")
    board.wait_for("MemoryError")
    board.wait_for("main.py has ended")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sensor": "foo"}, "no chip 'foo'"),
        ({"sensor": "bme280@0x20"}, "addresses 0x76 to 0x77"),
        ({"temperature": "1/0"}, "division by zero"),
        ({"temperature": "csv:/nonexistent.csv"}, "No such file"),
        ({"scene": "crc@4"}, "does not say until when"),
        ({"heap": "12"}, "heap: '12'"),
        ({"heap": "large"}, "heap: 'large'"),
        ({"heap": "-65536"}, "heap: '-65536'"),
        ({"heap": "99999999999"}, "heap: '99999999999'"),
        ({"heap": "esp8266:"}, "heap: 'esp8266:'"),
        ({"bits": 16}, "bits: 16"),
        ({"wifi": {"down": True}}, "wifi.down: unknown key"),
        ({"world": Path("/nonexistent/world.json")}, "No such file"),
        ({"micropython": Path("/nonexistent/micropython")}, "is not a program"),
        ({"micropython": Path("/bin/true")}, "cannot run the virtual board"),
        ({"umqtt": Path("/")}, "holds no umqtt/simple.py"),
    ],
)
def test_bad_options_are_refused_before_anything_runs(
    bench: Workbench, options: dict[str, object], said: str
) -> None:
    with pytest.raises(ToolError) as caught:
        bench.board(SLEEP, **options)
    assert said in caught.value.message
    assert caught.value.hint


def test_what_is_not_staged_is_refused(tmp_path: Path) -> None:
    for folder, said in ((tmp_path / "none", "no such folder"), (tmp_path, "is not a staged")):
        with pytest.raises(ToolError, match=said) as caught:
            VirtualBoard(folder)
        assert "tools stage" in caught.value.hint


def test_a_bad_setting_while_it_runs_changes_nothing(bench: Workbench) -> None:
    board = bench.board(SLEEP)
    for bad in ({"sensor": "foo"}, {"temperature": "import os"}):
        with pytest.raises(ToolError):
            board.set(**bad)
    board.wait_for("up")
    assert board.running


def test_umqtt_may_be_named_by_its_package_or_by_the_folder_above(bench: Workbench) -> None:
    board = bench.board("from umqtt.simple import MQTTClient\nprint('have', MQTTClient)\n" + SLEEP)
    board.wait_for("have <class 'MQTTClient'>")
    root = launch._umqtt(None)
    assert launch._umqtt(root / "umqtt") == root
