"""The air of a virtual board by time: a ramp, and a curve from a file."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pytest

from tests.host.sim_device import Workbench
from tools.errors import ToolError
from tools.sim import curve, expression, world

DAY = """seconds,temperature,humidity,co2
0, -5.5, 40, 400
1, 4.5, 50, 400
3, 24.5, 60, 1400
"""


def day(folder: Path, text: str = DAY, name: str = "day.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_a_column_is_read(tmp_path: Path) -> None:
    path = day(tmp_path)
    found = curve.read(f"csv:{path}", "sensors[0].temperature", -60, 160)
    assert found.points == ((0, -5500), (1000, 4500), (3000, 24500))
    assert found.columns == ("seconds", "temperature", "humidity", "co2")
    words = struct.unpack("<6I", found.packed())
    assert words[:2] == (0, (1 << 29) - 5500)
    assert max(words) < 1 << 30  # small ints of a 32-bit board
    again = day(tmp_path, "\ufeffTemperature , Seconds\r\n\r\n21,0.5\r\n")
    assert curve.read(f"csv:{again}", "temperature", -60, 160).points == ((500, 21000),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "day.csv, line 1: no column 'seconds'"),
        ("temperature\n1\n", "line 1: no column 'seconds'"),
        ("seconds,humidity\n0,1\n", "line 1: no column 'temperature'"),
        ("seconds,temp\n0,1\n", "line 1: column 'temp'; each of seconds, temperature, humidity"),
        ("seconds,temperature,temperature\n0,1,1\n", "line 1: column 'temperature'; each of"),
        ("seconds;temperature\n0;1\n", "line 1: column 'seconds;temperature'; each of"),
        ("seconds,temperature\n", "day.csv has no values"),
        ("seconds,temperature\n0,1\n1,x\n", "line 3: 'x' is no number"),
        ("seconds,temperature\n0,1\n\n1,\n", "line 4: '' is no number"),
        ("seconds,temperature\n0,nan\n", "line 2: 'nan' is no number"),
        ("seconds,temperature\n0,1\n1,2,3\n", "line 3: 3 values for 2 columns"),
        ("seconds,temperature\n0,1\n1\n", "line 3: 1 values for 2 columns"),
        ("seconds,temperature\n0,161\n", "line 2: 161 is outside -60 to 160"),
        ("seconds,temperature\n-1,1\n", "line 2: -1 is outside 0 to 1e+06"),
        ("seconds,temperature\n0,1\n5,1\n5,2\n", "line 4: seconds do not rise: 5"),
    ],
    ids=str,
)
def test_a_mistake_is_named_by_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ToolError) as caught:
        world.check({"temperature": f"csv:{day(tmp_path, text)}"})
    assert caught.value.message.startswith(f"temperature: {tmp_path}")
    assert said in caught.value.message
    assert "seconds,temperature,humidity" in caught.value.hint


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "raw.csv").write_bytes(b"seconds,temperature\n0,\xff\n")
    for name, said in (("none.csv", "No such file"), ("", "directory"), ("raw.csv", "is no CSV")):
        with pytest.raises(ToolError, match=said):
            world.check({"sensors": [{"chip": "sht3x", "humidity": f"csv:{tmp_path / name}"}]})


def test_the_other_columns_come_along_unless_something_else_is_said(tmp_path: Path) -> None:
    source = f"csv:{day(tmp_path)}"
    row = {"chip": "sht3x", "temperature": source, "co2": 500}
    found = world.check({"temperature": source, "sensors": [row]})
    assert found["humidity"].points[-1] == (3000, 60_000)
    assert found["co2"].points[-1] == (3000, 1_400_000)
    assert "pressure" not in found
    assert found["sensors"][0]["co2"] == 500
    assert found["sensors"][0]["humidity"] == found["humidity"]
    assert set(world.check({"humidity": source})) == {"humidity"}
    told = world.wire(found, lambda curve: Path(f"/{len(curve.points)}-{curve.points[0][1]}"))
    assert told["temperature"] == "@/3--5500"
    assert told["own"]["68"] == {"temperature": "@/3--5500", "humidity": "@/3-40000", "co2": 500}
    json.dumps(told)


AIR = """
import time
import _bus
while True:
    air = _bus.on_bus_sim()[0x62].environment_sim
    t, h = air.temperature_mdeg_sim(), air.humidity_mpct_sim()
    print("air", time.ticks_ms(), t, h, air.co2_ppm_sim())
    time.sleep_ms(50)
"""


def near(found: re.Match[str], first: float, last: float, start_s: float, end_s: float) -> bool:
    """Whether the second number is what a line from then to then has at the first's ms."""
    s = int(found[1]) / 1000
    at = first + (last - first) * (min(max(s, start_s), end_s) - start_s) / (end_s - start_s)
    slope = abs((last - first) / (end_s - start_s))
    return abs(int(found[2]) - at) <= slope * 0.3 + 1


@pytest.mark.parametrize("bits", [64, 32])
def test_a_board_follows_a_curve(bench: Workbench, tmp_path: Path, bits: int) -> None:
    # The world names the file as it lies beside it.
    day(tmp_path)
    file = tmp_path / "world.json"
    file.write_text('{"sensor": "scd41", "temperature": "csv:day.csv", "humidity": 33}')
    board = bench.board(AIR, world=file, bits=bits)
    board.wait_for(r"air \d+ 24500 33000 1400")
    lines = [re.fullmatch(r"air (\d+) (-?\d+) 33000 (\d+)", line) for line in board.log]
    points = [m for m in lines if m]
    early = [m for m in points if int(m[1]) < 900]
    later = [m for m in points if 1200 < int(m[1]) < 2900]
    assert early and later
    assert all(near(m, -5500, 4500, 0, 1) for m in early)
    assert all(near(m, 4500, 24500, 1, 3) for m in later)
    file.write_text('{"sensor": "scd41", "temperature": "csv:no.csv"}')
    board.wait_for("world: .*: temperature: .*no.csv: No such file.*; the former world goes on")
    day(tmp_path, "seconds,temperature,humidity\n0,7,8\n", "new.csv")
    file.write_text('{"sensor": "scd41", "temperature": "csv:new.csv"}')
    board.wait_for(r"air \d+ 7000 8000 6\d\d")


def test_a_ramp(bench: Workbench) -> None:
    board = bench.board(
        AIR, sensor="scd43", temperature="ramp(20, 30.5, 1, 2)", humidity=1, time_scale=2
    )
    board.wait_for(r"air \d+ 30500 ")
    lines = [re.fullmatch(r"air (\d+) (\d+) 1000 .*", line) for line in board.log]
    points = [m for m in lines if m]
    assert len([m for m in points if 20000 < int(m[2]) < 30500]) > 2
    assert all(near(m, 20000, 30500, 1, 2) for m in points)


@pytest.mark.parametrize("text", ["ramp(20, 30, 60, 120)", "10 + ramp(t, t + 1, 0, 9)/2"])
def test_what_a_ramp_may_be(text: str) -> None:
    assert expression.check(text, "temperature", -60, 160) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ramp", "it is ramp(first, last, start, end)"),
        ("ramp(20, 30)", "it is ramp(first, last, start, end)"),
        ("ramp(20, 30, 60, 60)", "with end after start, as in ramp(20, 30, 60, 120)"),
        ("ramp(20, 30, 60, 120, 5)", "it is ramp(first"),
        ("ramp(20, 30, end=3)", "only numbers"),
        ("ramp(200, 30, 60, 120)", "outside -60 to 160"),
    ],
)
def test_what_a_ramp_may_not_be(text: str, said: str) -> None:
    with pytest.raises(ToolError) as caught:
        expression.check(text, "temperature", -60, 160)
    assert said in caught.value.message
